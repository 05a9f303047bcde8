//! Questions to Kafka that wait for answers, asked beside the polling thread: one thread a worker,
//! one question after another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::inbox::Outside;
use super::settings::Settings;
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::worker::{Input, Probed};
use crate::observe::health::Health;
use crate::source::consumer::{self, WorkerConsumer};
use crate::source::lookup::{Lookup, LookupError};
use crate::source::probe::probe;

/// How soon a question that got no answer is asked again.
const AGAIN: Duration = Duration::from_millis(500);

/// A question.
#[derive(Debug)]
pub(super) enum Job {
    /// Where do these begin? The second list is everything that the worker owns.
    Starts(Vec<(TopicPartition, Epoch)>, Vec<TopicPartition>),
    /// What are the limits of these?
    Ranges(Vec<(TopicPartition, Epoch)>),
    /// Can these places be read?
    Probes(Vec<(TopicPartition, Epoch, Offset)>),
}

/// The thread that asks.
pub(super) struct Jobs {
    sender: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
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
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    pub(super) fn ask(&self, job: Job) {
        if let Some(sender) = &self.sender {
            // The thread lives as long as this does.
            let _ = sender.send(job);
        }
    }
}

impl Drop for Jobs {
    /// Lets the thread end by itself: a question on its way takes some seconds, and what it holds of
    /// the consumer is given back then.
    fn drop(&mut self) {
        self.sender = None;
        drop(self.thread.take());
    }
}

struct Asker {
    consumer: Arc<WorkerConsumer>,
    settings: Arc<Settings>,
    outside: Outside,
    health: Health,
    place: String,
}

impl Asker {
    fn run(&self, receiver: &Receiver<Job>) {
        let mut again: VecDeque<Job> = VecDeque::new();
        loop {
            let wait = if again.is_empty() { Duration::from_hours(1) } else { AGAIN };
            match receiver.recv_timeout(wait) {
                Ok(job) => again.push_back(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for _ in 0..again.len() {
                if let Some(job) = again.pop_front()
                    && let Some(unanswered) = self.answer(job)
                {
                    again.push_back(unanswered);
                }
            }
        }
    }

    /// Asks, tells the worker, and gives back what got no answer.
    fn answer(&self, job: Job) -> Option<Job> {
        let settings = &self.settings;
        let lookup =
            Lookup::new(Arc::clone(&self.consumer), settings.first_start, settings.machine.on_out_of_range);
        match job {
            Job::Starts(wanted, owned) => {
                let starts = lookup.starts(&wanted, &owned);
                let missing: Vec<_> = wanted
                    .into_iter()
                    .filter(|(name, _)| !starts.found.iter().any(|(found, ..)| found == name))
                    .collect();
                for (partition, epoch, at) in starts.found {
                    self.outside.tell(Input::Begin { partition, epoch, at });
                }
                self.mention("offsets_unknown", starts.problem.as_ref());
                (!missing.is_empty()).then_some(Job::Starts(missing, owned))
            }
            Job::Ranges(wanted) => match lookup.ranges(&wanted) {
                Ok(ranges) => {
                    self.outside.tell(Input::Ranges(ranges));
                    self.mention("limits_unknown", None);
                    None
                }
                Err(error) => {
                    self.mention("limits_unknown", Some(&error));
                    Some(Job::Ranges(wanted))
                }
            },
            Job::Probes(places) => {
                self.outside.tell(Input::Probed(self.probe(places)));
                None
            }
        }
    }

    fn probe(&self, places: Vec<(TopicPartition, Epoch, Offset)>) -> Vec<Probed> {
        let consumer = match consumer::for_probing(&self.settings.kafka, self.settings.tokens.clone()) {
            Ok(consumer) => consumer,
            Err(error) => {
                tracing::warn!(%error, "no place can be probed");
                return Vec::new();
            }
        };
        places
            .into_iter()
            .map(|(partition, epoch, place)| {
                let finding = probe(&consumer, &partition, place);
                tracing::info!(%partition, %place, ?finding, "probed a place that the Kafka client passed over");
                Probed { partition, epoch, place, finding }
            })
            .collect()
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
