//! `streamproc` reads JSON events from Kafka and upserts each one into Azure Cosmos DB under its
//! event id: nothing lost, nothing doubled.
//!
//! ARCHITECTURE.md shows the way of an event through these modules. Imports go one way:
//! `cli` → `service` → (`source`, `sink`, `store`, `dead_letter`) → `core`, and `core`, where every
//! decision is made, knows no clock, socket, task or file. `tests/tidy.rs` keeps it so.

pub mod admin;
pub mod azure;
pub mod cli;
pub mod config;
pub mod core;
pub mod dead_letter;
pub mod kafka;
pub mod observe;
pub mod offsets;
pub mod query;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod service;
pub mod simulator;
pub mod sink;
pub mod source;
pub mod store;
pub mod verifier;
pub mod worker;
