//! Writing one micro-batch: what is sent, in which order, and what an answer means.
//!
//! [`plan`] coalesces the versions of a document and groups documents by partition key; each group
//! is a [`lane::Lane`], which has at most one request in flight, and [`body`] makes the bytes of that.
//! [`verdict`] is the table of what Cosmos DB's answers mean. When a request may go out is up to the
//! [`pace`] of its partition key range and to the [`governor`] of the configured limit, by an [`estimate`] of
//! what it will cost.

pub mod body;
pub mod estimate;
pub mod governor;
pub mod lane;
pub mod pace;
pub mod plan;
pub mod refusals;
pub mod verdict;
