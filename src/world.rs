//! The real world: the one place that takes the snapshot of this process and puts the real clock, network,
//! programs and browser into a [`Sys`]. Only `main` knows it.

use std::rc::Rc;

use crate::error::{Error, ErrorKind};
use crate::net::ReqwestHttp;
use crate::os::browser::SystemBrowser;
use crate::os::clock::SystemClock;
use crate::os::env::Env;
use crate::os::process::{SystemPrograms, parent_command};
use crate::sys::Sys;
use crate::terminal::Terminal;

/// The world of this process.
///
/// # Errors
/// An argument that is not UTF-8.
#[expect(clippy::disallowed_methods, reason = "the one place that takes the snapshot")]
pub fn of_this_process() -> Result<Sys, Error> {
    let args = std::env::args_os().enumerate().map(readable_argument).collect::<Result<_, _>>()?;
    let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let env: Env = std::env::vars_os().filter_map(readable).collect();
    Ok(Sys {
        args,
        clock: Rc::new(SystemClock::start()),
        http: Box::new(ReqwestHttp::new(&env)),
        programs: Box::new(SystemPrograms::new(&env)),
        browser: Rc::new(SystemBrowser),
        parent: parent_command,
        terminal: Terminal::stderr(&env),
        env,
    })
}

fn readable_argument((index, argument): (usize, std::ffi::OsString)) -> Result<String, Error> {
    argument.into_string().map_err(|_| {
        Error::new(ErrorKind::Usage, format!("argument {index} is not valid UTF-8"))
            .remedy("write paths and values in UTF-8")
    })
}
