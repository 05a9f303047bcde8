//! Faults injected into the real parts, and an oracle that counts: whatever breaks, nothing is lost and
//! nothing is doubled.
//!
//! Each scenario is a test, in a short form of some seconds. `make soak SCENARIO=name MINUTES=30` runs one for
//! long. It prints its seed; `STREAMPROC_SEED` repeats an earlier run's choices, though not the machine's timing.
//! The rules of the oracle are those of `docs/reliability.md`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod brokers;
mod clocks;
mod containers;
mod cosmos;
mod isolation;
mod judge;
mod letters;
mod mix;
#[cfg(feature = "mutants")]
mod mutants;
mod network;
mod processes;
mod regions;
mod scenario;
#[path = "../stage/mod.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod topics;
mod versions;
mod world;
