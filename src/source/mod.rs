//! Kafka, as the place where events come from: one consumer a worker, and what has to be asked of it
//! besides records.

pub mod committed;
pub mod consumer;
pub mod context;
pub mod errors;
pub mod group;
pub mod headers;
pub mod lists;
pub mod lookup;
pub mod probe;
pub mod seen;
pub mod statistics;
pub mod traffic;
