//! The loop of one worker: poll, apply, perform.

mod taking;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

use super::client::Client;
use super::commits::Commits;
use super::inbox::Outside;
use super::jobs::{Job, Jobs};
use super::pool::{Broken, Pulse, Shared};
use crate::core::kafka::{Epoch, TopicPartition};
use crate::core::worker::{Appetite, Batch, Effect, Input, Worker};
use crate::dead_letter::DeadLetters;
use crate::kafka::Contact;
use crate::observe::metrics::Metrics;
use crate::sink::{Backoff, Sink, Stop};
use crate::source::consumer;
use crate::source::context::Notice;
use crate::source::statistics::Statistics;
use crate::source::traffic::Traffic;
use crate::store::Store;

/// One worker.
pub(super) struct WorkerThread<S, D> {
    place: String,
    number: usize,
    shared: Arc<Shared<S, D>>,
    pulse: Arc<Pulse>,
    machine: Worker,
    contact: Arc<Contact>,
    client: Option<Client>,
    reconnect: Backoff,
    reconnect_at: Option<Instant>,
    in_flight: HashMap<(TopicPartition, Epoch), Stop>,
    statistics: Statistics,
    owned: Vec<TopicPartition>,
    /// Since when the client is no member of the group.
    joining_since: Option<Instant>,
    traffic: Traffic,
    done: bool,
}

impl<S: Store, D: DeadLetters> WorkerThread<S, D> {
    pub(super) fn new(number: usize, shared: Arc<Shared<S, D>>, pulse: Arc<Pulse>) -> Self {
        let place = format!("worker-{number}");
        let contact = Contact::new(
            shared.settings.kafka.clone(),
            place.clone(),
            shared.metrics.clone(),
            shared.health.clone(),
        );
        Self {
            place,
            number,
            contact: Arc::new(contact),
            machine: Worker::new(shared.settings.machine.clone(), shared.budget.clone()),
            shared,
            pulse,
            client: None,
            reconnect: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            reconnect_at: None,
            in_flight: HashMap::new(),
            statistics: Statistics::default(),
            owned: Vec::new(),
            joining_since: None,
            traffic: Traffic::default(),
            done: false,
        }
    }

    /// Runs until drained. If it breaks down, that is said on `/readyz`; `/livez` fails soon after, because
    /// nothing goes through the loop any more.
    pub(super) fn run_to_its_end(self, outside: &Outside, inbox: &Receiver<Input>) -> Result<(), Broken> {
        let (health, place) = (self.shared.health.clone(), self.place.clone());
        let running = AssertUnwindSafe(|| self.run(outside, inbox));
        catch_unwind(running).map_err(|_| {
            let detail = "this worker broke down by a defect of the program, and its partitions stand still until the \
                          process is started again; the log says where";
            health.raise("worker_broken", place, detail);
            Broken
        })
    }

    /// Runs until drained.
    fn run(mut self, outside: &Outside, inbox: &Receiver<Input>) {
        while !self.done {
            self.pulse.beat();
            self.keep_a_client(outside);
            while let Ok(input) = inbox.try_recv() {
                self.hear(input);
            }
            self.perform(outside);
            let appetite = self.machine.appetite(Instant::now());
            self.perform(outside);
            let busy = match appetite {
                Appetite::Hungry => self.poll(),
                Appetite::Wait(_) => false,
            };
            self.perform(outside);
            self.must_do("read on elsewhere", |client| client.move_on(!busy && appetite == Appetite::Hungry));
            if !busy && !self.done {
                let now = Instant::now();
                let mut until = self.machine.wake_at(now);
                if let Appetite::Wait(at) = appetite {
                    until = until.min(at);
                }
                std::thread::park_timeout(until.saturating_duration_since(now));
            }
        }
        if let Some(client) = self.client.take() {
            client.close();
        }
        self.shared.ownership.set(self.number, Vec::new());
    }

    fn hear(&mut self, input: Input) {
        if let Input::Ended { partition, epoch } = &input {
            self.in_flight.remove(&(partition.clone(), *epoch));
        }
        self.machine.apply(input, Instant::now());
    }

    fn keep_a_client(&mut self, outside: &Outside) {
        let now = Instant::now();
        let waits =
            self.reconnect_at.is_some_and(|at| now < at) || !self.shared.joining.may(self.number, now);
        if self.client.is_some() || waits {
            return;
        }
        match self.connect(outside) {
            Ok(client) => {
                self.client = Some(client);
                self.reconnect_at = None;
                self.shared.health.clear("kafka_client", &self.place);
            }
            Err(problem) => {
                self.reconnect_at = Some(Instant::now() + self.reconnect.next_delay());
                self.shared.health.raise("kafka_client", self.place.clone(), problem);
            }
        }
    }

    fn connect(&self, outside: &Outside) -> Result<Client, String> {
        self.shared.health.raise(
            "kafka_connecting",
            self.place.clone(),
            "waiting for the first broker to answer",
        );
        let settings = &self.shared.settings;
        let hand_over = settings.machine.shutdown_timeout + settings.machine.commit_timeout;
        let mut consumer = consumer::subscribe(
            &settings.kafka,
            settings.max_bytes,
            hand_over,
            self.number,
            settings.tokens.clone(),
            Arc::clone(&self.contact),
        )
        .map_err(|error| error.to_string())?;
        let waker = outside.clone();
        consumer.set_nonempty_callback(move || waker.wake());
        let consumer = Arc::new(consumer);
        let jobs = Jobs::start(
            Arc::clone(&consumer),
            Arc::clone(settings),
            outside.clone(),
            self.shared.health.clone(),
            self.place.clone(),
        )
        .map_err(|error| error.to_string())?;
        let commits = Commits::start(
            Arc::clone(&consumer),
            Arc::clone(settings),
            outside.clone(),
            self.shared.metrics.clone(),
            self.shared.health.clone(),
            self.place.clone(),
        )
        .map_err(|error| error.to_string())?;
        Ok(Client::new(consumer, jobs, commits))
    }

    /// Says no more about partitions that this worker has given up, unless another of the process has
    /// them already: then they are that one's to speak of.
    fn forget(&self, partitions: &[TopicPartition]) {
        for name in partitions {
            if !self.shared.ownership.owns_beside(self.number, name) {
                self.shared.metrics.forget(name);
                self.shared.health.clear_place(&name.to_string());
            }
        }
    }

    /// A partition that was held is not any more. If it is lost, another worker of the process may hold it
    /// by now.
    fn release(&self, name: &TopicPartition) {
        let is_ours = self.machine.standing().any(|standing| standing.partition == *name);
        if is_ours || !self.shared.ownership.owns_beside(self.number, name) {
            self.shared.health.clear_place(&name.to_string());
        }
    }

    fn replace_client(&mut self) {
        self.machine.apply(Input::ClientLost, Instant::now());
        let lost = self.owned.clone();
        self.forget(&lost);
        self.tell_owned();
        if let Some(client) = self.client.take() {
            client.close();
        }
        self.statistics = Statistics::default();
        self.traffic = Traffic::default();
        self.reconnect_at = Some(Instant::now() + self.reconnect.next_delay());
    }

    fn notice(&mut self, notice: Notice) {
        let now = Instant::now();
        match notice {
            Notice::Assigned(partitions) => {
                tracing::info!(worker = self.place, partitions = %list(&partitions), "assigned");
                self.shared.metrics.rebalances.inc();
                self.shared.joining.is_answered(now);
                self.machine.apply(Input::Assigned(partitions), now);
            }
            Notice::Revoked { partitions, lost } => {
                tracing::info!(worker = self.place, partitions = %list(&partitions), lost, "revoked");
                self.shared.metrics.rebalances.inc();
                self.machine.apply(Input::Revoked { partitions, lost }, now);
            }
            Notice::Statistics(statistics) => {
                self.statistics = statistics;
                self.report();
                self.report_membership();
                if self.contact.is_outdated() {
                    tracing::info!(
                        worker = self.place,
                        "the sign-in has changed: the refused Kafka client is replaced"
                    );
                    self.replace_client();
                }
            }
        }
    }

    /// Once a second: where every partition stands.
    fn report(&mut self) {
        let metrics = &self.shared.metrics;
        for standing in self.machine.standing() {
            let name = &standing.partition;
            let statistics = self.statistics.partitions.get(name);
            if let Some(lag) = statistics.and_then(|seen| seen.lag(standing.frontier, standing.unsettled)) {
                Metrics::of_partition(&metrics.consumer_lag, name).set(lag);
            }
            let oldest = standing.oldest_timestamp_millis.map_or(0.0, |millis| millis as f64 / 1e3);
            Metrics::time_of_partition(&metrics.oldest_unstored_timestamp, name).set(oldest);
        }
        metrics.buffered_bytes.set(i64::try_from(self.shared.budget.used()).unwrap_or(i64::MAX));
        if self.statistics.connected {
            self.shared.health.clear("kafka_connecting", &self.place);
            self.reconnect.reset();
        }
        metrics.refetched_bytes.inc_by(self.traffic.more_thrown_away(&self.statistics));
    }

    fn perform(&mut self, outside: &Outside) {
        let effects = self.machine.effects(Instant::now());
        if let Some(client) = self.client.as_mut().filter(|_| !effects.is_empty()) {
            let owned = self.machine.standing().map(|standing| (standing.partition, standing.epoch));
            client.jobs.tell_owned(owned.collect());
        }
        for effect in effects {
            self.perform_one(effect, outside);
        }
    }

    fn perform_one(&mut self, effect: Effect, outside: &Outside) {
        match effect {
            Effect::Write(batch) => self.write(*batch, outside),
            Effect::WindDown(name, epoch) => {
                if let Some(batch) = self.in_flight.get(&(name, epoch)) {
                    batch.wind_down();
                }
            }
            Effect::Abandon(name, epoch) => {
                if let Some(batch) = self.in_flight.remove(&(name, epoch)) {
                    batch.abandon();
                }
            }
            Effect::Commit(number, offsets, known) => {
                if let Some(client) = &self.client {
                    client.commits.ask(number, offsets, known);
                }
            }
            Effect::FindStart(wanted) => self.ask(Job::Starts(wanted)),
            Effect::FindOffset(wanted) => self.ask(Job::Offsets(wanted)),
            Effect::ReadRange(wanted) => self.ask(Job::Ranges(wanted)),
            Effect::Probe(stretches) => self.ask(Job::Probes(stretches)),
            Effect::Accept => {
                self.must_do("accept an assignment", Client::accept);
                self.tell_owned();
            }
            Effect::Assign(partitions) => self.must_do("assign", |client| client.assign(&partitions)),
            Effect::Unassign(partitions) => {
                self.must_do("unassign", |client| client.unassign(&partitions));
                self.forget(&partitions);
                self.tell_owned();
            }
            // A partition that is not paused is full, and takes nothing; one that is not resumed is
            // found to have room again.
            Effect::Pause(name) => drop(self.tell("pause", |client| client.pause(&name))),
            Effect::Stop(name) => drop(self.tell("stop", |client| client.stop(&name))),
            Effect::Resume(name) => drop(self.tell("resume", |client| client.resume(&name))),
            Effect::SeekAndResume(name, to) => {
                self.must_do("read from elsewhere", |client| client.read_from(&name, to));
            }
            Effect::Held(name, hold) => {
                self.shared.health.raise(hold.as_str(), name.to_string(), hold.to_string());
            }
            Effect::Released(name) => self.release(&name),
            Effect::Skipped(name, policy, count) => {
                tracing::error!(partition = %name, policy = policy.as_str(), count, "records were left out by policy");
                let labels = [name.topic.as_ref(), policy.as_str()];
                self.shared.metrics.events_skipped.with_label_values(&labels).inc_by(count);
            }
            Effect::OutOfRange(name) => {
                self.shared.metrics.out_of_range.with_label_values(&[name.topic.as_ref()]).inc();
            }
            Effect::Drained => self.done = true,
        }
    }

    fn write(&mut self, batch: Batch, outside: &Outside) {
        let (name, epoch) = (batch.partition.clone(), batch.epoch);
        let stop = Stop::default();
        self.in_flight.insert((name.clone(), epoch), stop.clone());
        let latest = self.statistics.partitions.get(&name).and_then(|statistics| statistics.end);
        let (sink, progress) = (Arc::clone(&self.shared.sink), self.shared.progress.clone());
        let outside = outside.clone();
        self.shared.runtime.spawn(async move {
            let ended = Ended { outside: outside.clone(), name: name.clone(), epoch };
            let report = |settlements| {
                let partition = name.clone();
                outside.tell(Input::Settled { partition, epoch, settlements });
            };
            if let Some(mut report) = Sink::write(&sink, batch, &report, &stop).await {
                report.latest = latest;
                progress.record(&report);
            }
            drop(ended);
        });
    }

    fn ask(&self, job: Job) {
        if let Some(client) = &self.client {
            client.jobs.ask(job);
        }
    }

    fn tell(&mut self, what: &str, act: impl FnOnce(&mut Client) -> KafkaResult<()>) -> KafkaResult<()> {
        let told = self.client.as_mut().map_or(Ok(()), act);
        if let Err(error) = &told {
            tracing::warn!(worker = self.place, %error, "the Kafka client refuses to {what}");
        }
        told
    }

    /// A client that refuses this is in a state that nobody here knows: a new one is in a known one.
    fn must_do(&mut self, what: &str, act: impl FnOnce(&mut Client) -> KafkaResult<()>) {
        if self.tell(what, act).is_err() {
            self.replace_client();
        }
    }

    fn tell_owned(&mut self) {
        let owned: Vec<_> = self.machine.standing().map(|standing| standing.partition).collect();
        if owned != self.owned {
            self.shared.ownership.set(self.number, owned.clone());
            self.owned = owned;
            let count = self.shared.ownership.count().load(Ordering::Relaxed);
            self.shared.metrics.assigned_partitions.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// Tells the worker that a micro-batch is over, however its task ends: also when it panics, so that
/// the partition does not stand still without a word (its unsettled records keep the commit back).
struct Ended {
    outside: Outside,
    name: TopicPartition,
    epoch: Epoch,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.outside.tell(Input::Ended { partition: self.name.clone(), epoch: self.epoch });
    }
}

fn list(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
