//! The admin port: `/metrics`, `/livez`, `/readyz`, `/progress`. It only tells; no request changes
//! anything, and none takes more than its limits ([`server`]).

mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::observe::progress::Progress;

/// A worker that has not gone through its loop for so long stands still for good: a restart helps.
const STANDS_STILL: Duration = Duration::from_mins(1);

/// What the admin port tells of.
#[derive(Clone)]
pub struct Sources {
    /// The metrics.
    pub metrics: Metrics,
    /// What holds the stream.
    pub health: Health,
    /// The last micro-batches.
    pub progress: Progress,
    /// How long the most silent worker has been silent.
    pub silence: Arc<dyn Fn() -> Duration + Send + Sync>,
}

/// An admin port that listens.
#[derive(Debug)]
pub struct Admin {
    /// Where.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("the admin port {address} (admin.listen): {source}")]
pub struct ListenError {
    address: String,
    source: std::io::Error,
}

impl Admin {
    /// Listens, and answers until stopped.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on: it is in use, or not ours.
    pub async fn listen(address: &str, sources: Sources) -> Result<Self, ListenError> {
        let failed = |source| ListenError { address: address.to_owned(), source };
        let first = tokio::net::lookup_host(address).await.map_err(failed)?.next();
        let first = first.ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))?;
        let listener = server::listen(first).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            // A connection that stays open must not keep the process: what is being answered is let go.
            tokio::select! {
                () = server::serve(listener, router(sources)) => {}
                () = stopped.cancelled() => {}
            }
        });
        Ok(Self { address: local, stop, task })
    }

    /// Stops answering.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/progress", get(progress))
        .with_state(sources)
}

async fn index() -> &'static str {
    "streamproc\n\n/metrics   Prometheus metrics\n/livez     whether the process is alive\n\
     /readyz    whether the stream flows, and why not\n/progress  the last micro-batches\n"
}

async fn metrics(State(sources): State<Sources>) -> Response {
    match sources.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn livez(State(sources): State<Sources>) -> Response {
    let silence = (sources.silence)();
    let alive = silence < STANDS_STILL;
    let body = json!({ "alive": alive, "longestSilenceSeconds": silence.as_secs_f64() });
    (status(alive), Json(body)).into_response()
}

async fn readyz(State(sources): State<Sources>) -> Response {
    let reasons = sources.health.conditions();
    let ready = reasons.is_empty();
    (status(ready), Json(json!({ "ready": ready, "reasons": reasons }))).into_response()
}

async fn progress(State(sources): State<Sources>) -> Response {
    Json(sources.progress.batches()).into_response()
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
