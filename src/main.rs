//! The program: takes the snapshot, runs, prints, and says how it ended.

use std::io::Write;
use std::process::ExitCode;

use kubentra::internal::{Error, Sys, io_words, of_this_process, run};

fn main() -> ExitCode {
    let sys = match of_this_process() {
        Ok(sys) => sys,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "Error: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match run(&sys) {
        Ok(outcome) => match std::io::stdout().write_all(outcome.stdout.expose().as_bytes()) {
            Ok(()) => outcome.problem.map_or(ExitCode::SUCCESS, |problem| failed(&sys, &problem)),
            // Whoever read stdout has gone; there is nobody left to tell.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
            Err(error) => {
                sys.terminal.say(format!("Error: stdout cannot be written: {}", io_words(&error)));
                ExitCode::FAILURE
            }
        },
        Err(error) => failed(&sys, &error),
    }
}

fn failed(sys: &Sys, error: &Error) -> ExitCode {
    sys.terminal.report(error);
    ExitCode::from(error.exit_code())
}
