//! The documentation tells what the program does: each page that lists something is held against the
//! program's own list.
//!
//!     STREAMPROC_BLESS=1 cargo test --test docs     writes docs/configuration.md anew

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod configuration;
mod dead_letters;
mod document;
mod links;
mod metrics;
mod operations;
mod page;
mod performance;
mod reliability;
