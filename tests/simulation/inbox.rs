//! How others reach a worker: a queue, and a nudge that wakes it (as in `src/worker/inbox.rs`).

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use streamproc::core::worker::Input;
use tokio::sync::Notify;

/// A worker's queue.
pub(crate) struct Inbox {
    process: usize,
    worker: usize,
    inputs: Mutex<VecDeque<Input>>,
    nudge: Notify,
}

impl Inbox {
    pub(crate) fn new(process: usize, worker: usize) -> Self {
        Self { process, worker, inputs: Mutex::default(), nudge: Notify::new() }
    }

    pub(crate) fn tell(&self, input: Input) {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).push_back(input);
        self.wake();
    }

    pub(crate) fn take(&self) -> Option<Input> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn wake(&self) {
        self.nudge.notify_one();
    }

    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }
}

impl fmt::Display for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process, self.worker)
    }
}
