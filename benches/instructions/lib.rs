//! The core, compiled alone: in half a minute, where the service with its clients takes eight.
//!
//! It is a library apart from the steps that call it, as in the service, so that about as much is inlined here as
//! there.

#![allow(missing_docs, reason = "the service's own library checks them")]

pub mod config;
#[path = "../../src/core/mod.rs"]
pub mod core;
#[path = "../../src/simulator/event.rs"]
mod event;

pub mod simulator {
    //! Of the simulator, its events. The rest needs librdkafka.

    pub use crate::event::Events;
}
