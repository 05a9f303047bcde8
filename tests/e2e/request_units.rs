//! The limit on request units is kept, and stops nobody; what a container has is used, with few throttled
//! answers.

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

/// A container of two key ranges that has far less than a backlog needs.
#[test]
fn what_a_container_has_is_used_and_few_requests_are_throttled() {
    const PROVISIONED: f64 = 12_000.0;
    let stage =
        Stage::new(Layout { partitions: 4, throughput: Some(PROVISIONED as u64), ..Layout::default() });
    let padding = "x".repeat(1_000);
    let padded = |device, number| event(device, number).replacen('{', &format!(r#"{{"pad":"{padding}","#), 1);
    let records: Vec<_> = (0..60_000).map(|number| Record::new(padded(number % 400, number / 400))).collect();
    stage.send(&records);
    let service = stage.service(&[]);
    let now = || {
        let metric = |name: &str| service.metric(name, &[]).unwrap_or(0.0);
        let [spent, requests, throttled] =
            ["request_units_total", "store_requests_total", "store_throttled_total"]
                .map(|name| metric(&format!("streamproc_{name}")));
        (Instant::now(), spent, requests, throttled)
    };
    wait::until(SOON, "the first throttled answer", || (now().3 > 0.0).then_some(()));
    let begun = Instant::now();
    let mut trace = vec![now()];
    let traffic = || {
        ["refetched_bytes_total", "events_stored_total"]
            .map(|name| service.metric(&format!("streamproc_{name}"), &[]).unwrap_or(0.0))
    };
    let mut settled = traffic();
    while begun.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_secs(1));
        trace.push(now());
        if trace.len() == 6 {
            // What moved to the second worker was fetched again, and what was paused while nobody knew yet how slow
            // it would be: once, at the start.
            settled = traffic();
        }
    }
    for pair in trace.windows(2) {
        let seconds = (pair[1].0 - pair[0].0).as_secs_f64();
        println!(
            "{:6.0} RU/s, {:3.0} requests, {:3.0} throttled",
            (pair[1].1 - pair[0].1) / seconds,
            pair[1].2 - pair[0].2,
            pair[1].3 - pair[0].3
        );
    }
    let at_first = trace[1].3;
    assert!(at_first <= 200.0, "{at_first} were throttled before the ranges were slowed down");
    let (from, to) = (trace[3], trace[trace.len() - 1]);
    let rate = (to.1 - from.1) / (to.0 - from.0).as_secs_f64();
    let throttled = (to.3 - from.3) / (to.2 - from.2);
    println!("{rate:.0} of {PROVISIONED} RU/s, {:.1} % throttled", 100.0 * throttled);
    assert!(rate >= 0.95 * PROVISIONED, "{rate} of {PROVISIONED} RU/s");
    assert!(throttled <= 0.05, "{throttled} of the requests were throttled");
    let metric = |name: &str| service.metric(name, &[]).unwrap_or(0.0);
    let stored = metric("streamproc_events_stored_total");
    assert!(stored < 60_000.0, "too few events");
    // Kafka sends again what was prefetched of a partition that is paused.
    let [again, since] = [0, 1].map(|at| traffic()[at] - settled[at]);
    let again = again / (since * padded(100, 100).len() as f64);
    println!("{:.1} % were sent again", 100.0 * again);
    assert!(again <= 0.1, "{again} of what was stored was sent again");
}
