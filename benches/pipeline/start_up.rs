//! From the start of the process until the first event is stored, with a backlog there.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cases::Case;
use crate::endpoint::Endpoint;
use crate::run::{Stage, wait_until};
use crate::support::guard::Signal;
use crate::support::kafka::{Cluster, Options};

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
    let cluster = Cluster::start(&options);
    let mut stage = Stage::new(&cluster);
    let case = Case::start_up();
    let topic = stage.filled(&case, 10_000);
    let mut first_stored_millis: Vec<u64> = (0..TIMES)
        .map(|_| {
            let endpoint = Endpoint::start(Duration::ZERO).expect("an endpoint");
            let begun = Instant::now();
            let service = stage.start(&case, &topic, endpoint.url().as_str());
            let first = wait_until(&service, || endpoint.written().documents > 0);
            service.signal(Signal::Term);
            let _ = service.wait_for_exit(Duration::from_mins(1));
            (first - begun).as_millis() as u64
        })
        .collect();
    first_stored_millis.sort_unstable();
    StartUp { rebalance_delay_millis, first_stored_millis }
}
