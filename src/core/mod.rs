//! Every decision of the service, as plain synchronous functions over values.
//!
//! Nothing in here knows a clock, a socket, a task or a file: time comes in as an argument, and
//! what should happen goes out as a value. That is why it can be tested against slow, obviously
//! right models, and why the same inputs always give the same outputs.

pub mod budget;
pub mod json;
pub mod kafka;
pub mod key;
pub mod ledger;
pub mod mutant;
pub mod reason;
pub mod records;
pub mod settled;
pub mod shown;
pub mod start;
pub mod transform;
pub mod worker;
pub mod write;
