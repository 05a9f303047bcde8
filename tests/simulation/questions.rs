//! Questions to Kafka that wait for answers, asked beside the worker: what `src/worker/jobs.rs`,
//! `src/worker/commits.rs` and `src/source/lookup.rs` do, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamproc::core::kafka::{Epoch, Offset, TopicPartition};
use streamproc::core::start::{
    FirstStart, TopicStart, partition_start, refused_start, reset_start, topic_start,
};
use streamproc::core::worker::{Begin, CommitNumber, CommitOutcome, Input, Probed, Range, Stretch};
use streamproc::source::seen::Seen;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::client::Client;
use super::inbox::Inbox;
use super::world::World;

/// How soon a question that got no answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// How long one question may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Who asks for a worker, through its client.
#[derive(Clone)]
pub(crate) struct Questions {
    world: World,
    place: usize,
    client: Client,
    worker: Arc<Inbox>,
    seen: Seen,
    open: Arc<Mutex<Open>>,
    asked: Arc<Notify>,
}

/// What is still to be asked.
#[derive(Default)]
pub(crate) struct Open {
    pub(crate) owned: Vec<(TopicPartition, Epoch)>,
    pub(crate) starts: BTreeMap<TopicPartition, Epoch>,
    pub(crate) held: BTreeMap<TopicPartition, (Epoch, Offset)>,
    pub(crate) ranges: BTreeMap<TopicPartition, (Epoch, Offset)>,
    pub(crate) probes: VecDeque<(TopicPartition, Epoch, Stretch)>,
    /// What was given back to the group since the commit on its way was asked for.
    pub(crate) given_back: Vec<TopicPartition>,
}

impl Open {
    /// There is one probe of a partition.
    pub(crate) fn probe(&mut self, stretches: Vec<(TopicPartition, Epoch, Stretch)>) {
        for probe in stretches {
            match self.probes.iter_mut().find(|(name, ..)| *name == probe.0) {
                Some(before) => *before = probe,
                None => self.probes.push_back(probe),
            }
        }
    }

    /// Drops what is asked for partitions that are no longer owned, or in an epoch that is over.
    fn prune(&mut self) {
        let Self { owned, starts, held, ranges, probes, .. } = self;
        let is_owned = |name: &TopicPartition, epoch: Epoch| owned.contains(&(name.clone(), epoch));
        starts.retain(|name, epoch| is_owned(name, *epoch));
        held.retain(|name, (epoch, _)| is_owned(name, *epoch));
        ranges.retain(|name, (epoch, _)| is_owned(name, *epoch));
        probes.retain(|(name, epoch, _)| is_owned(name, *epoch));
    }

    fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.held.is_empty() && self.ranges.is_empty() && self.probes.is_empty()
    }
}

impl Questions {
    pub(crate) fn new(world: World, place: usize, client: Client, worker: Arc<Inbox>, seen: Seen) -> Self {
        Self { world, place, client, worker, seen, open: Arc::default(), asked: Arc::default() }
    }

    /// Asks for something, or says what is owned.
    pub(crate) fn ask(&self, change: impl FnOnce(&mut Open)) {
        change(&mut self.lock());
        self.asked.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one question after another, for as long as the client lives.
    pub(crate) async fn run(self) {
        loop {
            let is_empty = {
                let mut open = self.lock();
                open.prune();
                open.is_empty()
            };
            if is_empty {
                self.asked.notified().await;
                continue;
            }
            self.world.reach_kafka(self.place).await;
            self.find_starts().await;
            self.find_offsets();
            self.read_ranges();
            self.probe().await;
            if self.lock().probes.is_empty() {
                // What got no answer is asked again in a while, or as soon as there is something new.
                let _ = timeout(AGAIN, self.asked.notified()).await;
            }
        }
    }

    async fn find_starts(&self) {
        let wanted = self.lock().starts.clone();
        let mut by_topic: BTreeMap<&str, Vec<(&TopicPartition, Epoch)>> = BTreeMap::new();
        for (name, epoch) in &wanted {
            by_topic.entry(&name.topic).or_default().push((name, *epoch));
        }
        for (topic, wanted) in by_topic {
            let owns_first =
                self.lock().owned.iter().any(|(name, _)| *name.topic == *topic && name.partition == 0);
            let committed = self.committed(topic);
            let is_known = self.seen.knows(topic);
            match topic_start(&committed, is_known, FirstStart::Earliest, owns_first) {
                TopicStart::Known => {
                    for (name, epoch) in wanted {
                        let begin = self.begin(name, committed[name.partition as usize]);
                        self.found(name, epoch, begin);
                    }
                }
                TopicStart::CommitEarliest | TopicStart::CommitLatest => {
                    self.commit_first(topic, &wanted).await;
                }
                TopicStart::Wait => {}
                TopicStart::Fail => {
                    for (name, epoch) in &wanted {
                        self.found(name, *epoch, refused_start());
                    }
                }
            }
        }
    }

    fn committed(&self, topic: &str) -> Vec<Option<Offset>> {
        let committed = self.world.lock().kafka.committed(topic);
        for (number, offset) in (0..).zip(&committed) {
            if let Some(offset) = offset {
                self.seen.note(&TopicPartition::new(topic, number), *offset);
            }
        }
        committed
    }

    fn begin(&self, name: &TopicPartition, committed: Option<Offset>) -> Begin {
        let (low, end) = self.limits(name);
        let policy = self.world.plan.worker.on_out_of_range;
        partition_start(committed, self.seen.of(name), low, end, policy)
    }

    fn limits(&self, name: &TopicPartition) -> (Offset, Offset) {
        let world = self.world.lock();
        let log = world.kafka.log(name);
        (Offset(log.low()), Offset(log.end()))
    }

    fn found(&self, name: &TopicPartition, epoch: Epoch, at: Begin) {
        self.lock().starts.remove(name);
        self.worker.tell(Input::Begin { partition: name.clone(), epoch, at });
    }

    /// Commits the first start of every partition of a topic, before any is read.
    async fn commit_first(&self, topic: &str, wanted: &[(&TopicPartition, Epoch)]) {
        let names: Vec<_> =
            self.world.plan.partitions.iter().filter(|name| *name.topic == *topic).cloned().collect();
        let offsets: Vec<_> = names.into_iter().map(|name| (name.clone(), self.limits(&name).0)).collect();
        self.world.reach_kafka(self.place).await;
        // Another member may have begun meanwhile.
        let is_begun = self.committed(topic).iter().any(Option::is_some);
        if is_begun || self.client.commit(offsets.clone()).await != CommitOutcome::Kept {
            return;
        }
        for (name, offset) in &offsets {
            self.seen.note(name, *offset);
            if let Some((_, epoch)) = wanted.iter().find(|(wanted, _)| *wanted == name) {
                self.found(name, *epoch, Begin::At(*offset));
            }
        }
    }

    /// Looks whether an operator has set offsets.
    fn find_offsets(&self) {
        let held = std::mem::take(&mut self.lock().held);
        for (partition, (epoch, held)) in held {
            let committed = self.world.lock().kafka.log(&partition).committed.map(Offset);
            let (low, end) = self.limits(&partition);
            let policy = self.world.plan.worker.on_out_of_range;
            if let Some(at) = reset_start(committed, held, low, end, policy) {
                self.worker.tell(Input::OffsetSet { partition, epoch, at });
            }
        }
    }

    fn read_ranges(&self) {
        let wanted = std::mem::take(&mut self.lock().ranges);
        let ranges: Vec<_> = wanted
            .into_iter()
            .map(|(partition, (epoch, position))| {
                let (low, high) = self.limits(&partition);
                Range { partition, epoch, position, low, high }
            })
            .collect();
        if !ranges.is_empty() {
            self.worker.tell(Input::Ranges(ranges));
        }
    }

    /// Makes the probe that was asked for first. What is asked for the same place meanwhile has the same
    /// answer.
    async fn probe(&self) {
        let Some(asked) = self.lock().probes.front().cloned() else { return };
        let (partition, epoch, stretch) = asked.clone();
        // It is a client of its own, which has to connect first.
        self.world.reach_kafka(self.place).await;
        tokio::time::sleep(self.world.dice.millis(20..200)).await;
        let finding = self.world.lock().kafka.log_mut(&partition).probe(stretch);
        self.world.trace.note(|| format!("{} probes {partition} {stretch:?}: {finding:?}", self.worker));
        self.lock().probes.retain(|probe| *probe != asked);
        self.worker.tell(Input::Probed(vec![Probed { partition, epoch, stretch, finding }]));
    }
}

// Commits.
impl Questions {
    /// Commits, except over offsets that are gone, or that others have set back.
    pub(crate) async fn commit(
        self,
        number: CommitNumber,
        mut offsets: Vec<(TopicPartition, Offset)>,
        known: Vec<(TopicPartition, Offset)>,
    ) {
        let mut answers = Vec::new();
        let mut leave_out = |name: &TopicPartition, outcome| {
            let left_out = offsets.extract_if(.., |(other, _)| other == name);
            answers.extend(left_out.map(|(name, at)| (name, at, outcome)));
        };
        let has_looked = timeout(TIME_LIMIT, self.world.reach_kafka(self.place)).await.is_ok();
        for (name, before) in &known {
            let present = self.world.lock().kafka.log(name).committed;
            if !has_looked {
                leave_out(name, CommitOutcome::TryAgain);
            } else if present.is_none_or(|present| present < before.0) {
                leave_out(name, CommitOutcome::Gone);
            }
        }
        let given_back = self.lock().given_back.clone();
        for name in &given_back {
            leave_out(name, CommitOutcome::TryAgain);
        }
        if !offsets.is_empty() {
            let outcome = self.client.commit(offsets.clone()).await;
            for (name, at) in offsets {
                if outcome == CommitOutcome::Kept {
                    self.seen.note(&name, at);
                }
                answers.push((name, at, outcome));
            }
        }
        self.worker.tell(Input::Committed { number, answers });
    }
}
