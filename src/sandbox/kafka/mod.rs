//! The embedded Kafka: librdkafka's mock cluster behind a fixed address.
//!
//! The mock's brokers listen on ports of their own choosing and name them in their metadata; a forwarder
//! gives people one address to start from. The mock drops the oldest records beyond 5 MB or 100,000
//! message sets a partition without a word (`rdkafka_mock.c`, librdkafka 2.12.1), so [`watch`] looks out
//! for records that went unread. docs/sandbox.md says where else it differs from Kafka.

mod watch;

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, ensure};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use watch::{DroppedUnread, LogStatus};

use watch::Watch;

/// What the embedded Kafka holds when it starts.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// The port on 127.0.0.1 that clients start from; 0 takes a free one. The brokers' own ports are
    /// always free ones.
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

/// Whether the cluster of this id is an embedded Kafka, which lacks much of what a real one does.
///
/// The mock calls itself `mockCluster` and a number (`rd_kafka_mock_cluster_new` in `rdkafka_mock.c`);
/// Kafka's own ids are 22 characters of base64.
pub fn is_mock(cluster_id: &str) -> bool {
    cluster_id.starts_with("mockCluster")
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
    /// Creates the cluster and its topics, and forwards its address on `runtime`.
    ///
    /// # Errors
    ///
    /// When the port is taken, or a topic cannot be created.
    pub async fn start(options: KafkaOptions, runtime: &Handle) -> anyhow::Result<Self> {
        ensure!(options.brokers > 0, "a Kafka cluster needs a broker");
        let listener = super::listen("Kafka", options.port)?;
        let bootstrap = listener.local_addr()?.to_string();
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
        let broker = brokers.split(',').next().unwrap_or_default().to_owned();
        runtime.spawn(forward(listener, broker));
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

/// Hands every connection on to a broker, whose metadata then leads clients to the brokers' own ports.
async fn forward(listener: TcpListener, broker: String) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let broker = broker.clone();
        tokio::spawn(async move {
            let mut broker = TcpStream::connect(broker).await?;
            tokio::io::copy_bidirectional(&mut client, &mut broker).await
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_kafka_is_told_by_its_cluster_id() {
        assert!(is_mock("mockCluster7f3a5c00"));
        assert!(!is_mock("4L6g3nShT-eMCtK--X86sw"));
        assert!(!is_mock(""));
    }
}
