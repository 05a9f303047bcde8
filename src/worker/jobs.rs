//! Questions to Kafka that wait for answers, asked beside the polling thread: one thread a worker,
//! one question after another. A question without an answer is asked again, until the same is asked
//! anew for the partition or the partition is no longer owned in that epoch. Probes take longest, so
//! there is one of a partition at most, and what else is asked comes between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::inbox::Outside;
use super::settings::Settings;
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::worker::{Input, Probed, Stretch};
use crate::observe::health::Health;
use crate::source::consumer::WorkerConsumer;
use crate::source::lookup::{Lookup, LookupError};
use crate::source::probe::{Means, probe};

/// How soon a question that got no answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// Every partition that the worker owns, and in which epoch.
type Owned = Vec<(TopicPartition, Epoch)>;

/// A question, or who may still have one.
#[derive(Debug)]
pub(super) enum Job {
    /// Where do these begin?
    Starts(Vec<(TopicPartition, Epoch)>),
    /// Has somebody set other offsets for these, which do not exist?
    Offsets(Vec<(TopicPartition, Epoch, Offset)>),
    /// What are the limits of these?
    Ranges(Vec<(TopicPartition, Epoch, Offset)>),
    /// Can these be read?
    Probes(Vec<(TopicPartition, Epoch, Stretch)>),
    /// What is asked for others is void.
    Owned(Owned),
}

/// The thread that asks. Dropped, it ends by itself once the question on its way is answered.
pub(super) struct Jobs {
    sender: Sender<Job>,
    thread: JoinHandle<()>,
    ending: Arc<AtomicBool>,
    owned: Owned,
}

impl Jobs {
    pub(super) fn start(
        consumer: Arc<WorkerConsumer>,
        settings: Arc<Settings>,
        outside: Outside,
        health: Health,
        place: String,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let ending = Arc::new(AtomicBool::new(false));
        let asker = Asker { consumer, settings, outside, health, place, ending: Arc::clone(&ending) };
        let thread =
            std::thread::Builder::new().name("kafka-asks".into()).spawn(move || asker.run(&receiver))?;
        Ok(Self { sender, thread, ending, owned: Owned::new() })
    }

    pub(super) fn ask(&self, job: Job) {
        // The thread lives as long as this does.
        let _ = self.sender.send(job);
    }

    /// Says what the worker owns, if that is news.
    pub(super) fn tell_owned(&mut self, owned: Owned) {
        if self.owned != owned {
            self.owned.clone_from(&owned);
            self.ask(Job::Owned(owned));
        }
    }

    /// Waits for the one question that is on its way, asks nothing more, and ends.
    pub(super) fn end(self) {
        self.ending.store(true, Ordering::Relaxed);
        drop(self.sender);
        let _ = self.thread.join();
    }
}

struct Asker {
    consumer: Arc<WorkerConsumer>,
    settings: Arc<Settings>,
    outside: Outside,
    health: Health,
    place: String,
    ending: Arc<AtomicBool>,
}

/// What is still to be asked.
#[derive(Debug, Default)]
struct Open {
    owned: Owned,
    starts: BTreeMap<TopicPartition, Epoch>,
    /// Asked once: they are asked for anew before long.
    held: BTreeMap<TopicPartition, (Epoch, Offset)>,
    ranges: BTreeMap<TopicPartition, (Epoch, Offset)>,
    probes: VecDeque<(TopicPartition, Epoch, Stretch)>,
}

impl Open {
    fn add(&mut self, job: Job) {
        match job {
            Job::Starts(wanted) => self.starts.extend(wanted),
            Job::Offsets(wanted) => {
                self.held.extend(wanted.into_iter().map(|(name, epoch, held)| (name, (epoch, held))));
            }
            Job::Ranges(wanted) => {
                self.ranges.extend(wanted.into_iter().map(|(name, epoch, at)| (name, (epoch, at))));
            }
            Job::Probes(wanted) => {
                for probe in wanted {
                    match self.probes.iter_mut().find(|(name, ..)| *name == probe.0) {
                        Some(before) => *before = probe,
                        None => self.probes.push_back(probe),
                    }
                }
            }
            Job::Owned(owned) => self.owned = owned,
        }
    }

    /// Drops what is asked for partitions that are no longer owned, or in an epoch that is over.
    fn prune(&mut self) {
        let Self { owned, starts, held, ranges, probes } = self;
        let is_owned = |name: &TopicPartition, epoch: Epoch| {
            owned.iter().any(|(owned, present)| owned == name && *present == epoch)
        };
        starts.retain(|name, epoch| is_owned(name, *epoch));
        held.retain(|name, (epoch, _)| is_owned(name, *epoch));
        ranges.retain(|name, (epoch, _)| is_owned(name, *epoch));
        probes.retain(|(name, epoch, _)| is_owned(name, *epoch));
    }

    /// How long to wait for something new.
    fn wait(&self) -> Duration {
        match (self.probes.is_empty(), self.starts.is_empty() && self.ranges.is_empty()) {
            (false, _) => Duration::ZERO,
            (true, false) => AGAIN,
            (true, true) => Duration::from_hours(1),
        }
    }
}

impl Asker {
    fn run(&self, receiver: &Receiver<Job>) {
        let mut open = Open::default();
        loop {
            match receiver.recv_timeout(open.wait()) {
                Ok(job) => open.add(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            Self::hear(&mut open, receiver);
            if self.is_ending() {
                break;
            }
            self.ask(&mut open);
            self.probe_next(&mut open, receiver);
        }
        self.mention("offsets_unknown", None);
        self.mention("limits_unknown", None);
    }

    fn hear(open: &mut Open, receiver: &Receiver<Job>) {
        for job in receiver.try_iter() {
            open.add(job);
        }
        open.prune();
    }

    /// Asks, tells the worker, and leaves what got no answer.
    fn ask(&self, open: &mut Open) {
        let settings = &self.settings;
        let mut lookup = Lookup::new(
            Arc::clone(&self.consumer),
            settings.first_start,
            settings.machine.on_out_of_range,
            settings.seen.clone(),
            &self.ending,
        );
        let mut problem = None;
        if !open.starts.is_empty() {
            let wanted: Vec<_> = open.starts.iter().map(|(name, epoch)| (name.clone(), *epoch)).collect();
            let owned: Vec<_> = open.owned.iter().map(|(name, _)| name.clone()).collect();
            let starts = lookup.starts(&wanted, &owned);
            for (partition, epoch, at) in starts.found {
                open.starts.remove(&partition);
                self.outside.tell(Input::Begin { partition, epoch, at });
            }
            problem = starts.problem;
        }
        self.mention("offsets_unknown", problem.take().as_ref());
        if !open.held.is_empty() {
            let held = std::mem::take(&mut open.held).into_iter();
            let wanted: Vec<_> = held.map(|(name, (epoch, at))| (name, epoch, at)).collect();
            let set = lookup.resets(&wanted);
            for (partition, epoch, at) in set.found {
                self.outside.tell(Input::OffsetSet { partition, epoch, at });
            }
            if let Some(error) = set.problem {
                tracing::warn!(%error, "the offset of a held partition could not be read");
            }
        }
        if !open.ranges.is_empty() {
            let wanted: Vec<_> =
                open.ranges.iter().map(|(name, (epoch, at))| (name.clone(), *epoch, *at)).collect();
            let ranges = lookup.ranges(&wanted);
            for range in &ranges.found {
                open.ranges.remove(&range.partition);
            }
            self.outside.tell(Input::Ranges(ranges.found));
            problem = ranges.problem;
        }
        self.mention("limits_unknown", problem.as_ref());
    }

    /// Makes the probe that was asked for first. What is asked for the same place meanwhile has the
    /// same answer.
    fn probe_next(&self, open: &mut Open, receiver: &Receiver<Job>) {
        let Some(asked) = open.probes.front().cloned() else { return };
        let (partition, epoch, stretch) = asked.clone();
        let Settings { kafka, max_bytes, tokens, .. } = &*self.settings;
        let means = Means { kafka, max_bytes: *max_bytes, tokens: tokens.as_ref(), ending: &self.ending };
        let finding = probe(means, &partition, stretch);
        let Stretch { from, to } = stretch;
        tracing::info!(%partition, %from, %to, ?finding, "probed what the Kafka client may not be able to read");
        Self::hear(open, receiver);
        open.probes.retain(|probe| *probe != asked);
        self.outside.tell(Input::Probed(vec![Probed { partition, epoch, stretch, finding }]));
    }

    fn mention(&self, reason: &'static str, problem: Option<&LookupError>) {
        match problem.filter(|_| !self.is_ending()) {
            Some(problem) => {
                self.health.raise(reason, self.place.clone(), problem.with_advice(&self.settings.kafka));
            }
            None => self.health.clear(reason, &self.place),
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(partition: i32, epoch: u64, from: i64) -> (TopicPartition, Epoch, Stretch) {
        let stretch = Stretch { from: Offset(from), to: Offset(from) };
        (TopicPartition::new("t", partition), Epoch(epoch), stretch)
    }

    #[test]
    fn a_partition_has_one_probe_in_its_turn_and_only_while_it_is_owned_in_that_epoch() {
        let owned = |epoch| (0..3).map(|number| (TopicPartition::new("t", number), Epoch(epoch))).collect();
        let mut open = Open::default();
        open.add(Job::Owned(owned(1)));
        open.add(Job::Probes(vec![probe(2, 1, 0), probe(0, 1, 0), probe(7, 1, 0)]));
        open.add(Job::Probes(vec![probe(2, 1, 5), probe(2, 1, 5)]));
        open.prune();
        assert_eq!(open.probes, [probe(2, 1, 5), probe(0, 1, 0)]);
        open.add(Job::Ranges(vec![(TopicPartition::new("t", 1), Epoch(1), Offset(0))]));
        open.add(Job::Owned(owned(2)));
        open.add(Job::Probes(vec![probe(1, 2, 0)]));
        open.prune();
        assert_eq!(open.probes, [probe(1, 2, 0)]);
        assert!(open.ranges.is_empty());
    }
}
