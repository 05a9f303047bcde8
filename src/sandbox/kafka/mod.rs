//! The embedded Kafka: librdkafka's mock cluster behind a fixed address, which [`front`] gives it.
//!
//! The mock drops the oldest records beyond 5 MB or 100,000 message sets a partition without a word
//! (`rdkafka_mock.c`, librdkafka 2.12.1), so [`watch`] looks out for records that went unread.
//! docs/sandbox.md says where else it differs from Kafka.

mod front;
mod watch;

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, ensure};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use watch::{DroppedUnread, LogStatus};

use front::Ports;
use watch::Watch;

/// What the embedded Kafka holds when it starts.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// The first broker's port on 127.0.0.1, from which clients start; 0 takes a free one. Further
    /// brokers take free ones.
    pub port: u16,
    /// Brokers.
    pub brokers: i32,
    /// The topics.
    pub topics: Vec<Topic>,
    /// The consumer group whose unread records are watched over.
    pub group: String,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            port: 0,
            brokers: 1,
            topics: vec![Topic::new("streaming", 6), Topic::new("streaming-dead-letter", 1)],
            group: "streamproc".into(),
        }
    }
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
}

impl Topic {
    /// A topic of so many partitions.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions }
    }
}

/// librdkafka's mock cluster.
pub type Mock = MockCluster<'static, DefaultProducerContext>;

type Job = Box<dyn FnOnce(&Mock) + Send>;

/// A running Kafka.
pub struct EmbeddedKafka {
    bootstrap: String,
    topics: Vec<Topic>,
    watch: Watch,
    /// Closed to end the mock's thread.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedKafka {
    /// Creates the cluster and its topics, and the fronts of its brokers on `runtime`.
    ///
    /// # Errors
    ///
    /// When the port is taken, or a topic cannot be created.
    pub async fn start(options: KafkaOptions, runtime: &Handle) -> anyhow::Result<Self> {
        ensure!(options.brokers > 0, "a Kafka cluster needs a broker");
        // The port is taken before anything is started that would have to be ended again.
        let first = super::listen("Kafka", options.port)?;
        let bootstrap = first.local_addr()?.to_string();
        let (jobs, queue) = mpsc::channel::<Job>();
        let (started, brokers) = oneshot::channel();
        let (topics, broker_count) = (options.topics.clone(), options.brokers);
        // The mock may not move between threads, so it lives and dies on one of its own.
        let live = move || {
            let mock = match create(broker_count, &topics) {
                Ok(mock) => mock,
                Err(error) => return drop(started.send(Err(error))),
            };
            let _ = started.send(Ok(mock.bootstrap_servers()));
            for job in queue {
                job(&mock);
            }
        };
        let thread = std::thread::Builder::new().name("sandbox-kafka".into()).spawn(live)?;
        let brokers = brokers.await.context("the embedded Kafka")??;
        put_in_front(first, &brokers, runtime)?;
        let watch = Watch::start(&brokers, &options.group, options.topics.clone())?;
        Ok(Self { bootstrap, topics: options.topics, watch, jobs: Some(jobs), thread: Some(thread) })
    }

    /// `host:port` to give a client.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The topics made at the start.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Partitions that lost records which the group had not committed past.
    pub fn dropped_unread(&self) -> Vec<DroppedUnread> {
        self.watch.dropped_unread()
    }

    /// Where each partition's log begins and ends and how far the group is, as last looked at.
    pub fn status(&self) -> Vec<LogStatus> {
        self.watch.status()
    }

    /// Does something to the mock on its thread: leaders, errors, brokers down.
    #[doc(hidden)]
    pub async fn with_mock<R: Send + 'static>(
        &self,
        act: impl FnOnce(&Mock) -> R + Send + 'static,
    ) -> anyhow::Result<R> {
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move |mock| drop(done.send(act(mock))));
        let jobs = self.jobs.as_ref().context("the embedded Kafka has ended")?;
        jobs.send(job).ok().context("the embedded Kafka has ended")?;
        result.await.context("the embedded Kafka has ended")
    }
}

impl Drop for EmbeddedKafka {
    fn drop(&mut self) {
        self.watch.stop();
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn create(brokers: i32, topics: &[Topic]) -> anyhow::Result<Mock> {
    let mock = MockCluster::new(brokers).context("the embedded Kafka")?;
    for Topic { name, partitions } in topics {
        ensure!(*partitions > 0, "topic {name}: a topic needs a partition");
        mock.create_topic(name, *partitions, brokers.min(3)).with_context(|| format!("topic {name}"))?;
    }
    Ok(mock)
}

/// Puts a front before each broker: the one that listens already before the first, others before the
/// rest.
fn put_in_front(first: TcpListener, brokers: &str, runtime: &Handle) -> anyhow::Result<()> {
    let mut first = Some(first);
    let mut fronts = Vec::new();
    for broker in brokers.split(',') {
        let port = broker.rsplit(':').next().unwrap_or_default();
        let port: u16 = port.parse().with_context(|| format!("the mock's broker at {broker}"))?;
        let listener = first.take().map_or_else(|| super::listen("Kafka", 0), Ok)?;
        fronts.push((listener, port));
    }
    let pairs: Result<Vec<_>, _> = fronts
        .iter()
        .map(|(listener, port)| listener.local_addr().map(|address| (*port, address.port())))
        .collect();
    let ports = Ports::new(pairs?);
    for (listener, port) in fronts {
        runtime.spawn(front::serve(listener, port, ports.clone()));
    }
    Ok(())
}
