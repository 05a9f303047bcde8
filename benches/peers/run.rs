//! One run: a process started over the backlog, looked at from outside until every event is written, and
//! ended.
//!
//! All are looked at in the same way, at four moments: when the process starts, when the first write has been
//! answered, when half of the events are written, and when all are.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::job::{Job, Running};
use crate::stage::endpoint::Endpoint;
use crate::stage::{Setting, Stage, usage, wait_until};
use crate::support::guard::Signal;
use crate::support::process::Process;
use crate::support::service::Service;

/// What is started.
pub enum Peer {
    /// This service, with lines of configuration beyond the defaults.
    Streamproc(Vec<Setting>),
    /// The job that it replaces.
    Spark { max_offsets_per_trigger: Option<u64> },
}

/// It runs.
pub enum Started {
    Streamproc(Service),
    Spark(Running),
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub events: u64,
    /// From the first write to the last.
    pub events_per_second: f64,
    /// User and system, of the whole process from its start to the last write.
    pub cpu_micros_per_event: f64,
    /// From the first write to the last.
    pub cpu_micros_per_event_writing: f64,
    /// While the second half was written: the JVM has compiled what it compiles by then.
    pub cpu_micros_per_event_second_half: f64,
    /// From the start of the process to the first write.
    pub seconds_to_start: f64,
    /// From the start of the process to the last write.
    pub seconds: f64,
    pub documents_per_request: f64,
    pub body_bytes_per_document: f64,
    /// Beyond one of each event.
    pub documents_written_again: u64,
    pub peak_resident_bytes: u64,
}

/// The endpoint of one run, which notes what is written.
pub fn endpoint(physical_partitions: u32) -> Endpoint {
    let endpoint = Endpoint::start(Duration::ZERO, physical_partitions).expect("an endpoint");
    endpoint.note_ids();
    endpoint
}

impl Peer {
    pub fn start(&self, stage: &Stage, topic: &str, endpoint: &Endpoint, job: Option<&Job>) -> Started {
        match self {
            Self::Streamproc(settings) => Started::Streamproc(stage.start(topic, endpoint.url(), settings)),
            Self::Spark { max_offsets_per_trigger } => {
                let job = job.expect("compiled before");
                Started::Spark(job.start(&stage.bootstrap(), topic, endpoint, *max_offsets_per_trigger))
            }
        }
    }
}

impl Started {
    fn process(&self) -> &Process {
        match self {
            Self::Streamproc(service) => service,
            Self::Spark(running) => &running.process,
        }
    }

    /// The job ends when it has read what was there; the service when it is told to.
    fn end(&self) {
        if let Self::Streamproc(service) = self {
            service.signal(Signal::Term);
        }
        let status = self.process().wait_for_exit(Duration::from_mins(2));
        assert!(status.success(), "{status}\n{}", self.process().tail());
    }
}

/// What a process had done at one moment.
struct Seen {
    at: Instant,
    documents: u64,
    cpu: Duration,
}

/// Watches a process that has just been started until every event is written, and ends it.
///
/// # Panics
/// When it ends before, or not well.
pub fn measure(started: &Started, endpoint: &Endpoint, events: u64) -> Measured {
    let process = started.process();
    let begun = Instant::now();
    let when = |documents: u64| {
        wait_until(process, || endpoint.different_documents() >= documents);
        let cpu = usage::cpu(process.pid());
        Seen { at: Instant::now(), documents: endpoint.written().documents, cpu }
    };
    let (first, half, last) = (when(1), when(events / 2), when(events));
    let peak_resident_bytes = process.peak_rss_bytes();
    started.end();
    let written = endpoint.written();
    let cpu_micros = |from: &Seen, to: &Seen| {
        to.cpu.saturating_sub(from.cpu).as_secs_f64() * 1e6 / (to.documents - from.documents) as f64
    };
    Measured {
        events,
        events_per_second: (last.documents - first.documents) as f64 / (last.at - first.at).as_secs_f64(),
        cpu_micros_per_event: last.cpu.as_secs_f64() * 1e6 / events as f64,
        cpu_micros_per_event_writing: cpu_micros(&first, &last),
        cpu_micros_per_event_second_half: cpu_micros(&half, &last),
        seconds_to_start: (first.at - begun).as_secs_f64(),
        seconds: (last.at - begun).as_secs_f64(),
        documents_per_request: written.documents as f64 / written.requests as f64,
        body_bytes_per_document: written.bytes as f64 / written.documents as f64,
        documents_written_again: written.documents - endpoint.different_documents(),
        peak_resident_bytes,
    }
}
