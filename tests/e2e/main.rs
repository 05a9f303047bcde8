//! End to end: the service as a process, against real Kafka brokers. One binary, because linking
//! one is cheaper than linking many and because its tests share a broker.
//!
//! `cargo test --test e2e kafka_smoke` runs one module of it, and Kafka starts only for a test that
//! asks for it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin_port;
mod bad_events;
mod corrupt;
mod cosmos_sign_in;
mod cosmos_tls;
mod dashboard;
mod gaps;
mod guarded;
mod harness_smoke;
mod hostile_text;
mod isolation;
mod kafka_rights;
mod kafka_sign_in;
mod kafka_smoke;
mod kafka_tls;
mod kafka_tokens;
mod kills;
mod main_job;
mod memory;
mod oddities;
mod offsets;
#[path = "../monitoring/panels.rs"]
mod panels;
mod rebalances;
mod request_units;
mod sign_in_smoke;
#[path = "../stage/mod.rs"]
mod stage;
mod starts;
#[path = "../support/mod.rs"]
mod support;
mod trouble_at_start;
mod trouble_while_running;
mod whole;
