//! The simulator against librdkafka's Kafka in memory; verification and queries against
//! Microsoft's Cosmos DB in memory; and the three commands as someone runs them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod command;
mod query;
mod simulate;
mod store;
mod verify;
