//! The work of a command that waits for others, until it is done or the person has had enough.

use crate::error::{Error, ErrorKind, io_words};

/// What `work` comes to. Ctrl-C ends it, and nothing of that is remembered as a failure: the person may start over.
///
/// # Errors
/// Those of `work`; an interruption; a process that may not have what waiting needs.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(ErrorKind::File, format!("the process could not be set up: {}", io_words(&error)))
            .remedy("try again")
    })?;
    let outcome = runtime.block_on(until_interrupted(work));
    // A name lookup may still hang in the resolver; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

async fn until_interrupted<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        // The handlers stand before the work begins: a signal in between must not leave a terminal as it is.
        biased;
        Ok(()) = tokio::signal::ctrl_c() => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
        () = told_to_end() => Err(Error::new(ErrorKind::Interrupted, "told to end")),
        outcome = work => outcome,
    }
}

/// SIGTERM and SIGHUP come from editors, CI runners and time limits. They end the work like Ctrl-C, so
/// that no az is left behind.
#[cfg(unix)]
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::hangup())) {
        (Ok(mut terminate), Ok(mut hangup)) => tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        },
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn told_to_end() {
    std::future::pending().await
}
