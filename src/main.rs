//! The program: takes the snapshot, runs, prints, and says how it ended.

use std::io::Write;
use std::process::ExitCode;

use kubentra::sys::Sys;

fn main() -> ExitCode {
    let sys = match Sys::of_this_process() {
        Ok(sys) => sys,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "Error: {error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match kubentra::cli::run(&sys) {
        // Whoever reads stdout may have gone; there is nobody left to tell.
        Ok(output) => match std::io::stdout().write_all(output.expose().as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            sys.terminal.report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
