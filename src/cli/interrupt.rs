//! Ctrl-C and SIGTERM: the first asks to stop, the second insists.

use std::convert::Infallible;
use std::process;

use tokio::signal;
use tokio_util::sync::CancellationToken;

use super::FAILED;

/// Cancels at the first signal, ends the process at the second. Never returns.
pub(super) async fn cancels(cancel: CancellationToken) -> Infallible {
    asked_to_stop().await;
    cancel.cancel();
    asked_to_stop().await;
    process::exit(i32::from(FAILED))
}

#[cfg(unix)]
async fn asked_to_stop() {
    use signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            () = ctrl_c() => {}
        },
        Err(_) => ctrl_c().await,
    }
}

#[cfg(not(unix))]
async fn asked_to_stop() {
    ctrl_c().await;
}

async fn ctrl_c() {
    if signal::ctrl_c().await.is_err() {
        // Without a handler the default holds: Ctrl-C ends the process.
        std::future::pending::<()>().await;
    }
}
