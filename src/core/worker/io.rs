//! What goes into the worker and what comes out.

use super::{Batch, CommitNumber, Hold};
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::settled::{Policy, Settlement};

/// Something happened.
#[derive(Debug)]
pub enum Input {
    /// The group gave us partitions.
    Assigned(Vec<TopicPartition>),
    /// The group wants partitions back; if `lost`, others may have them already.
    Revoked {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Whether our membership is gone, so that nothing may be committed any more.
        lost: bool,
    },
    /// It was found out where to begin (or, for a held partition, whether it can go on).
    Begin {
        /// Which partition.
        partition: TopicPartition,
        /// In which assignment.
        epoch: Epoch,
        /// Where, or why not.
        at: Begin,
    },
    /// The group has another offset than the one that does not exist: somebody has set it.
    OffsetSet {
        /// Which partition.
        partition: TopicPartition,
        /// In which assignment.
        epoch: Epoch,
        /// Where, or why it does not help.
        at: Begin,
    },
    /// Records of a micro-batch have ended.
    Settled {
        /// Which partition.
        partition: TopicPartition,
        /// In which assignment.
        epoch: Epoch,
        /// How they ended.
        settlements: Vec<Settlement>,
    },
    /// A micro-batch is over: nothing of it is in flight any more.
    Ended {
        /// Which partition.
        partition: TopicPartition,
        /// In which assignment.
        epoch: Epoch,
    },
    /// Kafka answered a commit.
    Committed {
        /// Which.
        number: CommitNumber,
        /// For each partition of it.
        answers: Vec<(TopicPartition, Offset, CommitOutcome)>,
    },
    /// The client reported something it could not read. It does not say where.
    Unreadable,
    /// Doubtful stretches were probed.
    Probed(Vec<Probed>),
    /// The client stopped fetching a partition because its offset does not exist. It does not say which.
    OffsetGone,
    /// The client says that a topic is not there. It may have been deleted, and be made anew.
    TopicMissing,
    /// The limits of partitions were read.
    Ranges(Vec<Range>),
    /// The process is to end: settle, commit, and say when that is done.
    Drain,
    /// The client is broken beyond repair and will be replaced: everything it owned is lost.
    ClientLost,
}

/// Where a partition begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Here. It is what the group has committed.
    At(Offset),
    /// Here. The group has committed nothing for it.
    Unset(Offset),
    /// Here, by policy, instead of at the committed offset, which does not exist any more.
    Jump {
        /// Where.
        to: Offset,
        /// How many records are left out, as far as the offsets tell.
        lost: u64,
    },
    /// Nowhere yet.
    Hold(Hold),
}

/// How Kafka answered a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is kept.
    Kept,
    /// Not now; asking again may help.
    TryAgain,
    /// Never, for this assignment.
    Refused,
    /// It was not asked for: the group has no offset any more where it had one, or a lower one, which is
    /// not ours. Kafka deletes them with the topic, so what is there now, if anything, are other records.
    Gone,
}

/// From a place on, up to and including the first record at or behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From here.
    pub from: Offset,
    /// To here.
    pub to: Offset,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Every record of the stretch can be read.
    Readable,
    /// Records cannot be read.
    Unreadable {
        /// From here on.
        at: Offset,
        /// The first place from which on reading works again, if that could be found out.
        resumes_at: Option<Offset>,
    },
    /// Where it begins does not exist in the topic.
    Gone,
    /// It could not be found out.
    Unknown,
}

impl Finding {
    /// Whether nothing can be read from this place on, where the stretch begins.
    pub(super) fn is_unreadable_at(self, begin: Offset) -> bool {
        matches!(self, Self::Unreadable { at, .. } if at <= begin)
    }
}

/// A doubtful stretch and what a probe found there.
#[derive(Clone, Debug)]
pub struct Probed {
    /// Which partition.
    pub partition: TopicPartition,
    /// In which assignment.
    pub epoch: Epoch,
    /// What was in doubt.
    pub stretch: Stretch,
    /// What was found.
    pub finding: Finding,
}

/// The limits of a partition in Kafka.
#[derive(Clone, Debug)]
pub struct Range {
    /// Which partition.
    pub partition: TopicPartition,
    /// In which assignment.
    pub epoch: Epoch,
    /// The next offset to read when the question was asked.
    pub position: Offset,
    /// The oldest offset there is.
    pub low: Offset,
    /// The offset of the next record to be written.
    pub high: Offset,
}

/// Something to be done.
#[derive(Debug)]
pub enum Effect {
    /// Find out where to begin; answered by [`Input::Begin`].
    FindStart(Vec<(TopicPartition, Epoch)>),
    /// Find out whether the group has another offset than this by now; answered by
    /// [`Input::OffsetSet`] if so, and not at all if not.
    FindOffset(Vec<(TopicPartition, Epoch, Offset)>),
    /// Tell the group that what it gave is taken.
    Accept,
    /// Give these to the client, to be read from there on.
    Assign(Vec<(TopicPartition, Offset)>),
    /// Tell the group that these are given back. Some may never have been given to the client.
    Unassign(Vec<TopicPartition>),
    /// Fetch nothing of this partition: it is full. Where it is to read on stays as it is.
    Pause(TopicPartition),
    /// Fetch nothing of this partition, until it is told where to read on.
    Stop(TopicPartition),
    /// Fetch it again.
    Resume(TopicPartition),
    /// Read from here, and resume.
    SeekAndResume(TopicPartition, Offset),
    /// Write this micro-batch; answered by [`Input::Settled`] and [`Input::Ended`].
    Write(Box<Batch>),
    /// The partition is asked back: end what only waits of the micro-batch in flight.
    WindDown(TopicPartition, Epoch),
    /// Start nothing more of the micro-batch in flight.
    Abandon(TopicPartition, Epoch),
    /// Commit these offsets; answered by [`Input::Committed`]. There is no other commit before that. The
    /// last ones are what the group had of them; see first whether it still has
    /// ([`CommitOutcome::Gone`]).
    Commit(CommitNumber, Vec<(TopicPartition, Offset)>, Vec<(TopicPartition, Offset)>),
    /// Find out whether these can be read; answered by [`Input::Probed`].
    Probe(Vec<(TopicPartition, Epoch, Stretch)>),
    /// Read the limits of these, which are read from these offsets on; answered by [`Input::Ranges`].
    ReadRange(Vec<(TopicPartition, Epoch, Offset)>),
    /// The partition is held, for everybody to see.
    Held(TopicPartition, Hold),
    /// The partition goes on.
    Released(TopicPartition),
    /// So many records were left out by policy.
    Skipped(TopicPartition, Policy, u64),
    /// A committed offset or position did not exist any more.
    OutOfRange(TopicPartition),
    /// After [`Input::Drain`]: nothing is in flight, what is settled is committed.
    Drained,
}

impl Effect {
    /// Whether it is about the Kafka client, and void when that is gone.
    pub(super) fn is_for_client(&self) -> bool {
        match self {
            Self::FindStart(_)
            | Self::FindOffset(_)
            | Self::Accept
            | Self::Assign(_)
            | Self::Unassign(_)
            | Self::Pause(_)
            | Self::Stop(_)
            | Self::Resume(_)
            | Self::SeekAndResume(..)
            | Self::Commit(..)
            | Self::Probe(_)
            | Self::ReadRange(_) => true,
            Self::Write(_)
            | Self::WindDown(..)
            | Self::Abandon(..)
            | Self::Held(..)
            | Self::Released(_)
            | Self::Skipped(..)
            | Self::OutOfRange(_)
            | Self::Drained => false,
        }
    }
}

/// Where a partition stands.
#[derive(Debug)]
pub struct Standing<'a> {
    /// Which.
    pub partition: TopicPartition,
    /// In which assignment.
    pub epoch: Epoch,
    /// The last committed offset, if known.
    pub committed: Option<Offset>,
    /// Everything below is settled.
    pub frontier: Offset,
    /// The next offset to read.
    pub position: Offset,
    /// Records read and not settled.
    pub unsettled: usize,
    /// The timestamp of the oldest record of the batch being written, or else of the one filling.
    pub oldest_timestamp_millis: Option<i64>,
    /// Why nothing is read, if so.
    pub hold: Option<&'a Hold>,
}
