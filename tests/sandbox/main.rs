//! The sandbox, seen from outside: by Microsoft's SDKs, by bare HTTP, by librdkafka and from a shell.
#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod command;
mod control;
mod cosmos;
mod faults;
mod kafka;
mod limits;
mod python;
