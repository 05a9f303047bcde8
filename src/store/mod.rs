//! Where documents go.
//!
//! The trait is as small as it can be, so that the sink can be driven by a store made of values in
//! tests and simulations; [`cosmos`] is the real one.

pub mod cosmos;

use std::future::Future;

use crate::core::key::{DocumentId, PartitionKey};
use crate::core::write::lane::Answer;

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The partition key of everything in it.
    pub key: &'a PartitionKey,
    /// What is asked.
    pub kind: Kind<'a>,
    /// The body, as it goes out.
    pub body: Vec<u8>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// To upsert one document.
    Point(&'a DocumentId),
    /// To upsert so many documents in one transaction.
    Batch(usize),
}

impl Kind<'_> {
    /// The name in the `kind` label of `store_requests_total`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Point(_) => "upsert",
            Self::Batch(_) => "batch",
        }
    }
}

/// A range of partition keys that the store keeps in one place, and throttles by itself: in Cosmos DB, a
/// physical partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyRange(pub u32);

/// Why nothing can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The reason's name in the metrics and on `/readyz`.
    pub reason: &'static str,
    /// What was seen, and what to do.
    pub detail: String,
}

/// A store of documents.
pub trait Store: Send + Sync + 'static {
    /// Sends a request once and gives what came of it. It ends within the request timeout; no answer
    /// in time is an answer too (408). Dropping the future abandons the request, whose outcome is
    /// then unknown.
    fn write(&self, request: Request<'_>) -> impl Future<Output = Answer> + Send;

    /// In which range a partition key is, as far as known. Where nothing is known, all keys are in one.
    fn range_of(&self, key: &PartitionKey) -> KeyRange;

    /// Looks whether the container is there and has the partition key paths of the configuration.
    fn check(&self) -> impl Future<Output = Result<(), Obstacle>> + Send;
}
