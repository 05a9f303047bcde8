//! Real Apache Kafka in KRaft mode: one broker or three, on loopback ports, in a temporary
//! directory.
//!
//! [`shared`] is the cluster for every test that needs nothing special; its topics keep tests
//! apart. A test that stops brokers or sets broker properties starts a [`Cluster`] of its own.

mod admin;
mod archive;
mod members;
mod node;
mod records;
mod security;
mod segments;

use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;
use uuid::Uuid;

pub use admin::{Group, committed_offset};
use node::{Layout, Node};
pub use records::{Producer, Received, Record};
pub use security::{AUDIENCE, Security};
pub use segments::{StoredBatch, crc32c};

use super::guard::{self, Signal};
use super::wait;

/// Three brokers on two busy cores take about half a minute.
const READY: Duration = Duration::from_mins(2);

/// A door of the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// No sign-in, no encryption.
    Plain,
    /// SCRAM, PLAIN or OAUTHBEARER, no encryption.
    Sasl,
    /// SCRAM, PLAIN or OAUTHBEARER over TLS.
    SaslTls,
    /// The same, but the brokers' certificate has expired.
    Expired,
    /// TLS with a client certificate.
    Mtls,
}

/// What a cluster is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// 1 or 3.
    pub brokers: usize,
    /// Whether it has the listeners with sign-in beside [`Listener::Plain`].
    pub sign_in: bool,
    /// The port of a proxy, which clients are told that come through it. With one broker only.
    pub proxy_port: Option<u16>,
    /// How large a file may become, in bytes; what is beyond cannot be written, as on a disk that is full.
    pub largest_file: Option<u64>,
    /// Further broker properties.
    pub properties: Vec<(String, String)>,
}

impl Options {
    /// So many brokers, without sign-in.
    pub fn brokers(brokers: usize) -> Self {
        Self { brokers, sign_in: false, proxy_port: None, largest_file: None, properties: Vec::new() }
    }

    /// Adds the listeners with sign-in.
    #[must_use]
    pub fn with_sign_in(mut self) -> Self {
        self.sign_in = true;
        self
    }

    /// Adds a listener for a proxy on this port; see [`Cluster::port_behind_proxy`].
    #[must_use]
    pub fn advertised_at(mut self, proxy_port: u16) -> Self {
        self.proxy_port = Some(proxy_port);
        self
    }

    /// Limits the files of its brokers until [`Cluster::make_room`].
    #[must_use]
    pub fn with_files_up_to(mut self, bytes: u64) -> Self {
        self.largest_file = Some(bytes);
        self
    }

    /// Sets a broker property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running cluster. Nodes are counted from 1, as Kafka's node ids here.
pub struct Cluster {
    nodes: Vec<Mutex<Node>>,
    security: Option<Security>,
    // Last, so that the brokers are gone when it is removed.
    dir: TempDir,
}

/// The cluster that tests share: one broker with every listener. It lives as long as the test
/// process.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(&Options::brokers(1).with_sign_in()))
}

/// A name for a topic or a group that no other test has.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", &Uuid::new_v4().simple().to_string()[..12])
}

impl Cluster {
    /// Formats and starts the nodes and waits until all of them answer.
    ///
    /// # Panics
    /// When they do not get ready in time, or one ends; the message has the end of its log.
    pub fn start(options: &Options) -> Self {
        // Another process may take a port between our look at it and the broker's bind.
        for _ in 0..2 {
            match Self::try_start(options) {
                Ok(cluster) => return cluster,
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("{log}"),
            }
        }
        Self::try_start(options).unwrap_or_else(|log| panic!("{log}"))
    }

    fn try_start(options: &Options) -> Result<Self, String> {
        let dir = guard::temp_dir("kafka");
        let security = options.sign_in.then(|| Security::new(dir.path()));
        let layout = Layout::new(dir.path(), options, security.as_ref());
        archive::train_once();
        let mut nodes = Vec::new();
        for id in 1..=options.brokers {
            nodes.push(layout.format(id)?);
        }
        for node in &mut nodes {
            node.start();
        }
        let nodes: Vec<_> = nodes.into_iter().map(Mutex::new).collect();
        let cluster = Self { nodes, security, dir };
        cluster.until_ready()?;
        Ok(cluster)
    }

    /// `host:port` of each broker's listener without sign-in, as `bootstrap.servers` wants it.
    pub fn bootstrap(&self) -> String {
        bootstrap(&self.nodes, Listener::Plain)
    }

    /// The same for another listener.
    ///
    /// # Panics
    /// When the cluster was started without it.
    pub fn bootstrap_of(&self, listener: Listener) -> String {
        bootstrap(&self.nodes, listener)
    }

    /// The port that the proxy of [`Options::advertised_at`] has to stand before.
    pub fn port_behind_proxy(&self) -> u16 {
        self.node(1).port_behind_proxy()
    }

    /// Who may sign in, and with what.
    ///
    /// # Panics
    /// When the cluster was started without sign-in.
    pub fn security(&self) -> &Security {
        self.security.as_ref().expect("a cluster started with_sign_in")
    }

    /// The brokers' process ids, in the order of the nodes.
    pub fn pids(&self) -> Vec<Option<u32>> {
        self.nodes.iter().map(|node| node.lock().unwrap().pid()).collect()
    }

    /// Kills a node as a power cut does.
    pub fn kill(&self, id: i32) {
        self.node(id).end(Signal::Kill);
    }

    /// Stops a node in good order.
    pub fn stop(&self, id: i32) {
        self.node(id).end(Signal::Term);
    }

    /// Starts a node that was killed or stopped, and waits until all nodes answer.
    pub fn start_again(&self, id: i32) {
        self.node(id).start();
        self.until_ready().unwrap_or_else(|log| panic!("{log}"));
    }

    /// Whether a node has ended by itself.
    pub fn has_ended(&self, id: i32) -> bool {
        self.node(id).has_ended()
    }

    /// From its next start on, a node's files may become as large as they like.
    pub fn make_room(&self, id: i32) {
        self.node(id).largest_file = None;
    }

    /// Holds a node where it is: its connections stay open and it says nothing.
    pub fn freeze(&self, id: i32) {
        self.node(id).signal(Signal::Stop);
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self, id: i32) {
        self.node(id).signal(Signal::Continue);
    }

    fn node(&self, id: i32) -> MutexGuard<'_, Node> {
        let at = usize::try_from(id - 1).expect("nodes are counted from 1");
        self.nodes[at].lock().unwrap()
    }

    /// Ready is a metadata answer, over the wire, that lists every node.
    fn until_ready(&self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let seen = match self.onlooker().fetch_metadata(None, Duration::from_secs(1)) {
                Ok(metadata) if metadata.brokers().len() == self.nodes.len() => return Ok(()),
                Ok(metadata) => format!("{} brokers", metadata.brokers().len()),
                Err(error) => error.to_string(),
            };
            let ended = self.nodes.iter().any(|node| node.lock().unwrap().has_ended());
            if ended || start.elapsed() > READY {
                let logs: Vec<_> = self.nodes.iter().map(|node| node.lock().unwrap().log_tail()).collect();
                let what = if ended { "a Kafka node ended" } else { "Kafka is not ready" };
                return Err(format!(
                    "{what} after {:?}; last seen: {seen}\n{}",
                    start.elapsed(),
                    logs.join("\n")
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A client that asks only nodes that can answer. It is new each time, because an old one may
    /// hold on to its connection to a node that is frozen by now.
    fn onlooker(&self) -> BaseConsumer {
        let awake = self.nodes.iter().filter_map(|node| {
            let node = node.lock().unwrap();
            node.is_awake().then(|| node.address(Listener::Plain))
        });
        client(&awake.collect::<Vec<_>>().join(","), &[])
    }

    /// The node that leads a partition; waits for there to be one that is not `but`.
    #[track_caller]
    pub fn wait_for_leader(&self, topic: &str, partition: i32, but: Option<i32>, limit: Duration) -> i32 {
        wait::until_ok(limit, &format!("a leader of {topic}/{partition} other than {but:?}"), || {
            match self.leader(topic, partition) {
                Some(leader) if Some(leader) != but => Ok(leader),
                other => Err(format!("leader {other:?}")),
            }
        })
    }
}

fn bootstrap(nodes: &[Mutex<Node>], listener: Listener) -> String {
    let addresses: Vec<_> = nodes.iter().map(|node| node.lock().unwrap().address(listener)).collect();
    addresses.join(",")
}

/// A client that is quick to come back after a broker's restart.
fn client(bootstrap: &str, properties: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(bootstrap);
    config.set("group.id", "streamproc-tests-look-on");
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create().expect("a client")
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("allow.auto.create.topics", "false")
        .set("log_level", "0");
    config
}
