//! What benchmarks of whole processes stand on: topics of a real Kafka, each filled once by the simulator,
//! the service as the process that users run, and an endpoint that answers at once.

// Each benchmark includes this module and uses the part of it that it needs.
#![allow(dead_code)]

pub mod endpoint;
pub mod usage;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Serialize;
use url::Url;

use crate::support::kafka::{self, Cluster, Options};
use crate::support::process::Process;
use crate::support::service::{Service, Setup, toml};

/// How many fields of `complexData` make an event of about so many bytes.
pub const KILOBYTE: usize = 23;

/// What the events of a topic are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Events {
    pub devices: u64,
    pub partitions: i32,
    pub complex_data: usize,
}

impl Default for Events {
    /// Those of the sample, in a topic of six partitions.
    fn default() -> Self {
        Self { devices: 1_000, partitions: 6, complex_data: KILOBYTE }
    }
}

/// A line of the service's configuration, with its section.
pub type Setting = (&'static str, String);

/// Kafka, and the topics that are filled already.
pub struct Stage {
    cluster: Cluster,
    dead_letters: String,
    filled: HashMap<(u64, Events), String>,
}

impl Stage {
    pub fn new() -> Self {
        // The longest cases send more than a disk may have.
        Self::on(&Options::brokers(1).property("log.retention.check.interval.ms", "10000"))
    }

    /// On a broker with properties of its own.
    pub fn on(options: &Options) -> Self {
        let cluster = Cluster::start(options);
        let dead_letters = kafka::unique("dead-letters");
        cluster.create_topic(&dead_letters, 1, &[]);
        Self { cluster, dead_letters, filled: HashMap::new() }
    }

    pub fn bootstrap(&self) -> String {
        self.cluster.bootstrap()
    }

    /// A topic of so many events, filled once.
    pub fn filled(&mut self, events: Events, count: u64) -> String {
        let kind = (count, events);
        if let Some(topic) = self.filled.get(&kind) {
            return topic.clone();
        }
        let topic = self.topic(events);
        self.simulate(events, &topic, 0, count);
        self.filled.insert(kind, topic.clone());
        topic
    }

    /// An empty topic.
    pub fn topic(&self, events: Events) -> String {
        self.topic_with(events, &[])
    }

    /// An empty topic with properties of its own.
    pub fn topic_with(&self, events: Events, properties: &[(&str, &str)]) -> String {
        let topic = kafka::unique("events");
        self.cluster.create_topic(&topic, events.partitions, properties);
        topic
    }

    /// Sends so many events, each once, at a rate; 0 is as fast as it gets.
    pub fn simulate(&self, events: Events, topic: &str, rate: u64, count: u64) {
        let mut setup = Setup::new(&self.config(topic, "http://127.0.0.1:1/", &[]));
        for argument in ["simulate", "--duplicate-every", "0"] {
            setup = setup.argument(argument);
        }
        for (option, value) in [
            ("--rate", rate),
            ("--count", count),
            ("--devices", events.devices),
            ("--complex-data-count", events.complex_data as u64),
        ] {
            setup = setup.argument(option).argument(&value.to_string());
        }
        let simulator = setup.start();
        let status = simulator.wait_for_exit(Duration::from_mins(20));
        assert!(status.success(), "{}", simulator.tail());
    }

    /// Starts the service over a topic, in a group of its own.
    pub fn start(&self, topic: &str, endpoint: &Url, settings: &[Setting]) -> Service {
        // Microsoft's client makes errors that nobody sees, some a request; with their backtraces they cost
        // more than the request.
        Setup::new(&self.config(topic, endpoint.as_str(), settings))
            .variable("RUST_LIB_BACKTRACE", "0")
            .start()
    }

    fn config(&self, topic: &str, endpoint: &str, settings: &[Setting]) -> String {
        let mut lines = vec![
            ("kafka", format!("bootstrap_servers = {:?}", self.bootstrap())),
            ("kafka", format!("topics = [{topic:?}]")),
            ("kafka", format!("group_id = {:?}", kafka::unique("group"))),
            ("cosmos", format!("endpoint = {endpoint:?}")),
            ("cosmos", "regions = [\"West Europe\"]".to_owned()),
            ("cosmos", "database = \"streaming\"".to_owned()),
            ("cosmos", "container = \"rawdata\"".to_owned()),
            ("cosmos.auth", "method = \"key\"".to_owned()),
            ("dead_letter", format!("topic = {:?}", self.dead_letters)),
        ];
        lines.extend(settings.iter().cloned());
        toml(lines)
    }
}

/// Leaves a process one processor.
pub fn bind_to_one_core(process: &Process) {
    let bound = Command::new("taskset").args(["-acp", "0", &process.pid().to_string()]).output();
    let bound = bound.expect("taskset, of util-linux");
    assert!(bound.status.success(), "{bound:?}");
}

/// The most memory and the largest micro-batches that the benchmarks give the service.
pub fn large_batches() -> Vec<Setting> {
    vec![
        ("trigger", "max_events_per_trigger = 100000".to_owned()),
        ("trigger", "max_bytes = \"256MiB\"".to_owned()),
    ]
}

/// Looks more often than the tests do: when it is so is what is measured.
///
/// # Panics
/// When the process ends first, or after 20 minutes.
pub fn wait_until(process: &Process, mut is_so: impl FnMut() -> bool) -> Instant {
    let limit = Instant::now() + Duration::from_mins(20);
    while !is_so() {
        if let Some(status) = process.exited() {
            panic!("it ended ({status}) before all was written\n{}", process.tail());
        }
        assert!(Instant::now() < limit, "all was not written in 20 minutes\n{}", process.tail());
        std::thread::sleep(Duration::from_millis(5));
    }
    Instant::now()
}

/// Writes a result to `target/bench/`.
pub fn keep(name: &str, result: &impl Serialize) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench").join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, serde_json::to_string_pretty(result).unwrap()).unwrap();
    println!("written to {}", file.display());
}
