//! Being asked to stop: SIGTERM and Ctrl-C. Asked a second time, the process ends at once.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit status after being asked twice, as shells know it from Ctrl-C.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled by the first signal. Needs a tokio runtime.
pub(super) fn stop_token() -> std::io::Result<CancellationToken> {
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        any(&mut signals).await;
        stop.cancel();
        any(&mut signals).await;
        process::exit(INTERRUPTED);
    });
    Ok(token)
}

async fn any(signals: &mut [Signal; 2]) {
    let [first, second] = signals;
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}
