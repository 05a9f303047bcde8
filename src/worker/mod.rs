//! The workers: threads that own Kafka clients and do what [`crate::core::worker`] decides.
//!
//! A worker's thread polls its client, hands records and notices to the state machine, and performs
//! the effects. It never waits for Cosmos DB, for a token, or for an answer of Kafka: micro-batches
//! are written on the async runtime, questions are asked on a thread beside it, and both answer
//! through the worker's inbox.

mod client;
mod commits;
mod inbox;
mod jobs;
mod joining;
mod ownership;
mod pool;
mod settings;
#[cfg(test)]
mod tests;
mod thread;

pub use self::joining::Joining;
pub use self::ownership::Ownership;
pub use self::pool::{Broken, Pool, Shared};
pub use self::settings::Settings;
