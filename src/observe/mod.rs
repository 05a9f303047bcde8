//! What the service says about itself: metrics, conditions, progress.
//!
//! Everything in here only listens; nothing of the stream depends on it.

pub mod defect;
pub mod health;
pub mod metrics;
pub mod progress;
