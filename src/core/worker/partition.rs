//! One partition of a worker: the micro-batch that fills, the one that is written, and the ledger.

use std::fmt;
use std::time::{Duration, Instant};

use super::io::Stretch;
use super::settings::Settings;
use super::{Standing, TopicPartition};
use crate::core::budget::{Budget, Charge, Room};
use crate::core::kafka::{Epoch, Offset};
use crate::core::ledger::Ledger;
use crate::core::mutant::{self, Mutant};
use crate::core::records::{RawRecord, Records};
use crate::core::settled::{Policy, Settled, Settlement};

/// Bytes are taken from the budget in steps of this size, so that not every record asks for a lock.
const CHARGE_STEP: usize = 32 << 10;

/// A micro-batch on its way to be written: records of one assignment of one partition.
#[derive(Debug)]
pub struct Batch {
    /// Whose records.
    pub partition: TopicPartition,
    /// In which assignment.
    pub epoch: Epoch,
    /// The records, in offset order.
    pub records: Records,
    /// When the first record came.
    pub opened_at: Instant,
    /// What the records take of the byte budget, given back when the batch is dropped.
    pub charge: Charge,
}

/// Why nothing is read from a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The offset to read does not exist in the topic.
    OutOfRange {
        /// The offset that was committed or reached.
        offset: Offset,
        /// The oldest offset there is.
        low: Offset,
        /// The offset of the next record to be written.
        high: Offset,
    },
    /// Records from there on cannot be read.
    Corrupt {
        /// The first offset that cannot be read.
        at: Offset,
    },
    /// The group has no offset, and `kafka.start` is `fail`.
    NoOffset,
    /// Where to begin could not be found out yet.
    UnknownStart,
}

impl Hold {
    /// The name in the `reason` label of `paused` and on `/readyz`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::OutOfRange { .. } => "out_of_range",
            Self::Corrupt { .. } => "corrupt",
            Self::NoOffset => "no_offset",
            Self::UnknownStart => "unknown_start",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { offset, low, high } => {
                if (low..=high).contains(&offset) {
                    write!(
                        f,
                        "the topic is not the one any more that was read up to offset {offset}: \
                               it was made anew, and holds {low} to {high}"
                    )
                } else {
                    write!(f, "offset {offset} is not in the topic, which holds {low} to {high}")
                }
            }
            Self::Corrupt { at } => write!(f, "the records from offset {at} on cannot be read"),
            Self::NoOffset => f.write_str("the group has no committed offset and kafka.start is \"fail\""),
            Self::UnknownStart => f.write_str("the committed offset could not be read from Kafka yet"),
        }
    }
}

#[derive(Debug)]
pub(super) enum Phase {
    Starting {
        since: Instant,
    },
    Reading,
    /// Nothing more is read. What was read is written: Kafka may not have it any more.
    Held {
        hold: Hold,
        recheck_at: Instant,
    },
    /// The same until all of that has ended; then reading goes on elsewhere.
    Leaping(Leap),
    /// The same until all of that has ended and is committed; then it is held, because an offset does
    /// not exist. From then on the offset is an operator's to set, who must not be overwritten.
    Stopping(Hold),
    HandingOver(TimeLimits),
}

/// Where a partition is about to read on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leap {
    /// Everything before this place must have ended.
    pub(super) from: Offset,
    pub(super) to: Offset,
    /// Why what lies between is left out.
    pub(super) policy: Policy,
    /// How much lies between, as far as the offsets tell.
    pub(super) lost: u64,
}

/// What the client may have met and could not read, and has perhaps passed over.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    stretch: Stretch,
    /// When to probe it; none while a probe is under way.
    probe_at: Option<Instant>,
}

/// How long a partition that was asked back may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    /// What is still in flight then is abandoned.
    pub(super) write_until: Instant,
    /// Without a commit by then, it goes without.
    pub(super) commit_until: Instant,
}

impl TimeLimits {
    /// All of it within the time that the user has set: a part at the end is left for the commit.
    pub(super) fn from(now: Instant, settings: &Settings) -> Self {
        let all = settings.shutdown_timeout;
        let for_commit = settings.commit_timeout.min(all / 4);
        Self { write_until: now + all.saturating_sub(for_commit), commit_until: now + all }
    }
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) epoch: Epoch,
    pub(super) phase: Phase,
    /// Whether the client was given this partition.
    pub(super) told: bool,
    pub(super) ledger: Ledger,
    pub(super) committed: Option<Offset>,
    /// The topic may not be the one any more that this was committed for: commit it again, to see.
    pub(super) is_to_be_confirmed: bool,
    /// The topic is not the one any more that was read: nothing of that may be committed.
    pub(super) is_made_anew: bool,
    /// Kafka will not take a commit for this assignment any more.
    pub(super) commit_refused: bool,
    /// The last offset of the micro-batch that is being written, if there is one.
    pub(super) in_flight: Option<Offset>,
    doubt: Option<Doubt>,
    /// Whether it is being probed if what holds it can be read by now.
    pub(super) is_probed: bool,
    filling: Records,
    charge: Charge,
    opened_at: Option<Instant>,
    pub(super) name: TopicPartition,
    budget: Budget,
    /// The largest record of late: what the next one may need.
    largest: usize,
    /// The largest record of the micro-batch that fills.
    largest_filling: usize,
    /// What the budget allows at present.
    room: Room,
    paused: bool,
    full_since: Option<Instant>,
    /// Its last batch took longer than the patience: pause at once instead of making others starve.
    slow: bool,
    /// When the batch in flight was cut.
    cut_at: Instant,
    /// How long its batches took of late to be written.
    writing: Duration,
}

/// What a partition makes of another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hunger {
    /// It takes one, or none can come; either way nobody has to care.
    None,
    /// It takes one, and has nothing to write until it gets one.
    Starving {
        /// How long it may: as long as its own micro-batches take of late.
        patience: Duration,
    },
    /// It has room again.
    Resume,
    /// It has no room.
    Full {
        since: Instant,
        /// Its last batch took longer than the patience.
        slow: bool,
        /// The largest record of late.
        largest: usize,
    },
}

impl Partition {
    pub(super) fn starting(epoch: Epoch, budget: Budget, name: TopicPartition, now: Instant) -> Self {
        Self {
            epoch,
            phase: Phase::Starting { since: now },
            told: false,
            ledger: Ledger::new(Offset(0)),
            committed: Some(Offset(0)),
            is_to_be_confirmed: false,
            is_made_anew: false,
            commit_refused: false,
            in_flight: None,
            doubt: None,
            is_probed: false,
            filling: Records::new(),
            charge: budget.open(&name),
            opened_at: None,
            name,
            budget,
            largest: 0,
            largest_filling: 0,
            room: Room { limit: usize::MAX, used: 0 },
            paused: false,
            full_since: None,
            slow: false,
            cut_at: now,
            writing: Duration::ZERO,
        }
    }

    /// Begins to read at `offset`. `committed` is what the group is known to have committed; without
    /// it the place itself is committed before long.
    pub(super) fn read_from(&mut self, offset: Offset, committed: Option<Offset>) {
        self.phase = Phase::Reading;
        self.ledger = Ledger::new(offset);
        self.committed = committed;
        self.is_made_anew = false;
        self.in_flight = None;
        self.doubt = None;
        self.is_probed = false;
        self.paused = false;
        self.drop_filling();
    }

    /// The client fetches again, from the place where this stands.
    pub(super) fn is_fetched_again(&mut self) {
        self.paused = false;
    }

    /// Reads nothing more until the reason is gone.
    pub(super) fn hold(&mut self, hold: Hold, recheck_at: Instant) {
        self.phase = Phase::Held { hold, recheck_at };
    }

    /// Everything before this place must have ended, before it is held or reads on elsewhere.
    pub(super) fn leaps_or_stops_at(&self) -> Option<Offset> {
        match &self.phase {
            Phase::Leaping(leap) => Some(leap.from),
            Phase::Stopping(_) => Some(self.ledger.position()),
            _ => None,
        }
    }

    /// Reads nothing more. What waits to be written is left to the next owner, what is in flight may
    /// end within the limits.
    pub(super) fn stop_reading(&mut self, limits: TimeLimits) {
        self.phase = Phase::HandingOver(limits);
        if mutant::is(Mutant::LosesTheTail) {
            let settled = |index| Settlement { offset: self.filling.offset(index), outcome: Settled::Stored };
            self.ledger.settle(&(0..self.filling.len()).map(settled).collect::<Vec<_>>());
        }
        self.drop_filling();
    }

    fn drop_filling(&mut self) {
        self.filling = Records::new();
        self.charge = self.budget.open(&self.name);
        self.opened_at = None;
        self.full_since = None;
    }

    /// Takes a record in; gives whether there is room for another.
    pub(super) fn take(&mut self, record: &RawRecord<'_>, now: Instant, settings: &Settings) -> bool {
        if !matches!(self.phase, Phase::Reading)
            || self.ledger.observe(record.offset, record.timestamp_millis).is_err()
        {
            return true;
        }
        self.filling.push(record);
        self.opened_at.get_or_insert(now);
        self.largest_filling = self.largest_filling.max(record.cost());
        self.largest = self.largest.max(record.cost());
        if self.filling.cost() > self.charge.bytes() {
            let missing = self.filling.cost() - self.charge.bytes();
            self.charge.add(missing.max(CHARGE_STEP.min(self.room.limit / 16)));
            self.measure_room();
        }
        !self.is_full(settings)
    }

    fn measure_room(&mut self) {
        self.room = self.budget.room(&self.name);
    }

    /// Whether the next record, if it is as large as the largest of late, has to wait. Half of what
    /// the partition may hold is for the batch that is written, half for the one that fills. A
    /// partition that holds nothing takes any record: it has to pass somehow.
    fn is_full(&self, settings: &Settings) -> bool {
        if self.filling.is_empty() && self.in_flight.is_none() {
            return false;
        }
        let Room { limit, used } = self.room;
        let too_large_a_batch = !self.filling.is_empty() && self.filling.cost() + self.largest > limit / 2;
        let spare = self.charge.bytes().saturating_sub(self.filling.cost());
        let over = used.saturating_sub(spare) + self.largest > limit;
        self.filling.len() >= settings.max_events || too_large_a_batch || over
    }

    /// Cuts a micro-batch if one is due and none is in flight.
    pub(super) fn cut(&mut self, now: Instant, settings: &Settings) -> Option<Batch> {
        let opened_at = self.opened_at?;
        let due = match self.phase {
            Phase::Reading => now >= opened_at + settings.interval || self.is_full(settings),
            // Nothing will be added to it.
            Phase::Held { .. } | Phase::Leaping(_) | Phase::Stopping(_) => true,
            Phase::Starting { .. } | Phase::HandingOver(_) => false,
        };
        if !due || self.in_flight.is_some() {
            return None;
        }
        let mut records = std::mem::take(&mut self.filling);
        let charge = std::mem::replace(&mut self.charge, self.budget.open(&self.name));
        self.opened_at = None;
        if records.len() > settings.max_events {
            // What came while it was full.
            self.filling = records.split_off(settings.max_events);
            self.charge.add(self.filling.cost());
            self.opened_at = Some(now);
        }
        self.in_flight = records.range().map(|(_, last)| last);
        self.cut_at = now;
        // One large record is no reason to expect only such for ever.
        self.largest = (self.largest / 2).max(std::mem::take(&mut self.largest_filling));
        Some(Batch { partition: self.name.clone(), epoch: self.epoch, records, opened_at, charge })
    }

    /// The batch in flight is over. Gives whether all of its records have ended; if not, whoever
    /// wrote it broke down.
    pub(super) fn ended(&mut self, now: Instant, settings: &Settings) -> bool {
        let last = self.in_flight.take();
        // One slow batch is no reason to be patient for ever.
        self.writing = (self.writing / 2).max(now.duration_since(self.cut_at));
        if let Some(since) = self.full_since {
            self.slow = now.duration_since(since) >= settings.patience;
        }
        last.is_none_or(|last| self.ledger.oldest_unsettled().is_none_or(|oldest| oldest > last))
    }

    /// Whether it can take records, and whether it needs them.
    pub(super) fn hunger(&mut self, now: Instant, settings: &Settings) -> Hunger {
        if !matches!(self.phase, Phase::Reading) {
            return Hunger::None;
        }
        self.measure_room();
        if !self.is_full(settings) {
            self.full_since = None;
            return match self.paused {
                true if self.filling.is_empty() => Hunger::Resume,
                false if self.in_flight.is_none() => Hunger::Starving { patience: self.writing },
                _ => Hunger::None,
            };
        }
        if self.paused {
            return Hunger::None;
        }
        let since = *self.full_since.get_or_insert(now);
        Hunger::Full { since, slow: self.slow, largest: self.largest }
    }

    /// The client is told to pause it, or to go on.
    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// The client met something it cannot read, perhaps here: no commit may pass this place.
    pub(super) fn doubts(&mut self, now: Instant) {
        let to = self.ledger.position();
        self.set_doubt(match self.doubt {
            None => Doubt { stretch: Stretch { from: to, to }, probe_at: Some(now) },
            Some(Doubt { stretch: Stretch { from, .. }, probe_at }) => {
                Doubt { stretch: Stretch { from, to }, probe_at }
            }
        });
    }

    /// What to probe now, if anything.
    pub(super) fn probe_now(&mut self, now: Instant) -> Option<Stretch> {
        let doubt = self.doubt.as_mut()?;
        doubt.probe_at.take_if(|at| now >= *at)?;
        Some(doubt.stretch)
    }

    /// The probe could not tell.
    pub(super) fn probes_again(&mut self, at: Instant) {
        if let Some(doubt) = &mut self.doubt {
            doubt.probe_at = Some(at);
        }
    }

    /// From here on records cannot be read.
    pub(super) fn breaks_off(&mut self, at: Offset) {
        self.set_doubt(Doubt { stretch: Stretch { from: at, to: at }, probe_at: None });
    }

    fn set_doubt(&mut self, doubt: Doubt) {
        self.doubt = Some(doubt);
        self.ledger.set_barrier(Some(doubt.stretch.from));
    }

    pub(super) fn to_commit(&self) -> Option<Offset> {
        let frontier = self.ledger.frontier();
        let moved = self.committed.is_none_or(|committed| frontier > committed) || self.is_to_be_confirmed;
        let may_be = !self.commit_refused && !self.is_made_anew;
        (moved && may_be && !matches!(self.phase, Phase::Starting { .. })).then_some(frontier)
    }

    /// Nothing is in flight, nothing waits to be written.
    pub(super) fn is_written(&self) -> bool {
        self.in_flight.is_none() && self.filling.is_empty()
    }

    /// Nothing waits to be committed either.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_written() && self.to_commit().is_none()
    }

    pub(super) fn waits_only_for_commit(&self) -> bool {
        matches!(self.phase, Phase::HandingOver(_)) && self.in_flight.is_none() && self.to_commit().is_some()
    }

    pub(super) fn is_handed_over(&self) -> bool {
        matches!(self.phase, Phase::HandingOver(_)) && self.is_at_rest()
    }

    pub(super) fn wake_at(&self, settings: &Settings) -> Option<Instant> {
        match self.phase {
            Phase::Starting { since } => Some(since + settings.start_timeout),
            Phase::Reading => {
                let cut_at = self.opened_at.filter(|_| self.in_flight.is_none());
                let probe_at = self.doubt.and_then(|doubt| doubt.probe_at);
                [cut_at.map(|at| at + settings.interval), probe_at].into_iter().flatten().min()
            }
            Phase::Leaping(_) | Phase::Stopping(_) => None,
            Phase::Held { recheck_at, .. } => Some(recheck_at),
            Phase::HandingOver(limits) if self.in_flight.is_some() => Some(limits.write_until),
            Phase::HandingOver(limits) => self.to_commit().map(|_| limits.commit_until),
        }
    }

    pub(super) fn standing(&self, partition: TopicPartition) -> Standing<'_> {
        Standing {
            partition,
            epoch: self.epoch,
            committed: self.committed,
            frontier: self.ledger.frontier(),
            position: self.ledger.position(),
            unsettled: self.ledger.unsettled(),
            oldest_timestamp_millis: self.ledger.oldest_timestamp_millis(),
            hold: match &self.phase {
                Phase::Held { hold, .. } => Some(hold),
                Phase::Starting { .. }
                | Phase::Reading
                | Phase::Leaping(_)
                | Phase::Stopping(_)
                | Phase::HandingOver(_) => None,
            },
        }
    }
}
