//! Offsets without records: aborted transactions, compaction, and the markers that transactions leave.
//! They are no loss and no lag. And topics that grow, and more than one of them.

use std::collections::BTreeMap;

use crate::stage::held::wait_until_ready;
use crate::stage::says::{ids, stop, wait_for_commits, wait_for_commits_in, wait_for_metric};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::kafka::{self, Producer, Record};
use crate::support::wait;

#[test]
fn of_transactions_only_what_was_committed_is_stored_and_their_markers_are_no_lag() {
    let stage = Stage::new(Layout { partitions: 2, ..Layout::default() });
    let id = kafka::unique("transactions");
    let producer = Producer::new(stage.cluster, &[("transactional.id", &id)]);
    let send = |numbers: std::ops::Range<usize>| {
        let to = |number| i32::try_from(number % 2).unwrap();
        let records: Vec<_> = numbers.map(|n| Record::new(event(n % 2, n)).to(to(n))).collect();
        producer.begin();
        producer.send(&stage.topic, &records);
    };
    send(0..10);
    producer.commit();
    send(10..20);
    producer.abort();
    let service = stage.service(&[]);
    // Behind five records come a marker, five that are void, and a marker: the client tells of none.
    wait_for_commits(&stage, &service, &[(0, 5), (1, 5)]);
    wait_for_metric(&service, "streamproc_consumer_lag", &[], 0.0);
    // What is not decided yet is not read, and what is behind it neither.
    send(20..24);
    stage.send(&[Record::new(event(0, 24)).to(0)]);
    producer.abort();
    send(26..28);
    producer.commit();
    wait_for_metric(&service, "streamproc_events_stored_total", &[], 10.0 + 3.0);
    wait_for_commits(&stage, &service, &[(0, 17), (1, 16)]);
    wait_for_metric(&service, "streamproc_consumer_lag", &[], 0.0);
    let mut expected: Vec<_> =
        (0..10).chain([24, 26, 27]).map(|number| format!("{}-{number}", number % 2)).collect();
    expected.sort_unstable();
    assert_eq!(ids(&stage.documents()), expected);
    wait_until_ready(&service, SOON);
    stop(&service);
    assert!(stage.letters().is_empty());
}

#[test]
fn a_compacted_topic_is_read_over_its_gaps() {
    let stage = Stage::new(Layout {
        partitions: 1,
        topic_settings: &[
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("max.compaction.lag.ms", "100"),
            ("segment.ms", "100"),
            ("segment.bytes", "1048576"),
        ],
        ..Layout::default()
    });
    // Ten keys, twenty times; then one that closes the segment.
    let record = |number: usize| Record::new(event(number % 10, number)).key(format!("{}", number % 10));
    for round in 0..20 {
        stage.send(&(round * 10..round * 10 + 10).map(record).collect::<Vec<_>>());
    }
    let left = wait::until_ok(SOON, "compaction", || {
        // A record closes the segment before it; only closed ones are compacted.
        stage.send(&[Record::new(event(99, 0)).key("99")]);
        let left: BTreeMap<i64, String> =
            stage.cluster.read_all(&stage.topic).into_iter().map(|r| (r.offset, r.text())).collect();
        let gaps = left.keys().next().is_some_and(|first| *first > 0) && left.len() < 100;
        if gaps { Ok(left) } else { Err(format!("{} records are left", left.len())) }
    });
    let service = stage.service(&[]);
    stage.wait_until_caught_up(&service, SOON);
    wait_until_ready(&service, SOON);
    let mut expected: Vec<String> = left
        .values()
        .map(|text| {
            serde_json::from_str::<serde_json::Value>(text).unwrap()["eventId"].as_str().unwrap().to_owned()
        })
        .collect();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(ids(&stage.documents()), expected);
    assert!(stage.letters().is_empty());
}

#[test]
fn partitions_that_are_added_while_it_runs_are_read_from_their_beginning() {
    // Even if the group began at the end: what is added later has not been there then.
    let stage = Stage::new(Layout { partitions: 2, ..Layout::default() });
    stage.send(&[Record::new(event(0, 0)).to(0)]);
    let service = stage.service(&[("kafka", "start = \"latest\"")]);
    wait_for_metric(&service, "streamproc_assigned_partitions", &[], 2.0);
    wait_for_commits(&stage, &service, &[(0, 1), (1, 0)]);
    stage.cluster.add_partitions(&stage.topic, 5);
    let record = |partition: i32, number| {
        Record::new(event(usize::try_from(partition).unwrap(), number)).to(partition)
    };
    stage.send(&(0..5).flat_map(|partition| (1..11).map(move |n| record(partition, n))).collect::<Vec<_>>());
    wait_for_metric(&service, "streamproc_assigned_partitions", &[], 5.0);
    wait_for_commits(&stage, &service, &[(0, 11), (1, 10), (2, 10), (3, 10), (4, 10)]);
    assert_eq!(stage.documents().len(), 50);
    wait_until_ready(&service, SOON);
}

#[test]
fn several_topics_are_read_each_with_its_own_offsets() {
    let stage = Stage::new(Layout { partitions: 2, ..Layout::default() });
    let other = kafka::unique("more-events");
    stage.cluster.create_topic(&other, 3, &[]);
    stage.send(
        &(0..20).map(|n| Record::new(event(n % 2, n)).to(i32::try_from(n % 2).unwrap())).collect::<Vec<_>>(),
    );
    let records: Vec<_> = (0..30)
        .map(|n| Record::new(event(2 + n % 3, n)).to(i32::try_from(n % 3).unwrap()))
        .chain([Record::new("not JSON").to(1)])
        .collect();
    stage.cluster.producer().send(&other, &records);
    let topics = format!("topics = [{:?}, {other:?}]", stage.topic);
    let service = stage.service(&[("kafka", &topics)]);
    wait_for_commits(&stage, &service, &[(0, 10), (1, 10)]);
    wait_for_commits_in(&stage, &service, &other, &[(0, 10), (1, 11), (2, 10)]);
    assert_eq!(stage.documents().len(), 50);
    let of = |topic: &str| format!("topic={topic:?}");
    assert_eq!(service.metric("streamproc_events_stored_total", &[&of(&stage.topic)]), Some(20.0));
    assert_eq!(service.metric("streamproc_events_stored_total", &[&of(&other)]), Some(30.0));
    let letters = stage.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("streamproc-topic"), Some(other.clone()));
    assert_eq!(letters[0].header("streamproc-offset").as_deref(), Some("10"));
    stop(&service);
}
