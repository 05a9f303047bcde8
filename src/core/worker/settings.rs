//! What a worker is told about how to work.

use std::time::{Duration, Instant};

use super::{Begin, Hold};
use crate::core::kafka::Offset;
use crate::core::mutant::{self, Mutant};

/// How a worker works. The times that are no setting of the user's are here too, with the reason
/// for their size, so that tests and simulations can shorten them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most records in one micro-batch.
    pub max_events: usize,
    /// How long a micro-batch waits to fill.
    pub interval: Duration,
    /// How long a partition may take once it is asked back: to end its writes, and to commit.
    pub shutdown_timeout: Duration,
    /// What becomes of an offset that does not exist.
    pub on_out_of_range: OutOfRangePolicy,
    /// Whether unreadable batches are left out (and counted) instead of holding the partition.
    pub skip_corrupt: bool,
    /// The least time between two commits: a kill costs at most so many repeated upserts.
    pub commit_interval: Duration,
    /// How much of that is left for the commit.
    pub commit_timeout: Duration,
    /// How long after a commit that failed the next one waits.
    pub commit_retry: Duration,
    /// How long a full partition makes others starve before it is paused: longer than a batch takes when
    /// Cosmos DB is well, shorter than anyone notices.
    pub patience: Duration,
    /// How often a held partition is looked at again.
    pub recheck: Duration,
    /// How often a start that could not be found is looked for again.
    pub recheck_unknown_start: Duration,
    /// How often a doubtful place is probed again when the last probe could not tell.
    pub reprobe: Duration,
    /// How long a start may be looked for before its partition counts as held.
    pub start_timeout: Duration,
    /// The longest time between two looks at the state.
    pub longest_sleep: Duration,
    /// The shortest, unless something happens.
    pub shortest_sleep: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_events: 10_000,
            interval: Duration::from_millis(500),
            shutdown_timeout: Duration::from_secs(25),
            on_out_of_range: OutOfRangePolicy::Hold,
            skip_corrupt: false,
            commit_interval: Duration::from_secs(1),
            commit_timeout: Duration::from_secs(5),
            commit_retry: Duration::from_millis(100),
            patience: Duration::from_millis(200),
            recheck: Duration::from_secs(30),
            recheck_unknown_start: Duration::from_secs(2),
            reprobe: Duration::from_secs(5),
            start_timeout: Duration::from_secs(5),
            longest_sleep: Duration::from_millis(100),
            shortest_sleep: Duration::from_millis(1),
        }
    }
}

/// What becomes of a partition whose offset does not exist in the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRangePolicy {
    /// It is held until somebody sets an offset that exists.
    Hold,
    /// It goes on at the oldest record there is.
    Earliest,
    /// It goes on at the end.
    Latest,
}

impl OutOfRangePolicy {
    /// Where to go on when `offset` is outside of `low..=high`.
    ///
    /// What is counted as lost is what the offsets tell: the records between the offset and the
    /// place where reading goes on. Behind the end (a topic made anew, a truncated log) nothing can
    /// be told, and nothing is counted.
    pub fn apply(self, offset: Offset, low: Offset, high: Offset) -> Begin {
        let lost = |to: Offset| u64::try_from(to.0 - offset.0).unwrap_or(0);
        match self {
            Self::Hold if mutant::is(Mutant::JumpsSilently) => Begin::Jump { to: high, lost: 0 },
            Self::Hold => Begin::Hold(Hold::OutOfRange { offset, low, high }),
            Self::Earliest => Begin::Jump { to: low, lost: lost(low) },
            Self::Latest => Begin::Jump { to: high, lost: lost(high) },
        }
    }

    /// Where to go on when the topic is not the one any more that was read up to `offset`: what it holds
    /// are other records, and none of them counts as read.
    pub fn apply_anew(self, offset: Offset, low: Offset, high: Offset) -> Begin {
        match self {
            Self::Hold => self.apply(offset, low, high),
            // As if nothing of it had been read.
            Self::Earliest | Self::Latest => self.apply(low, low, high),
        }
    }
}

/// Whether a worker wants to be given records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// Read on.
    Hungry,
    /// Read nothing until then, or until an input arrives.
    Wait(Instant),
}

impl Appetite {
    pub(super) fn and_wait(self, until: Instant) -> Self {
        match self {
            Self::Hungry => Self::Wait(until),
            Self::Wait(other) => Self::Wait(other.min(until)),
        }
    }
}
