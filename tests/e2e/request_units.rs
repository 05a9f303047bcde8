//! The limit on request units is kept, and stops nobody.

use std::time::{Duration, Instant};

use crate::stage::{Layout, SOON, Stage, event};
use crate::support::kafka::Record;
use crate::support::wait;

#[test]
fn a_limit_on_request_units_is_used_and_kept_from_the_start_on() {
    const LIMIT: f64 = 1_000.0;
    let stage = Stage::new(Layout { partitions: 2, ..Layout::default() });
    // Few partition keys, and so few requests in flight: what is in flight when the balance is gone is
    // spent all the same.
    let records: Vec<_> = (0..2_000).map(|number| Record::new(event(number % 4, number / 4))).collect();
    stage.send(&records);
    let limit = format!("max_request_units_per_second = {LIMIT}");
    let service = stage.service(&[("cosmos", &limit)]);
    let metric = |name: &str| service.metric(name, &[]).unwrap_or(0.0);
    wait::until(SOON, "the first write", || (metric("streamproc_request_units_total") > 0.0).then_some(()));
    let (begun, before) = (Instant::now(), metric("streamproc_request_units_total"));
    wait::until(Duration::from_mins(1), "all to be stored", || {
        (metric("streamproc_events_stored_total") >= 2_000.0).then_some(())
    });
    let (took, spent) = (begun.elapsed().as_secs_f64(), metric("streamproc_request_units_total") - before);
    println!("{spent:.0} RU in {took:.1} s");
    assert!(spent > 4.0 * LIMIT, "{spent} RU is too little to tell");
    assert!(spent < LIMIT * (took + 3.0), "{spent} RU in {took} s");
    assert!(took < 2.0 * spent / LIMIT + 3.0, "{spent} RU in {took} s: it stood still");
}
