//! A runtime of the sandbox's own.
//!
//! The emulator copies and compares documents between two awaits. On the caller's runtime that would
//! hold up the service that is being tried out, and a caller that blocks its only thread (a test with a
//! Kafka client) would wait for a server that cannot run.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Threads that run the sandbox's tasks until stopped or dropped.
pub(super) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(super) fn start() -> anyhow::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (started, handle) = mpsc::channel();
        let run = move || {
            let runtime =
                Builder::new_multi_thread().worker_threads(2).thread_name("sandbox").enable_all().build();
            match runtime {
                Ok(runtime) => {
                    let _ = started.send(Ok(runtime.handle().clone()));
                    // Ends when the sender is dropped, too.
                    let _ = runtime.block_on(stopped);
                    runtime.shutdown_timeout(Duration::from_secs(5));
                }
                Err(error) => drop(started.send(Err(error))),
            }
        };
        let thread = std::thread::Builder::new().name("sandbox".into()).spawn(run)?;
        let handle = handle.recv().context("the sandbox's threads")??;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends all tasks and waits for the threads.
    pub(super) fn stop(mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
