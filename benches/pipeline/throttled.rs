//! A container that has less than is needed: how much of it is used, and how many requests are throttled.
//!
//! The load comes at 1,000 events a second for as long as is measured; the emulated container gets a part of
//! the request units that this needs.

use std::thread;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use serde::Serialize;
use streamproc::sandbox::{CosmosOptions, Sandbox, SandboxOptions};

use crate::cases::Case;
use crate::stage::{Events, Stage};
use crate::support::guard::Signal;
use crate::support::service::Service;

/// Events a second.
const RATE: u64 = 1_000;

/// What a container of so much came to.
#[derive(Clone, Debug, Serialize)]
pub struct Throttled {
    /// The part of what is needed that it was given; none: all it could want.
    pub share: Option<f64>,
    pub provisioned: Option<f64>,
    /// From the fifth second after the first throttled answer on.
    pub request_units_per_second: f64,
    /// The part of the requests that was answered 429.
    pub too_many: f64,
    pub documents_per_request: f64,
    /// What Kafka sent again because partitions had been paused, over what was stored.
    pub refetched: f64,
    pub trace: Vec<Second>,
}

/// One second.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Second {
    pub request_units: f64,
    pub requests: f64,
    pub throttled: f64,
}

#[derive(Clone, Copy, Default)]
struct Counters {
    request_units: f64,
    requests: f64,
    throttled: f64,
    stored: f64,
    refetched: f64,
}

pub fn measure(stage: &Stage, seconds: u64) -> Vec<Throttled> {
    let plenty = one(stage, seconds, None, None);
    let needed = plenty.request_units_per_second;
    let mut all = vec![plenty];
    for share in [0.9, 0.5, 0.25] {
        all.push(one(stage, seconds, Some(share), Some((share * needed).round())));
    }
    all
}

fn one(stage: &Stage, seconds: u64, share: Option<f64>, provisioned: Option<f64>) -> Throttled {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let cosmos =
        CosmosOptions { throughput: provisioned.map(|limit| limit as u64), ..CosmosOptions::default() };
    let options = SandboxOptions { kafka: None, cosmos: Some(cosmos) };
    let sandbox = runtime.block_on(Sandbox::start(options)).expect("a sandbox");
    let events = Events::default();
    let topic = stage.topic(events);
    let service = stage.start(&topic, sandbox.cosmos().expect("it was asked for").endpoint(), &[]);
    let mut trace = Vec::new();
    let (mut from, mut to) = ((Instant::now(), Counters::default()), (Instant::now(), Counters::default()));
    thread::scope(|scope| {
        let load = scope.spawn(|| stage.simulate(events, &topic, RATE, RATE * seconds));
        let mut before = Counters::default();
        let mut begun = None;
        while !load.is_finished() {
            thread::sleep(Duration::from_secs(1));
            let now = counters(&service);
            // Without a limit nothing throttles; then it begins when something is written.
            let has_begun = now.throttled > 0.0 || (provisioned.is_none() && now.requests > 0.0);
            if has_begun && begun.is_none() {
                begun = Some(Instant::now());
            }
            let Some(begun) = begun else { continue };
            trace.push(Second {
                request_units: now.request_units - before.request_units,
                requests: now.requests - before.requests,
                throttled: now.throttled - before.throttled,
            });
            before = now;
            if begun.elapsed() < Duration::from_secs(5) {
                from = (Instant::now(), now);
            }
            to = (Instant::now(), now);
        }
    });
    service.signal(Signal::Kill);
    let (took, from, to) = ((to.0 - from.0).as_secs_f64(), from.1, to.1);
    let requests = to.requests - from.requests;
    Throttled {
        share,
        provisioned,
        request_units_per_second: (to.request_units - from.request_units) / took,
        too_many: (to.throttled - from.throttled) / requests,
        documents_per_request: (to.stored - from.stored) / requests,
        refetched: to.refetched / (to.stored * Case::BYTES),
        trace,
    }
}

fn counters(service: &Service) -> Counters {
    let metric = |name: &str| service.metric(&format!("streamproc_{name}"), &[]).unwrap_or(0.0);
    Counters {
        request_units: metric("request_units_total"),
        requests: metric("store_requests_total"),
        throttled: metric("store_throttled_total"),
        stored: metric("events_stored_total"),
        refetched: metric("refetched_bytes_total"),
    }
}

pub fn table(measured: &[Throttled]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "provisioned, of what is needed",
        "RU/s",
        "used RU/s",
        "used",
        "slowest and fastest second",
        "throttled requests",
        "docs/request",
        "sent again by Kafka",
    ]);
    let percent = |part: f64| format!("{:.1} %", 100.0 * part);
    for one in measured {
        let steady = one.trace.iter().skip(5).map(|second| second.request_units);
        let steady: Vec<f64> = steady.collect();
        let least = steady.iter().copied().fold(f64::INFINITY, f64::min);
        let most = steady.iter().copied().fold(0.0, f64::max);
        table.add_row([
            one.share.map_or_else(|| "no limit".to_owned(), percent),
            one.provisioned.map_or_else(|| "-".to_owned(), |limit| format!("{limit:.0}")),
            format!("{:.0}", one.request_units_per_second),
            one.provisioned
                .map_or_else(|| "-".to_owned(), |limit| percent(one.request_units_per_second / limit)),
            format!("{least:.0} to {most:.0}"),
            percent(one.too_many),
            format!("{:.1}", one.documents_per_request),
            percent(one.refetched),
        ]);
    }
    table
}
