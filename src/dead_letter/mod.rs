//! Events that cannot be stored go to a topic of their own, with everything needed to understand and
//! to repeat them.

mod envelope;
pub mod kafka;
pub mod topic;

use std::future::Future;

pub use envelope::{Envelope, Letter};

/// Where dead letters go.
pub trait DeadLetters: Send + Sync + 'static {
    /// Sends a letter and returns once the topic has acknowledged it. It tries without end: whatever
    /// keeps it from being taken is raised as a condition, and the record stays unsettled.
    fn send(&self, letter: &Letter<'_>) -> impl Future<Output = ()> + Send;
}
