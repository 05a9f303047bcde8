//! Workers between a Kafka in this process and a store of values.

use std::collections::BTreeMap;
use std::future::pending;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::wait_until;
use crate::config::{self, Config, Cosmos, DeadLetter, Kafka, Span};
use crate::core::budget::Budget;
use crate::core::key::PartitionKey;
use crate::core::transform::Rules;
use crate::core::write::lane::Answer;
use crate::dead_letter::{DeadLetters, Letter};
use crate::kafka::{Contact, Context};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::observe::progress::Progress;
use crate::sink::{self, Sink};
use crate::source::{consumer, lookup};
use crate::store::{KeyRange, Kind, Obstacle, Request, Store};
use crate::worker::{Broken, Joining, Ownership, Pool, Settings, Shared};

pub(in crate::worker) type Cluster = MockCluster<'static, DefaultProducerContext>;

pub(in crate::worker) const PARTITIONS: i32 = 3;

/// An event, and the id that it is stored under.
pub(in crate::worker) fn event(partition: i32, number: usize) -> String {
    format!(r#"{{"eventId":"{partition}-{number}","deviceId":"{partition}"}}"#)
}

/// Writes events of these numbers to each of these partitions.
pub(in crate::worker) fn send(
    cluster: &Cluster,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    numbers: Range<usize>,
) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    for partition in partitions {
        for number in numbers.clone() {
            let event = event(partition, number);
            let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&event);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

/// What the store does with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::worker) enum Mood {
    #[default]
    Takes,
    /// It never answers.
    Hangs,
    /// It panics, and takes the next one.
    BreaksDownOnce,
}

#[derive(Clone, Default)]
pub(in crate::worker) struct FakeStore(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    mood: Mood,
    /// How often each document was written.
    stored: BTreeMap<String, usize>,
    in_flight: usize,
}

/// A request in flight, which is over when this is dropped.
struct InFlight<'a>(&'a FakeStore);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

impl FakeStore {
    pub(in crate::worker) fn is(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    pub(in crate::worker) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    pub(in crate::worker) fn stored(&self) -> BTreeMap<String, usize> {
        self.lock().stored.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Store for FakeStore {
    async fn write(&self, request: Request<'_>) -> Answer {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let documents = match request.kind {
            Kind::Point(_) => vec![body],
            Kind::Batch(_) => {
                body.as_array().unwrap().iter().map(|operation| operation["resourceBody"].clone()).collect()
            }
        };
        self.lock().in_flight += 1;
        let _in_flight = InFlight(self);
        let mood = self.lock().mood;
        match mood {
            Mood::Takes => {}
            Mood::Hangs => pending().await,
            Mood::BreaksDownOnce => {
                self.is(Mood::Takes);
                panic!("the store breaks down, as the test wants it to");
            }
        }
        for document in documents {
            let id = document["id"].as_str().unwrap().to_owned();
            *self.lock().stored.entry(id).or_default() += 1;
        }
        Answer::stored(1.0)
    }

    fn range_of(&self, _: &PartitionKey) -> KeyRange {
        KeyRange::default()
    }

    async fn check(&self) -> Result<(), Obstacle> {
        Ok(())
    }
}

/// Nothing that is sent here is bad.
pub(in crate::worker) struct NoLetters;

impl DeadLetters for NoLetters {
    async fn send(&self, _: &Letter<'_>) {
        pending::<()>().await;
    }
}

/// A Kafka with a topic `t`, a store, and what one worker needs besides.
pub(in crate::worker) struct Bench {
    pub(in crate::worker) cluster: Cluster,
    pub(in crate::worker) store: FakeStore,
    pub(in crate::worker) shared: Arc<Shared<FakeStore, NoLetters>>,
    questions: Arc<BaseConsumer<Context>>,
    runtime: Runtime,
}

impl Bench {
    pub(in crate::worker) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(in crate::worker) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", PARTITIONS, 1).unwrap();
        let mut kafka = Kafka::new(cluster.bootstrap_servers(), ["t"]);
        kafka.workers = 1;
        // How long the group waits for a member that is gone, and how soon one hears that it is out.
        kafka.session_timeout = Span::from_millis(3_000);
        kafka.properties.insert("heartbeat.interval.ms".into(), "200".into());
        let cosmos = Cosmos::new("https://localhost/", ["a"], "a", "a");
        let config = Config::new(kafka, cosmos, DeadLetter::new("dead-letters"));
        let mut settings = Settings::of(&config, None);
        settings.machine.interval = Duration::from_millis(50);
        change(&mut settings);

        let metrics = Metrics::new().unwrap();
        let health = Health::new(metrics.clone());
        let (store, ownership) = (FakeStore::default(), Ownership::new());
        let to_sink = sink::Settings {
            rules: Rules::compile(&config::Event::default()).unwrap(),
            group: "g".into(),
            body_bytes: 16 << 20,
            request_timeout: Duration::from_secs(25),
            max_fraction: 0.1,
        };
        let assigned = ownership.count();
        let sink = Sink::new(store.clone(), NoLetters, to_sink, assigned, metrics.clone(), health.clone());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let contact = Contact::new(config.kafka.clone(), "questions", metrics.clone(), health.clone());
        let questions = consumer::for_questions(&config.kafka, None, Arc::new(contact)).unwrap();
        let shared = Shared {
            settings: Arc::new(settings),
            sink: Arc::new(sink),
            budget: Budget::new(32 << 20),
            ownership,
            joining: Joining::together(Instant::now()),
            runtime: runtime.handle().clone(),
            metrics,
            health,
            progress: Progress::new("test", "test", "test"),
            look_again: Arc::new(Notify::new()),
        };
        Self { cluster, store, shared: Arc::new(shared), questions, runtime }
    }

    pub(in crate::worker) fn start(&self) -> Pool {
        Pool::start(&self.shared).unwrap()
    }

    pub(in crate::worker) fn drain(&self, pool: &Pool) -> Result<(), Broken> {
        let limit = Duration::from_secs(20);
        self.runtime.block_on(async { tokio::time::timeout(limit, pool.drain()).await }).unwrap()
    }

    pub(in crate::worker) fn owned(&self) -> usize {
        self.shared.ownership.count().load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Writes events of these numbers to every partition.
    pub(in crate::worker) fn send(&self, numbers: Range<usize>) {
        send(&self.cluster, "t", 0..PARTITIONS, numbers);
    }

    /// Waits until the group has committed this offset for every partition.
    #[track_caller]
    pub(in crate::worker) fn wait_for_commits(&self, offset: i64) {
        wait_until(&format!("every commit at {offset}"), || {
            let seen = lookup::committed(&*self.questions, "t", PARTITIONS);
            seen.is_ok_and(|seen| seen.iter().all(|at| at.offset().is_some_and(|at| at.0 == offset)))
        });
    }
}
