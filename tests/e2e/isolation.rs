//! A partition that does not get on holds up no other.

use std::thread;
use std::time::{Duration, Instant};

use streamproc::sandbox::{Effect, Fault};

use crate::stage::{Layout, SOON, Stage, event};
use crate::support::kafka::Record;
use crate::support::wait;

/// The device whose key is throttled; it has partition 0 for itself.
const HOT: usize = 0;

fn throttle(stage: &Stage) {
    let effect = Effect::Answer {
        status: 429,
        substatus: 3200,
        retry_after: Some(Duration::from_millis(500)),
        after_work: false,
    };
    let fault = Fault { partition_key: Some(format!("device-{HOT}")), ..Fault::new(effect) };
    stage.cosmos().faults().add(fault);
}

/// One event of each of six devices, each device in a partition of its own.
fn round(number: usize) -> impl Iterator<Item = Record> {
    (0..6).map(move |device| Record::new(event(device, number)).to(i32::try_from(device).unwrap()))
}

#[test]
fn a_key_throttled_to_nothing_costs_the_other_partitions_less_than_a_twentieth_of_their_rate() {
    let stage = Stage::new(Layout::default());
    let service = stage.service(&[("kafka", "workers = 2")]);
    wait::until(SOON, "all partitions are assigned", || {
        (service.metric("streamproc_assigned_partitions", &[]) == Some(6.0)).then_some(())
    });
    throttle(&stage);

    // 900 events/s for fifteen seconds, in rounds of ninety.
    let producer = stage.cluster.producer();
    let begun = Instant::now();
    let rounds = 150;
    for number in 0..rounds {
        let records: Vec<_> = (0..15).flat_map(|step| round(number * 15 + step)).collect();
        producer.send(&stage.topic, &records);
        let next = begun + Duration::from_millis(100) * (u32::try_from(number).unwrap() + 1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let stored = stage.cosmos().stats().documents();
    let sent_to_others = rounds as u64 * 15 * 5;
    assert!(
        stored * 20 >= sent_to_others * 19,
        "at the end of the fifteen seconds {stored} of {sent_to_others} are stored"
    );
    assert!(stage.cosmos().stats().count(streamproc::sandbox::Kind::Batch, 429) > 10, "it was throttled");
    let ready = service.get("/readyz").unwrap();
    assert!(ready.body.contains("throttled"), "{}", ready.body);

    stage.cosmos().faults().clear();
    stage.wait_until_caught_up(&service, SOON);
    assert_eq!(stage.cosmos().stats().documents(), rounds as u64 * 15 * 6);
    assert!(stage.letters().is_empty());
}

/// While a partition is asked back, the Kafka client fetches nothing of any. So a hand-over does not
/// wait for what is throttled until `shutdown.timeout`.
#[test]
fn a_throttled_key_does_not_hold_up_a_rebalance() {
    let stage = Stage::new(Layout::default());
    throttle(&stage);
    let records: Vec<_> = (0..1_000).flat_map(round).collect();
    stage.send(&records);
    let slowly = [("shutdown", "timeout = \"5m\""), ("kafka", "workers = 1")];
    let service = stage.service(&slowly);
    let is_stored = |count: u64| (stage.cosmos().stats().documents() >= count).then_some(());
    wait::until(SOON, "the events of the other keys", || is_stored(5_000));
    // Partition 0 is asked back from one worker or the other: there are two more members now.
    let second = stage.service(&slowly);
    let third = stage.service(&slowly);
    let owned = |of: &crate::support::service::Service| of.metric("streamproc_assigned_partitions", &[]);
    wait::until(SOON, "each has two partitions", || {
        [&service, &second, &third].iter().all(|of| owned(of) == Some(2.0)).then_some(())
    });
    let more: Vec<_> = (1_000..1_100).flat_map(round).collect();
    stage.send(&more);
    wait::until(SOON, "the events after the rebalance", || is_stored(5_500));
    let begun = Instant::now();
    for service in [&service, &second, &third] {
        service.signal(crate::support::guard::Signal::Term);
    }
    for service in [&service, &second, &third] {
        assert!(service.wait_for_exit(SOON).success(), "{}", service.tail());
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
