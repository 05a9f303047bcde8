//! From the start of the process until the first event is stored, with a backlog there.

use std::time::{Duration, Instant};

use serde::Serialize;
use streamproc::sandbox::PHYSICAL_PARTITIONS;

use crate::stage::endpoint::Endpoint;
use crate::stage::{Events, Stage, wait_until};
use crate::support::guard::Signal;
use crate::support::kafka::Options;

/// How often each is measured.
const TIMES: usize = 5;

/// How long it took with one broker setting.
#[derive(Clone, Debug, Serialize)]
pub struct StartUp {
    /// The broker's `group.initial.rebalance.delay.ms`.
    pub rebalance_delay_millis: u64,
    /// Each time, shortest first.
    pub first_stored_millis: Vec<u64>,
}

pub fn measure() -> Vec<StartUp> {
    [0, 3_000].map(with_delay).into()
}

fn with_delay(rebalance_delay_millis: u64) -> StartUp {
    let delay = rebalance_delay_millis.to_string();
    let options = Options::brokers(1).property("group.initial.rebalance.delay.ms", &delay);
    let mut stage = Stage::on(&options);
    let topic = stage.filled(Events::default(), 10_000);
    let mut first_stored_millis: Vec<u64> = (0..TIMES)
        .map(|_| {
            let endpoint = Endpoint::start(Duration::ZERO, PHYSICAL_PARTITIONS).expect("an endpoint");
            let begun = Instant::now();
            let service = stage.start(&topic, endpoint.url(), &[]);
            let first = wait_until(&service, || endpoint.written().documents > 0);
            service.signal(Signal::Term);
            let _ = service.wait_for_exit(Duration::from_mins(1));
            (first - begun).as_millis() as u64
        })
        .collect();
    first_stored_millis.sort_unstable();
    StartUp { rebalance_delay_millis, first_stored_millis }
}
