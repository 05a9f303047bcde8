//! The sample's assertions over the stored documents: nothing lost, nothing doubled, in order, in
//! time.
//!
//! Every document is read once, by its few fields that matter, and none is kept; what is kept is in
//! `tally`. The container should be at rest: an event that is on its way is a gap.
//!
//! Times. A document is *stored* at its `_ts`, which Cosmos DB itself writes, in whole seconds. That
//! is what minutes and latencies are taken from, because it is the only time that comes after the
//! write; a service's own `processedAt` comes before it and would not show a slow store. As `_ts` is
//! cut off, half a second is added for latencies. A document that was enqueued after it was stored, by
//! more than clocks differ, is counted and left out of them. A document that is written again has the `_ts` of
//! the last time.

mod read;
mod report;
mod sequence;
mod tally;
mod window;

#[cfg(test)]
mod tests;

pub use read::{Fields, Selection, verify};
pub use report::{Assertion, Bound, Expectations, Found, Name, Report, SequenceRange};
pub use window::{Rate, Window};
