//! Questions to Kafka that wait for answers, asked beside the polling thread: one thread a worker,
//! one question after another. A question without an answer is asked again, until the same is asked
//! anew for the partition or the partition is no longer owned.

use std::collections::BTreeMap;
use std::sync::Arc;
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

/// A question.
#[derive(Debug)]
pub(super) enum Job {
    /// Where do these begin? The second list is everything that the worker owns.
    Starts(Vec<(TopicPartition, Epoch)>, Vec<TopicPartition>),
    /// Has somebody set other offsets for these, which do not exist?
    Offsets(Vec<(TopicPartition, Epoch, Offset)>),
    /// What are the limits of these?
    Ranges(Vec<(TopicPartition, Epoch, Offset)>),
    /// Can these be read?
    Probes(Vec<(TopicPartition, Epoch, Stretch)>),
}

/// The thread that asks. Dropped, it ends by itself once the question on its way is answered.
pub(super) struct Jobs {
    sender: Sender<Job>,
    thread: JoinHandle<()>,
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
        let asker = Asker { consumer, settings, outside, health, place };
        let thread =
            std::thread::Builder::new().name("kafka-asks".into()).spawn(move || asker.run(&receiver))?;
        Ok(Self { sender, thread })
    }

    pub(super) fn ask(&self, job: Job) {
        // The thread lives as long as this does.
        let _ = self.sender.send(job);
    }

    /// Waits for the question that is on its way, and ends.
    pub(super) fn end(self) {
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
}

/// What is still to be asked.
#[derive(Debug, Default)]
struct Open {
    starts: BTreeMap<TopicPartition, Epoch>,
    owned: Vec<TopicPartition>,
    /// Asked once: they are asked for anew before long.
    held: BTreeMap<TopicPartition, (Epoch, Offset)>,
    ranges: BTreeMap<TopicPartition, (Epoch, Offset)>,
    probes: Vec<(TopicPartition, Epoch, Stretch)>,
}

impl Open {
    fn add(&mut self, job: Job) {
        match job {
            Job::Starts(wanted, owned) => {
                self.starts.extend(wanted);
                self.starts.retain(|name, _| owned.contains(name));
                self.owned = owned;
            }
            Job::Offsets(wanted) => {
                self.held.extend(wanted.into_iter().map(|(name, epoch, held)| (name, (epoch, held))));
            }
            Job::Ranges(wanted) => {
                self.ranges.extend(wanted.into_iter().map(|(name, epoch, at)| (name, (epoch, at))));
            }
            Job::Probes(stretches) => self.probes.extend(stretches),
        }
    }

    fn is_empty(&self) -> bool {
        self.starts.is_empty() && self.held.is_empty() && self.ranges.is_empty() && self.probes.is_empty()
    }
}

impl Asker {
    fn run(&self, receiver: &Receiver<Job>) {
        let mut open = Open::default();
        loop {
            let wait = if open.is_empty() { Duration::from_hours(1) } else { AGAIN };
            match receiver.recv_timeout(wait) {
                Ok(job) => open.add(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for job in receiver.try_iter() {
                open.add(job);
            }
            self.ask(&mut open);
        }
    }

    /// Asks, tells the worker, and leaves what got no answer.
    fn ask(&self, open: &mut Open) {
        let settings = &self.settings;
        let lookup =
            Lookup::new(Arc::clone(&self.consumer), settings.first_start, settings.machine.on_out_of_range);
        if !open.starts.is_empty() {
            let wanted: Vec<_> = open.starts.iter().map(|(name, epoch)| (name.clone(), *epoch)).collect();
            let starts = lookup.starts(&wanted, &open.owned);
            for (partition, epoch, at) in starts.found {
                open.starts.remove(&partition);
                self.outside.tell(Input::Begin { partition, epoch, at });
            }
            self.mention("offsets_unknown", starts.problem.as_ref());
        }
        for (partition, (epoch, held)) in std::mem::take(&mut open.held) {
            match lookup.reset(&partition, held) {
                Ok(Some(at)) => self.outside.tell(Input::OffsetSet { partition, epoch, at }),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, %partition, "its offset could not be read"),
            }
        }
        if !open.ranges.is_empty() {
            let wanted: Vec<_> =
                open.ranges.iter().map(|(name, (epoch, at))| (name.clone(), *epoch, *at)).collect();
            match lookup.ranges(&wanted) {
                Ok(ranges) => {
                    open.ranges.clear();
                    self.outside.tell(Input::Ranges(ranges));
                    self.mention("limits_unknown", None);
                }
                Err(error) => self.mention("limits_unknown", Some(&error)),
            }
        }
        if !open.probes.is_empty() {
            self.outside.tell(Input::Probed(self.probe(std::mem::take(&mut open.probes))));
        }
    }

    fn probe(&self, stretches: Vec<(TopicPartition, Epoch, Stretch)>) -> Vec<Probed> {
        let Settings { kafka, max_bytes, tokens, .. } = &*self.settings;
        let means = Means { kafka, max_bytes: *max_bytes, tokens: tokens.as_ref() };
        let probed = stretches.into_iter().map(|(partition, epoch, stretch)| {
            let finding = probe(means, &partition, stretch);
            let Stretch { from, to } = stretch;
            tracing::info!(%partition, %from, %to, ?finding, "probed what the Kafka client may not be able to read");
            Probed { partition, epoch, stretch, finding }
        });
        probed.collect()
    }

    fn mention(&self, reason: &'static str, problem: Option<&LookupError>) {
        match problem {
            Some(problem) => {
                self.health.raise(reason, self.place.clone(), problem.with_advice(&self.settings.kafka));
            }
            None => self.health.clear(reason, &self.place),
        }
    }
}
