//! One case: the topic filled, the service started, watched until all is stored, and stopped.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use streamproc::sandbox::PHYSICAL_PARTITIONS;

use crate::cases::{Case, Load};
use crate::floor;
use crate::stage::endpoint::Endpoint;
use crate::stage::{Stage, bind_to_one_core, usage, wait_until};
use crate::support::guard::Signal;
use crate::support::service::Service;

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

/// Runs a case.
pub fn measure(stage: &mut Stage, case: &Case) -> Measured {
    let endpoint = Endpoint::start(case.latency, PHYSICAL_PARTITIONS).expect("an endpoint");
    match case.load {
        Load::Backlog { events } => {
            let topic = stage.filled(case.events, events);
            let begun = Instant::now();
            let service = stage.start(&topic, endpoint.url(), &case.settings);
            let first = wait_until(&service, || endpoint.written().documents > 0);
            let last = wait_until(&service, || endpoint.written().documents >= events);
            let measured = finish(&service, &endpoint, events, last - begun, last - first, Duration::ZERO);
            if case.floor { with_floor(measured, stage, &topic, &endpoint) } else { measured }
        }
        Load::Steady { rate, duration } => {
            // Of hours at this rate, a disk holds minutes.
            let bounded = [("retention.bytes", "67108864"), ("segment.bytes", "16777216")];
            let topic = stage.topic_with(case.events, if case.is_long() { &bounded } else { &[] });
            let service = stage.start(&topic, endpoint.url(), &case.settings);
            if case.one_core {
                bind_to_one_core(&service);
            }
            // Joined, its connections open, its first batches behind it.
            stage.simulate(case.events, &topic, rate, rate * 2);
            wait_until(&service, || endpoint.written().documents >= rate * 2);
            let (before, begun) = (usage::cpu(service.pid()), Instant::now());
            let warm = endpoint.written();
            endpoint.note_ages();
            let events = rate * duration.as_secs();
            let samples = thread::scope(|scope| {
                let load = scope.spawn(|| stage.simulate(case.events, &topic, rate, events));
                sample(&service, duration / 20, || load.is_finished())
            });
            let last = wait_until(&service, || endpoint.written().documents >= warm.documents + events);
            let ages = endpoint.ages_millis();
            let rank = |share: f64| ages.get((ages.len() as f64 * share) as usize).map(|age| f64::from(*age));
            let (p50, p99) = (rank(0.5), rank(0.99));
            let mut measured = finish(&service, &endpoint, events, last - begun, last - begun, before);
            let requests = endpoint.written().requests - warm.requests;
            measured.documents_per_request = events as f64 / requests as f64;
            (measured.p50_millis, measured.p99_millis, measured.samples) = (p50, p99, samples);
            measured
        }
    }
}

fn with_floor(mut measured: Measured, stage: &Stage, topic: &str, endpoint: &Endpoint) -> Measured {
    let events = measured.events as f64;
    let requests = (events / measured.documents_per_request) as u64;
    let consume = floor::consume(&stage.bootstrap(), topic, measured.events);
    let post = floor::post(endpoint, requests);
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / events;
    measured.over_floor = Some(measured.cpu_micros_per_event / micros(consume + post));
    measured.floor_consume_micros = Some(micros(consume));
    measured.floor_post_micros = Some(micros(post));
    measured
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
