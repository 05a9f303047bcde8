//! How others reach a worker: a queue, and a nudge that wakes its thread.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Thread;

use crate::core::worker::Input;

/// Puts inputs into a worker's queue.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    sender: Sender<Input>,
    thread: Arc<Thread>,
}

impl Outside {
    /// A queue into the calling thread.
    pub(super) fn into_this_thread() -> (Self, Receiver<Input>) {
        let (sender, receiver) = mpsc::channel();
        (Self { sender, thread: Arc::new(std::thread::current()) }, receiver)
    }

    /// Tells the worker. One that has ended needs to know nothing more.
    pub(super) fn tell(&self, input: Input) {
        if self.sender.send(input).is_ok() {
            self.wake();
        }
    }

    /// Wakes the worker.
    pub(super) fn wake(&self) {
        self.thread.unpark();
    }
}
