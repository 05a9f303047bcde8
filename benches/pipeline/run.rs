//! One case: the topic filled, the service started, watched until all is stored, and stopped.

use std::collections::HashMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cases::{Case, Load};
use crate::endpoint::Endpoint;
use crate::floor;
use crate::support::guard::Signal;
use crate::support::kafka::{self, Cluster};
use crate::support::service::{Service, Setup, toml};
use crate::usage;

/// What a case came to.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub events: u64,
    /// From the service's start, joining the group included, until the last was answered.
    pub seconds: f64,
    /// From the first answer to the last.
    pub events_per_second: f64,
    pub cpu_micros_per_event: f64,
    /// Ours over what consuming and posting the same costs at least.
    pub over_floor: Option<f64>,
    pub floor_consume_micros: Option<f64>,
    pub floor_post_micros: Option<f64>,
    pub documents_per_request: f64,
    pub body_bytes_per_event: f64,
    pub peak_resident_bytes: u64,
    /// From the record's timestamp until the endpoint has the document.
    pub p50_millis: Option<f64>,
    pub p99_millis: Option<f64>,
    pub samples: Vec<Sample>,
}

/// A look at the service while events come steadily.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    pub seconds: f64,
    pub resident_bytes: u64,
    /// Events behind the end of the topic.
    pub lag: f64,
}

/// Kafka, and the topics that are filled already.
pub struct Stage<'a> {
    cluster: &'a Cluster,
    dead_letters: String,
    filled: HashMap<(u64, u64, i32, usize), String>,
}

impl<'a> Stage<'a> {
    pub fn new(cluster: &'a Cluster) -> Self {
        let dead_letters = kafka::unique("dead-letters");
        cluster.create_topic(&dead_letters, 1, &[]);
        Self { cluster, dead_letters, filled: HashMap::new() }
    }

    pub fn measure(&mut self, case: &Case) -> Measured {
        let endpoint = Endpoint::start(case.latency).expect("an endpoint");
        match case.load {
            Load::Backlog { events } => {
                let topic = self.filled(case, events);
                let begun = Instant::now();
                let service = self.start(case, &topic, endpoint.url().as_str());
                let first = wait_until(&service, || endpoint.written().documents > 0);
                let last = wait_until(&service, || endpoint.written().documents >= events);
                let measured =
                    finish(&service, &endpoint, events, last - begun, last - first, Duration::ZERO);
                if case.floor { self.with_floor(measured, &topic, &endpoint) } else { measured }
            }
            Load::Steady { rate, duration } => {
                let topic = self.topic(case);
                let service = self.start(case, &topic, endpoint.url().as_str());
                // Joined, its connections open, its first batches behind it.
                self.simulate(case, &topic, rate, rate * 2);
                wait_until(&service, || endpoint.written().documents >= rate * 2);
                let (before, begun) = (usage::cpu(service.pid()), Instant::now());
                let warm = endpoint.written();
                endpoint.note_ages();
                let events = rate * duration.as_secs();
                let samples = thread::scope(|scope| {
                    let load = scope.spawn(|| self.simulate(case, &topic, rate, events));
                    sample(&service, duration / 20, || load.is_finished())
                });
                let last = wait_until(&service, || endpoint.written().documents >= warm.documents + events);
                let ages = endpoint.ages_millis();
                let rank =
                    |share: f64| ages.get((ages.len() as f64 * share) as usize).map(|age| f64::from(*age));
                let (p50, p99) = (rank(0.5), rank(0.99));
                let mut measured = finish(&service, &endpoint, events, last - begun, last - begun, before);
                let requests = endpoint.written().requests - warm.requests;
                measured.documents_per_request = events as f64 / requests as f64;
                (measured.p50_millis, measured.p99_millis, measured.samples) = (p50, p99, samples);
                measured
            }
        }
    }

    fn with_floor(&self, mut measured: Measured, topic: &str, endpoint: &Endpoint) -> Measured {
        let events = measured.events as f64;
        let requests = (events / measured.documents_per_request) as u64;
        let consume = floor::consume(&self.cluster.bootstrap(), topic, measured.events);
        let post = floor::post(endpoint, requests);
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / events;
        measured.over_floor = Some(measured.cpu_micros_per_event / micros(consume + post));
        measured.floor_consume_micros = Some(micros(consume));
        measured.floor_post_micros = Some(micros(post));
        measured
    }

    /// A topic of so many events, filled once.
    pub fn filled(&mut self, case: &Case, events: u64) -> String {
        let kind = (events, case.devices, case.partitions, case.complex_data);
        if let Some(topic) = self.filled.get(&kind) {
            return topic.clone();
        }
        let topic = self.topic(case);
        self.simulate(case, &topic, 0, events);
        self.filled.insert(kind, topic.clone());
        topic
    }

    pub fn topic(&self, case: &Case) -> String {
        let topic = kafka::unique("events");
        self.cluster.create_topic(&topic, case.partitions, &[]);
        topic
    }

    pub fn simulate(&self, case: &Case, topic: &str, rate: u64, events: u64) {
        let mut setup = Setup::new(&self.config(case, topic, "http://127.0.0.1:1/"));
        for argument in ["simulate", "--duplicate-every", "0"] {
            setup = setup.argument(argument);
        }
        for (option, value) in [
            ("--rate", rate),
            ("--count", events),
            ("--devices", case.devices),
            ("--complex-data-count", case.complex_data as u64),
        ] {
            setup = setup.argument(option).argument(&value.to_string());
        }
        let simulator = setup.start();
        let status = simulator.wait_for_exit(Duration::from_mins(20));
        assert!(status.success(), "{}", simulator.tail());
    }

    pub fn start(&self, case: &Case, topic: &str, endpoint: &str) -> Service {
        // Microsoft's client makes errors that nobody sees, some a request; with their backtraces they cost
        // more than the request.
        let setup = Setup::new(&self.config(case, topic, endpoint)).variable("RUST_LIB_BACKTRACE", "0");
        let service = setup.start();
        if case.one_core {
            let pid = service.pid().to_string();
            let bound = Command::new("taskset").args(["-acp", "0", &pid]).output().expect("taskset");
            assert!(bound.status.success(), "{bound:?}");
        }
        service
    }

    fn config(&self, case: &Case, topic: &str, endpoint: &str) -> String {
        let mut lines = vec![
            ("kafka", format!("bootstrap_servers = {:?}", self.cluster.bootstrap())),
            ("kafka", format!("topics = [{topic:?}]")),
            ("kafka", format!("group_id = {:?}", kafka::unique("group"))),
            ("kafka", format!("workers = {}", case.workers)),
            ("cosmos", format!("endpoint = {endpoint:?}")),
            ("cosmos", "regions = [\"West Europe\"]".to_owned()),
            ("cosmos", "database = \"streaming\"".to_owned()),
            ("cosmos", "container = \"rawdata\"".to_owned()),
            ("cosmos.auth", "method = \"key\"".to_owned()),
            ("dead_letter", format!("topic = {:?}", self.dead_letters)),
        ];
        lines.extend(case.settings.iter().cloned());
        toml(lines)
    }
}

/// It looks more often than the tests do: when it is so is what is measured.
pub fn wait_until(service: &Service, mut is_so: impl FnMut() -> bool) -> Instant {
    let limit = Instant::now() + Duration::from_mins(20);
    while !is_so() {
        assert!(service.exited().is_none() && Instant::now() < limit, "{}", service.tail());
        thread::sleep(Duration::from_millis(5));
    }
    Instant::now()
}

/// Looks at the service now and then.
fn sample(service: &Service, every: Duration, is_over: impl Fn() -> bool) -> Vec<Sample> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    while !is_over() {
        if begun.elapsed() >= every * samples.len() as u32 {
            samples.push(Sample {
                seconds: begun.elapsed().as_secs_f64(),
                resident_bytes: service.rss_bytes(),
                lag: service.metric("streamproc_consumer_lag", &[]).unwrap_or(f64::NAN),
            });
        }
        thread::sleep(Duration::from_millis(50));
    }
    samples
}

fn finish(
    service: &Service,
    endpoint: &Endpoint,
    events: u64,
    whole: Duration,
    flowing: Duration,
    cpu_before: Duration,
) -> Measured {
    let cpu = usage::cpu(service.pid()).saturating_sub(cpu_before);
    let written = endpoint.written();
    let peak = service.peak_rss_bytes();
    service.signal(Signal::Term);
    let status = service.wait_for_exit(Duration::from_mins(1));
    assert!(status.success(), "{}", service.tail());
    Measured {
        events,
        seconds: whole.as_secs_f64(),
        events_per_second: events as f64 / flowing.as_secs_f64(),
        cpu_micros_per_event: cpu.as_secs_f64() * 1e6 / events as f64,
        over_floor: None,
        floor_consume_micros: None,
        floor_post_micros: None,
        documents_per_request: written.documents as f64 / written.requests as f64,
        body_bytes_per_event: written.bytes as f64 / written.documents as f64,
        peak_resident_bytes: peak,
        p50_millis: None,
        p99_millis: None,
        samples: Vec::new(),
    }
}
