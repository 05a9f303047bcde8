//! What became of one record.

use super::kafka::Offset;
use super::reason::Reason;

/// What became of one record. The ledger accepts nothing else, so nothing can be forgotten, and the
/// compiler asks what a new way to end means everywhere it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Cosmos DB holds it.
    Stored,
    /// A newer record of the same document in the same micro-batch was stored in its place.
    Superseded {
        /// The offset of the newer record.
        by: Offset,
    },
    /// The dead-letter topic has acknowledged it.
    DeadLettered(Reason),
    /// Left out by a policy that the user set.
    Skipped(Policy),
}

/// A policy by which records are left out, each counted under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// `event.tombstone = "skip"`.
    Tombstone,
    /// `kafka.on_corrupt = "skip"`.
    Corrupt,
    /// `kafka.on_out_of_range = "earliest"` or `"latest"`.
    OutOfRange,
}

impl Policy {
    /// The name in the `reason` label of `events_skipped_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Corrupt => "corrupt",
            Self::OutOfRange => "out_of_range",
        }
    }
}

/// One record's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which record of its partition.
    pub offset: Offset,
    /// What became of it.
    pub outcome: Settled,
}
