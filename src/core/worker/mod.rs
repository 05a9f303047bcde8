//! The worker: what one member of the consumer group does with its partitions.
//!
//! A plain state machine. What happened goes in as an [`Input`] (or a record, by
//! [`Worker::take`]), what is to be done comes out as [`Effect`]s, and time is an argument. The
//! thread that owns the Kafka client performs the effects; it is short, because nothing is decided
//! there.
//!
//! The life of a partition:
//!
//! ```text
//!                                        Stopping (until what was read is committed)
//!                                       gone^   v
//!  Assigned ──> Starting ──found──> Reading ──> Held (out of range, corrupt, no offset)
//!                                   │   ^ │        │ repaired
//!                                   │   │ └─jumps─>v
//!                                   │   └─────── Leaping (until what was read is written)
//!                                   │ revoked, drained
//!                                   v
//!                                HandingOver ──settled and committed, or time is up──> gone
//! ```
//!
//! The group is answered at once when it gives partitions, because librdkafka stops reading *all*
//! partitions of a member until it has the answer; each is given to the client when its start is
//! known. When the group wants partitions back it waits for the answer until they are handed over.
//!
//! Invariants, tested in `tests/` beside this file:
//! - a commit is asked for only for a partition of the present epoch, one commit at a time, never
//!   below the last one, and never above an unsettled record;
//! - a partition has at most one micro-batch being written and one filling, and the next starts
//!   only when the one before has ended;
//! - what was read is written before a partition reads on at a later place, because Kafka may not
//!   have it any more;
//! - a revoked partition is unassigned only after its writes have ended or were abandoned, and what
//!   is settled was committed or the time for it is over.

mod assignment;
mod commits;
mod due;
mod io;
mod partition;
mod settings;
#[cfg(test)]
mod tests;
mod trouble;
mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::commits::CommitNumber;
use self::commits::Commits;
pub use self::io::{Begin, CommitOutcome, Effect, Finding, Input, Probed, Range, Standing, Stretch};
pub use self::partition::{Batch, Hold};
use self::partition::{Hunger, Partition, Phase};
pub use self::settings::{Appetite, OutOfRangePolicy, Settings};
use self::wait::{Decision, Full, Wait};
use super::budget::Budget;
use super::kafka::{Epoch, TopicPartition};
use super::mutant::{self, Mutant};
use super::records::RawRecord;

type Topics = BTreeMap<Arc<str>, BTreeMap<i32, Partition>>;

/// One member of the consumer group.
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    budget: Budget,
    topics: Topics,
    next_epoch: u64,
    commits: Commits,
    /// What the group wants back. It is answered once all of it is handed over.
    wanted_back: Option<Vec<TopicPartition>>,
    draining: bool,
    drained: bool,
    effects: Vec<Effect>,
    wait: Wait,
}

impl Worker {
    /// A worker that owns nothing yet.
    pub fn new(settings: Settings, budget: Budget) -> Self {
        Self {
            settings,
            budget,
            topics: BTreeMap::new(),
            next_epoch: 0,
            commits: Commits::default(),
            wanted_back: None,
            draining: false,
            drained: false,
            effects: Vec::new(),
            wait: Wait::default(),
        }
    }

    /// Takes in what happened. What is to be done is collected until [`Worker::effects`].
    pub fn apply(&mut self, input: Input, now: Instant) {
        match input {
            Input::Assigned(partitions) => self.assigned(&partitions, now),
            Input::Revoked { partitions, lost: false } => self.revoked(partitions, now),
            Input::Revoked { partitions, lost: true } => self.lose(&partitions),
            Input::Begin { partition, epoch, at } => self.begin(&partition, epoch, at, now),
            Input::OffsetSet { partition, epoch, at } => self.offset_set(&partition, epoch, at, now),
            Input::Settled { partition, epoch, settlements } => {
                if let Some(partition) = self.present(&partition, epoch) {
                    partition.ledger.settle(&settlements);
                }
            }
            Input::Ended { partition, epoch } => self.ended(&partition, epoch, now),
            Input::Committed { number, answers } => self.committed(number, &answers, now),
            Input::Unreadable => self.unreadable(now),
            Input::Probed(findings) => findings.iter().for_each(|probed| self.probed(probed, now)),
            Input::OffsetGone => {
                let reading = self.reading();
                let asked = reading.map(|(name, reads)| (name, reads.epoch, reads.ledger.position()));
                let wanted = asked.collect();
                self.effects.push(Effect::ReadRange(wanted));
            }
            Input::TopicMissing => self.topic_missing(),
            Input::Ranges(ranges) => self.ranges(&ranges),
            Input::Drain => self.drain(now),
            Input::ClientLost => self.client_lost(),
        }
    }

    /// Takes in a record. Returns whether its partition can take another one at once; if not, ask
    /// [`Worker::effects`] and [`Worker::appetite`] before reading on.
    pub fn take(&mut self, topic: &str, partition: i32, record: &RawRecord<'_>, now: Instant) -> bool {
        let found = self.topics.get_mut(topic).and_then(|partitions| partitions.get_mut(&partition));
        found.is_none_or(|partition| partition.take(record, now, &self.settings))
    }

    /// Moves on whatever time or an input has made due, and gives out what is to be done.
    pub fn effects(&mut self, now: Instant) -> Vec<Effect> {
        self.mention_slow_starts(now);
        self.assign_found();
        self.cut_batches(now);
        self.leap_or_hold(now);
        self.recheck_held(now);
        self.probe_doubts(now);
        self.end_hand_over_in_time(now);
        self.commit(now);
        self.finish_hand_over();
        std::mem::take(&mut self.effects)
    }

    /// Whether to read on, now that some partitions may be full.
    pub fn appetite(&mut self, now: Instant) -> Appetite {
        let mut full = Vec::new();
        let mut starving: Option<Duration> = None;
        for partition in each(&mut self.topics) {
            match partition.hunger(now, &self.settings) {
                Hunger::None => {}
                Hunger::Starving { patience } => {
                    starving = Some(starving.map_or(patience, |least| least.min(patience)));
                }
                Hunger::Resume => {
                    partition.set_paused(false);
                    self.effects.push(Effect::Resume(partition.name.clone()));
                }
                Hunger::Full { since, slow, largest } => {
                    full.push((partition.name.clone(), Full { since, slow, largest }));
                }
            }
        }
        let limits: Vec<_> = full.iter().map(|(_, full)| *full).collect();
        let Decision { pause, appetite } = self.wait.decide(&limits, starving, now, self.settings.patience);
        for (name, _) in full.into_iter().zip(pause).filter_map(|(full, pause)| pause.then_some(full)) {
            if let Some(partition) = self.partition_mut(&name) {
                partition.set_paused(true);
            }
            self.effects.push(Effect::Pause(name));
        }
        appetite
    }

    /// When [`Worker::effects`] should be asked next at the latest, if nothing happens before.
    pub fn wake_at(&self, now: Instant) -> Instant {
        let mut wake = now + self.settings.longest_sleep;
        let settings = &self.settings;
        for (_, partition) in self.partitions() {
            wake = partition.wake_at(settings).map_or(wake, |at| at.min(wake));
        }
        let to_commit = self.partitions().any(|(_, partition)| partition.to_commit().is_some());
        let urgent = self.a_hand_over_waits_for_a_commit();
        let commit_at = self.commits.wake_at(urgent, settings).filter(|_| to_commit);
        // Whatever was due has just been given out; what is still due waits for something else.
        commit_at.map_or(wake, |at| at.min(wake)).max(now + self.settings.shortest_sleep)
    }

    /// Every partition and where it stands, for metrics and pages.
    pub fn standing(&self) -> impl Iterator<Item = Standing<'_>> {
        self.partitions().map(|(name, partition)| partition.standing(name))
    }

    /// How many partitions this worker owns.
    pub fn owned(&self) -> usize {
        self.partitions().count()
    }
}

/// All partitions, to be changed. It takes the map alone: effects are given out meanwhile.
fn each(topics: &mut Topics) -> impl Iterator<Item = &mut Partition> {
    topics.values_mut().flat_map(BTreeMap::values_mut)
}

// Finding partitions.
impl Worker {
    fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        let partitions = self.topics.values().flat_map(BTreeMap::values);
        partitions.map(|partition| (partition.name.clone(), partition))
    }

    fn reading(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        self.partitions().filter(|(_, partition)| matches!(partition.phase, Phase::Reading))
    }

    fn partition(&self, name: &TopicPartition) -> Option<&Partition> {
        self.topics.get(&name.topic)?.get(&name.partition)
    }

    fn partition_mut(&mut self, name: &TopicPartition) -> Option<&mut Partition> {
        self.topics.get_mut(&name.topic)?.get_mut(&name.partition)
    }

    /// The partition, if the epoch is its present one: the fence.
    fn present(&mut self, name: &TopicPartition, epoch: Epoch) -> Option<&mut Partition> {
        let any = mutant::is(Mutant::IgnoresEpochs);
        self.partition_mut(name).filter(|partition| any || partition.epoch == epoch)
    }

    fn remove(&mut self, name: &TopicPartition) -> Option<Partition> {
        let removed = self.topics.get_mut(&name.topic)?.remove(&name.partition)?;
        self.budget.unassign(name);
        Some(removed)
    }
}
