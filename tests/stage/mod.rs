//! What an end-to-end test plays on: topics of its own on a real Kafka, an embedded Cosmos DB of its
//! own, and the service between them; events that keep coming, and a watch over what is promised.

// Each test binary includes this module and uses the part of it that it needs.
#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod flow;
pub mod held;
pub mod letters;
pub mod members;
pub mod says;
pub mod watch;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use streamproc::sandbox::{ContainerOptions, CosmosOptions, EmbeddedCosmos, Sandbox, SandboxOptions};
use url::Url;

use crate::support::guard;
use crate::support::kafka::{self, Cluster, Received, Record};
use crate::support::proxy::Proxy;
use crate::support::service::{Service, toml};
use crate::support::wait;

/// How long something that takes a moment may take on two busy cores.
pub const SOON: Duration = Duration::from_mins(1);

/// A topic, a dead-letter topic, a group and a Cosmos DB of a test's own.
pub struct Stage {
    pub cluster: &'static Cluster,
    pub topic: String,
    pub dead_letters: String,
    pub group: String,
    pub is_compacted: bool,
    sandbox: Sandbox,
    cosmos_at: Option<Url>,
}

/// What `compare.py` found: how many of each, and examples of what should not be.
#[derive(Debug, serde::Deserialize)]
pub struct Comparison {
    #[allow(dead_code, reason = "for the failure message")]
    pub records: usize,
    pub events: usize,
    pub documents: usize,
    pub missing: usize,
    pub doubled: usize,
    pub extra: usize,
    pub different: usize,
    #[allow(dead_code, reason = "for the failure message")]
    pub examples: Value,
}

/// What a stage is like.
pub struct Layout {
    pub partitions: i32,
    pub topic_settings: &'static [(&'static str, &'static str)],
    pub dead_letter_settings: &'static [(&'static str, &'static str)],
    pub partition_key: Vec<String>,
    pub unique_keys: Vec<String>,
    pub physical_partitions: u32,
    /// Request units a second, if there is a limit.
    pub throughput: Option<u64>,
    /// Regions of the account beside the first one.
    pub further_regions: Vec<String>,
    /// What clients reach Cosmos DB through.
    pub cosmos_proxy: Option<Arc<Proxy>>,
    /// Where Cosmos DB says that it is, if something stands before it.
    pub cosmos_at: Option<Url>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            partitions: 6,
            topic_settings: &[],
            dead_letter_settings: &[],
            partition_key: vec!["/deviceId".into()],
            unique_keys: Vec::new(),
            physical_partitions: CosmosOptions::default().physical_partitions,
            throughput: None,
            further_regions: Vec::new(),
            cosmos_proxy: None,
            cosmos_at: None,
        }
    }
}

impl Stage {
    /// A stage on the cluster that tests share.
    pub fn new(layout: Layout) -> Self {
        Self::on(kafka::shared(), layout)
    }

    /// A stage on a cluster.
    pub fn on(cluster: &'static Cluster, layout: Layout) -> Self {
        let (topic, dead_letters) = (kafka::unique("events"), kafka::unique("dead-letters"));
        cluster.create_topic(&topic, layout.partitions, layout.topic_settings);
        cluster.create_topic(&dead_letters, 1, layout.dead_letter_settings);
        let is_compacted = layout.topic_settings.contains(&("cleanup.policy", "compact"));
        let container = ContainerOptions {
            partition_key: layout.partition_key,
            unique_keys: layout.unique_keys,
            ..ContainerOptions::default()
        };
        let through = layout.cosmos_proxy.as_ref().map(|proxy| proxy.url());
        let cosmos_at = layout.cosmos_at.or(through);
        let cosmos = CosmosOptions {
            containers: vec![container],
            further_regions: layout.further_regions,
            throughput: layout.throughput,
            physical_partitions: layout.physical_partitions,
            advertised: cosmos_at.clone(),
            journal: true,
            ..CosmosOptions::default()
        };
        let options = SandboxOptions { kafka: None, cosmos: Some(cosmos) };
        let sandbox = block_on_runtime(Sandbox::start(options)).expect("the embedded Cosmos DB starts");
        if let Some((proxy, cosmos)) = layout.cosmos_proxy.zip(sandbox.cosmos()) {
            proxy.stand_before(cosmos.endpoint().port().expect("it was bound"));
        }
        let group = kafka::unique("group");
        Self { cluster, topic, dead_letters, group, is_compacted, sandbox, cosmos_at }
    }

    pub fn cosmos(&self) -> &EmbeddedCosmos {
        self.sandbox.cosmos().expect("it was started with it")
    }

    /// Where clients are told that Cosmos DB is.
    pub fn cosmos_at(&self) -> &Url {
        self.cosmos_at.as_ref().unwrap_or(self.cosmos().endpoint())
    }

    /// A configuration for this stage. `overrides` are whole sections or lines that come after it,
    /// as `("trigger", "interval = \"50ms\"")`.
    pub fn config(&self, overrides: &[(&str, &str)]) -> String {
        let own = [
            ("kafka", format!("bootstrap_servers = {:?}", self.cluster.bootstrap())),
            ("kafka", format!("topics = [{:?}]", self.topic)),
            ("kafka", format!("group_id = {:?}", self.group)),
            ("kafka", "session_timeout = \"6s\"".into()),
            ("trigger", "interval = \"100ms\"".into()),
            ("cosmos", format!("endpoint = {:?}", self.cosmos_at().as_str())),
            ("cosmos", "regions = [\"West Europe\"]".into()),
            ("cosmos", "database = \"streaming\"".into()),
            ("cosmos", "container = \"rawdata\"".into()),
            ("cosmos.auth", "method = \"key\"".into()),
            ("dead_letter", format!("topic = {:?}", self.dead_letters)),
            ("shutdown", "timeout = \"10s\"".into()),
            ("log", "format = \"text\"".into()),
        ];
        toml(own.into_iter().chain(overrides.iter().map(|(section, line)| (*section, (*line).to_owned()))))
    }

    /// Starts the service on this stage.
    pub fn service(&self, overrides: &[(&str, &str)]) -> Service {
        Service::start(&self.config(overrides))
    }

    /// Waits until everything in the topic is behind the group's commits.
    #[track_caller]
    pub fn wait_until_caught_up(&self, service: &Service, limit: Duration) {
        let partitions = self.cluster.partitions(&self.topic);
        let what = "the group to catch up";
        wait::until_ok(limit, what, || {
            if service.exited().is_some() {
                return Err(format!("the service ended:\n{}", service.tail()));
            }
            let committed = self.cluster.committed(&self.group, &self.topic);
            let behind: Vec<_> = (0..partitions)
                .filter_map(|partition| {
                    let (_, high) = self.cluster.watermarks(&self.topic, partition);
                    let at = committed.get(&partition).copied().unwrap_or(-1);
                    (at < high && high > 0).then(|| format!("{partition}: {at} of {high}"))
                })
                .collect();
            if behind.is_empty() { Ok(()) } else { Err(format!("{behind:?}\n{}", service.tail())) }
        });
    }

    /// Every stored document, read through Microsoft's SDK for Python, by partition key and id.
    pub fn documents(&self) -> Vec<Value> {
        let text = self.python("read_all.py", &[]);
        text.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect()
    }

    /// What a program that shares no code with the service finds when it holds what is stored against
    /// what is in the topic.
    pub fn comparison(&self) -> Comparison {
        let text = self.python("compare.py", &[&self.cluster.bootstrap(), &self.topic]);
        serde_json::from_str(&text).expect("a summary")
    }

    /// Gives how many documents there are, each stored once, as its newest record was sent.
    #[track_caller]
    pub fn assert_stored_as_sent(&self) -> usize {
        let found = self.comparison();
        let wrong = [found.missing, found.doubled, found.extra, found.different];
        assert_eq!(found.events, found.documents, "{found:#?}");
        assert_eq!(wrong, [0; 4], "missing, doubled, extra, different: {found:#?}");
        found.documents
    }

    /// Sends events to a partition, each with a header whose name is not UTF-8 and with one that is.
    pub fn send_with_odd_headers(&self, partition: i32, values: &[&str]) {
        let partition = partition.to_string();
        let bootstrap = self.cluster.bootstrap();
        run_python("odd_header.py", &[&[bootstrap.as_str(), &self.topic, &partition], values].concat());
    }

    /// Runs one of the programs in `tests/python`, with `first` and then where the documents are.
    fn python(&self, script: &str, first: &[&str]) -> String {
        let dir = guard::temp_dir("python");
        let key_file = dir.path().join("key");
        std::fs::write(&key_file, self.cosmos().key()).unwrap();
        let (endpoint, key_file) = (self.cosmos().endpoint(), key_file.to_str().unwrap());
        run_python(script, &[first, &[endpoint.as_str(), key_file, "streaming", "rawdata"]].concat())
    }

    /// Sets the size of the largest record that the dead-letter topic takes.
    pub fn set_largest_letter(&self, bytes: u32) {
        let wanted = format!("max.message.bytes={bytes}");
        let arguments = ["--alter", "--entity-type", "topics", "--entity-name", &self.dead_letters];
        let config = ["--add-config", wanted.as_str()];
        self.cluster.tool("kafka.admin.ConfigCommand", &[&arguments[..], &config[..]].concat());
    }

    /// Deletes the container, with all that is in it.
    pub fn delete_container(&self) {
        let name = &self.cosmos().containers()[0].name;
        block_on_runtime(self.cosmos().delete_container(name)).expect("it is there");
    }

    /// Makes it again, empty.
    pub fn create_container(&self) {
        self.create_container_with(&self.cosmos().containers()[0].partition_key);
    }

    /// Makes it again, empty, with these paths as its partition key.
    pub fn create_container_with(&self, partition_key: &[String]) {
        let container = ContainerOptions {
            partition_key: partition_key.to_vec(),
            ..self.cosmos().containers()[0].clone()
        };
        block_on_runtime(self.cosmos().create_container(&container)).expect("it was deleted");
    }

    /// Everything in the dead-letter topic.
    pub fn letters(&self) -> Vec<Received> {
        self.cluster.read_all(&self.dead_letters)
    }

    /// Writes records to the topic.
    pub fn send(&self, records: &[Record]) -> Vec<(i32, i64)> {
        self.cluster.producer().send(&self.topic, records)
    }
}

fn run_python(script: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let python = std::env::var("STREAMPROC_PYTHON").expect(
        "STREAMPROC_PYTHON names a Python with tests/python/requirements.txt installed; `make test` sets it",
    );
    let output = Command::new(python).arg(script).args(arguments).output().expect("run Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The sandbox has a runtime of its own; starting it needs one to wait on.
pub fn block_on_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

/// An event as the sample sends it, small.
pub fn event(device: usize, number: usize) -> String {
    format!(
        r#"{{"eventId":"{device}-{number}","deviceId":"device-{device}","deviceSequenceNumber":{number},"value":{number}.25,"type":"CO2","createdAt":"2026-05-16T17:16:40.000003Z"}}"#
    )
}

/// Records of events, keyed by their device as the sample does.
pub fn events(devices: usize, each: usize) -> Vec<Record> {
    (0..each)
        .flat_map(|number| (0..devices).map(move |device| (device, number)))
        .map(|(device, number)| Record::new(event(device, number)).key(format!("device-{device}")))
        .collect()
}
