//! Asking the container by SQL.
//!
//! Documents are handed out as the store wrote them, one page after the other, and none is kept.
//! Plain aggregates over all partitions, which Microsoft's SDK refuses, are computed here from their
//! arguments; `shape` has the table of what goes where.

mod aggregate;
mod run;
mod shape;
mod token;

#[cfg(test)]
mod tests;

#[cfg(feature = "sandbox")]
pub(crate) use run::key_value;
pub use run::{Outcome, QueryError, Request, run};
