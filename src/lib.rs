//! `streamproc` reads JSON events from Kafka and upserts each one into Azure Cosmos DB under its
//! event id: nothing lost, nothing doubled.
//!
//! ARCHITECTURE.md shows the way of an event through these modules. Imports go one way:
//! `cli` → `service` → (`source`, `sink`, `store`, `dead_letter`) → `core`, and `core`, where every
//! decision is made, knows no clock, socket, task or file. `tests/tidy.rs` keeps it so.

pub mod cli;
pub mod config;
pub mod core;
pub mod query;
pub mod simulator;
pub mod verifier;
