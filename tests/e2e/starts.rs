//! Where reading begins, and what becomes of offsets that are not in the topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use streamproc::sandbox::{Effect, Fault};

use crate::stage::held::wait_until_ready;
use crate::stage::says::{ids, stop, wait_for_commits, wait_for_hold, wait_for_metric};
use crate::stage::{Layout, SOON, Stage, event, events};
use crate::support::guard::Signal;
use crate::support::kafka::{self, Cluster, Options, Producer, Record};
use crate::support::service::Service;
use crate::support::wait;

/// A topic of two partitions.
fn stage() -> Stage {
    Stage::new(Layout { partitions: 2, ..Layout::default() })
}

/// Writes events of these numbers to both partitions, the device's number being the partition's.
fn send(stage: &Stage, numbers: std::ops::Range<usize>) {
    let records: Vec<_> = numbers
        .flat_map(|number| [0, 1].map(|device| Record::new(event(device, number)).to(i32::from(device == 1))))
        .collect();
    stage.send(&records);
}

fn expected(zero: impl Iterator<Item = usize>, one: impl Iterator<Item = usize>) -> Vec<String> {
    let mut ids: Vec<_> =
        zero.map(|number| format!("0-{number}")).chain(one.map(|number| format!("1-{number}"))).collect();
    ids.sort_unstable();
    ids
}

fn delete_topic(stage: &Stage) {
    stage.cluster.delete_topic(&stage.topic);
    wait::until(SOON, "the topic to be gone", || (stage.cluster.partitions(&stage.topic) == 0).then_some(()));
}

fn policy(stage: &Stage, policy: &str) -> Service {
    stage.service(&[("kafka", &format!("on_out_of_range = {policy:?}"))])
}

#[test]
fn a_new_group_begins_at_the_oldest_record_there_still_is() {
    let stage = stage();
    send(&stage, 0..10);
    stage.cluster.delete_records(&stage.topic, 0, 4);
    let service = stage.service(&[("kafka", "start = \"earliest\"")]);
    wait_for_commits(&stage, &service, &[(0, 10), (1, 10)]);
    assert_eq!(ids(&stage.documents()), expected(4..10, 0..10));
    // Nothing was lost: nothing of it was ever this group's.
    assert_eq!(service.metric("streamproc_out_of_range_total", &[]), None);
    wait_until_ready(&service, SOON);
}

#[test]
fn a_new_group_begins_at_the_end_if_told_so_and_that_is_committed_before_anything_is_read() {
    let stage = stage();
    send(&stage, 0..10);
    let latest = [("kafka", "start = \"latest\"")];
    let service = stage.service(&latest);
    wait_for_commits(&stage, &service, &[(0, 10), (1, 10)]);
    stop(&service);
    // What comes while nothing runs is not skipped: the start applies once.
    send(&stage, 10..15);
    let service = service.start_again();
    wait_for_commits(&stage, &service, &[(0, 15), (1, 15)]);
    assert_eq!(ids(&stage.documents()), expected(10..15, 10..15));
}

#[test]
fn a_new_group_begins_nowhere_if_told_so_until_offsets_are_set() {
    let stage = stage();
    send(&stage, 0..10);
    let service = stage.service(&[("kafka", "start = \"fail\"")]);
    for partition in 0..2 {
        wait_for_hold(&service, "no_offset", &stage.topic, partition);
    }
    assert_eq!(stage.cluster.committed(&stage.group, &stage.topic), BTreeMap::new());
    assert!(stage.documents().is_empty());
    stop(&service);
    assert_eq!(stage.cluster.committed(&stage.group, &stage.topic), BTreeMap::new());

    // For one of them only: the other counts as added later.
    stage.cluster.commit(&stage.group, &stage.topic, &BTreeMap::from([(0, 7)]));
    let service = service.start_again();
    wait_for_commits(&stage, &service, &[(0, 10), (1, 10)]);
    assert_eq!(ids(&stage.documents()), expected(7..10, 0..10));
    wait_until_ready(&service, SOON);
}

/// The group has read five records of each; of partition 0, records up to the twelfth have expired.
fn expired() -> Stage {
    let stage = stage();
    send(&stage, 0..5);
    let service = stage.service(&[]);
    wait_for_commits(&stage, &service, &[(0, 5), (1, 5)]);
    stop(&service);
    send(&stage, 5..20);
    stage.cluster.delete_records(&stage.topic, 0, 12);
    stage
}

#[test]
fn a_partition_whose_offset_has_expired_is_held_alone_until_somebody_sets_one() {
    let stage = expired();
    // Each worker that finds it out of range counts it: a second one would take it over, or not.
    let service = stage.service(&[("kafka", "on_out_of_range = \"pause\""), ("kafka", "workers = 1")]);
    let held = wait_for_hold(&service, "out_of_range", &stage.topic, 0);
    assert_eq!(held.detail, "offset 5 is not in the topic, which holds 12 to 20", "{held:?}");
    wait_for_commits(&stage, &service, &[(0, 5), (1, 20)]);
    assert_eq!(service.metric("streamproc_out_of_range_total", &[]), Some(1.0));
    assert_eq!(ids(&stage.documents()), expected(0..5, 0..20));
    stop(&service);
    wait_for_commits(&stage, &service, &[(0, 5), (1, 20)]);

    stage.cluster.commit(&stage.group, &stage.topic, &BTreeMap::from([(0, 15)]));
    let service = service.start_again();
    wait_for_commits(&stage, &service, &[(0, 20), (1, 20)]);
    wait_until_ready(&service, SOON);
    assert_eq!(ids(&stage.documents()), expected((0..5).chain(15..20), 0..20));
}

#[test]
fn a_partition_whose_offset_has_expired_goes_on_elsewhere_if_told_so_and_what_is_lost_is_counted() {
    for (name, from) in [("earliest", 12), ("latest", 20)] {
        let stage = expired();
        let service = policy(&stage, name);
        wait_for_commits(&stage, &service, &[(0, 20), (1, 20)]);
        let lost = ["reason=\"out_of_range\""];
        wait_for_metric(&service, "streamproc_events_skipped_total", &lost, (from - 5) as f64);
        assert_eq!(service.metric("streamproc_out_of_range_total", &[]), Some(1.0), "{name}");
        send(&stage, 20..22);
        wait_for_commits(&stage, &service, &[(0, 22), (1, 22)]);
        assert_eq!(ids(&stage.documents()), expected((0..5).chain(from..22), 0..22), "{name}");
        wait_until_ready(&service, SOON);
    }
}

#[test]
fn a_topic_that_was_made_anew_holds_its_partitions() {
    let stage = stage();
    send(&stage, 0..10);
    let service = policy(&stage, "pause");
    wait_for_commits(&stage, &service, &[(0, 10), (1, 10)]);
    stop(&service);
    delete_topic(&stage);
    stage.cluster.create_topic(&stage.topic, 2, &[]);
    // With a topic its offsets go.
    stage.cluster.commit(&stage.group, &stage.topic, &BTreeMap::from([(0, 10), (1, 10)]));
    send(&stage, 100..103);
    let service = service.start_again();
    for partition in 0..2 {
        let held = wait_for_hold(&service, "out_of_range", &stage.topic, partition);
        assert_eq!(held.detail, "offset 10 is not in the topic, which holds 0 to 3", "{held:?}");
    }
    wait_for_commits(&stage, &service, &[(0, 10), (1, 10)]);
    assert_eq!(ids(&stage.documents()), expected(0..10, 0..10));
}

/// Deletes the topic, and makes it anew once everybody has noticed.
fn make_anew(stage: &Stage) {
    delete_topic(stage);
    std::thread::sleep(Duration::from_secs(3));
    stage.cluster.create_topic(&stage.topic, 2, &[]);
}

/// The client fetches on by name from where it was, and what it finds there are other records.
#[test]
fn a_topic_that_is_made_anew_while_it_is_read_holds_its_partitions_even_if_it_has_their_offsets() {
    let stage = stage();
    send(&stage, 0..10);
    let service = policy(&stage, "pause");
    wait_for_commits(&stage, &service, &[(0, 10), (1, 10)]);
    make_anew(&stage);
    stage.send(&(100..120).map(|number| Record::new(event(0, number)).to(0)).collect::<Vec<_>>());
    wait_for_hold(&service, "out_of_range", &stage.topic, 0);
    assert_eq!(stage.cluster.committed(&stage.group, &stage.topic).get(&0), None);
    stop(&service);
    assert_eq!(stage.cluster.committed(&stage.group, &stage.topic).get(&0), None);

    stage.cluster.commit(&stage.group, &stage.topic, &BTreeMap::from([(0, 0), (1, 0)]));
    let service = service.start_again();
    wait_for_commits(&stage, &service, &[(0, 20), (1, 0)]);
    wait_until_ready(&service, SOON);
    assert_eq!(ids(&stage.documents()), expected((0..10).chain(100..120), 0..10));
}

/// One worker, whose group began at the end of the topic and has read ten records of each partition.
fn from_the_end(stage: &Stage) -> Service {
    let service = stage.service(&[("kafka", "start = \"latest\""), ("kafka", "workers = 1")]);
    wait_for_commits(stage, &service, &[(0, 0), (1, 0)]);
    send(stage, 0..10);
    wait_for_commits(stage, &service, &[(0, 10), (1, 10)]);
    service
}

/// It is looked at again every 30 seconds.
#[test]
fn a_topic_made_anew_does_not_release_its_partitions_however_a_new_group_would_begin() {
    let stage = stage();
    let service = from_the_end(&stage);
    stage.cluster.delete_topic(&stage.topic);
    stage.cluster.create_topic(&stage.topic, 2, &[]);
    send(&stage, 100..103);
    wait_for_hold(&service, "out_of_range", &stage.topic, 0);
    send(&stage, 103..120);
    std::thread::sleep(Duration::from_secs(35));
    wait_for_hold(&service, "out_of_range", &stage.topic, 0);
    assert_eq!(stage.cluster.committed(&stage.group, &stage.topic), BTreeMap::new());
    assert_eq!(service.metric("streamproc_events_skipped_total", &[]), None);
}

/// It gets the partitions back from the group, which knows nothing of what was read.
#[test]
fn a_topic_made_anew_is_held_by_a_process_that_lost_it_and_got_it_back() {
    let stage = stage();
    let service = from_the_end(&stage);
    delete_topic(&stage);
    stage.cluster.create_topic(&stage.topic, 2, &[]);
    send(&stage, 100..120);
    wait_for_hold(&service, "out_of_range", &stage.topic, 0);

    service.signal(Signal::Stop);
    let members = || stage.cluster.group(&stage.group).map_or(0, |group| group.members);
    wait::until(SOON, "the session to be over", || (members() == 0).then_some(()));
    service.signal(Signal::Continue);
    service.wait_for_line("lost=true", SOON);
    wait::until(SOON, "the partitions to be assigned again", || {
        (service.stderr().iter().filter(|line| line.contains(" assigned ")).count() > 1).then_some(())
    });
    for partition in [0, 1] {
        let held = wait_for_hold(&service, "out_of_range", &stage.topic, partition);
        assert!(held.detail.contains("was made anew"), "{held:?}");
    }
    assert_eq!(stage.cluster.committed(&stage.group, &stage.topic), BTreeMap::new());
    stop(&service);

    // What was read of the new topic before anybody noticed is stored already, and is the same again.
    stage.cluster.commit(&stage.group, &stage.topic, &BTreeMap::from([(0, 0), (1, 0)]));
    let service = service.start_again();
    wait_for_commits(&stage, &service, &[(0, 20), (1, 20)]);
    let all = || (0..10).chain(100..120);
    assert_eq!(ids(&stage.documents()), expected(all(), all()));
}

/// Cosmos DB takes nothing of a partition, and what it had read by then expires: it is nowhere else any
/// more. That it reads no further than that is an open transaction's doing.
#[test]
fn what_was_read_before_it_expired_is_stored_before_the_partition_is_held_or_goes_on() {
    for (name, goes_on) in [("pause", false), ("earliest", true)] {
        let stage = stage();
        let retry_after = Some(Duration::from_millis(100));
        let effect = Effect::Answer { status: 429, substatus: 3200, retry_after, after_work: false };
        stage.cosmos().faults().add(Fault { partition_key: Some("device-0".into()), ..Fault::new(effect) });
        send(&stage, 0..15);
        let id = kafka::unique("transactions");
        let transaction = Producer::new(stage.cluster, &[("transactional.id", &id)]);
        transaction.begin();
        transaction.send(&stage.topic, &[Record::new("void").to(0)]);
        send(&stage, 15..100);
        // A second worker would ask for the partition in between, and a hand-over leaves what is throttled.
        let on_out_of_range = format!("on_out_of_range = {name:?}");
        let service = stage.service(&[("kafka", &on_out_of_range), ("kafka", "workers = 1")]);
        wait_for_metric(&service, "streamproc_events_consumed_total", &["partition=\"0\""], 15.0);
        // Offset 15 is the transaction's; the event that was sent as number 89 lies at offset 90.
        stage.cluster.delete_records(&stage.topic, 0, 90);
        wait_for_metric(&service, "streamproc_out_of_range_total", &[], 1.0);
        wait_for_commits(&stage, &service, &[(0, 0), (1, 100)]);

        transaction.abort();
        stage.cosmos().faults().clear();
        if goes_on {
            wait_for_commits(&stage, &service, &[(0, 101), (1, 100)]);
            assert_eq!(ids(&stage.documents()), expected((0..15).chain(89..100), 0..100));
            wait_for_metric(&service, "streamproc_events_skipped_total", &["reason=\"out_of_range\""], 75.0);
            wait_until_ready(&service, SOON);
        } else {
            let held = wait_for_hold(&service, "out_of_range", &stage.topic, 0);
            assert!(held.detail.starts_with("offset 15 is not in the topic"), "{held:?}");
            wait_for_commits(&stage, &service, &[(0, 15), (1, 100)]);
            assert_eq!(ids(&stage.documents()), expected(0..15, 0..100));
        }
    }
}

/// Nobody can tell the limits of the partition that is no more.
#[test]
fn a_topic_that_is_made_anew_with_fewer_partitions_while_it_is_read_holds_those_there_are() {
    let stage = stage();
    send(&stage, 0..10);
    let service = stage.service(&[("kafka", "on_out_of_range = \"pause\""), ("kafka", "workers = 1")]);
    wait_for_commits(&stage, &service, &[(0, 10), (1, 10)]);
    stage.cluster.delete_topic(&stage.topic);
    stage.cluster.create_topic(&stage.topic, 1, &[]);
    stage.send(&[Record::new(event(0, 100)).to(0)]);
    wait_for_hold(&service, "out_of_range", &stage.topic, 0);
    assert_eq!(ids(&stage.documents()), expected(0..10, 0..10));
}

/// The broker waits three seconds before it gives out the partitions of a group that was empty, and anew for each member
/// that joins meanwhile. The workers of one process do not make it wait twice.
#[test]
fn an_empty_group_waits_once_for_the_workers_of_a_process() {
    let options = Options::brokers(1).property("group.initial.rebalance.delay.ms", "3000");
    let stage = Stage::on(Box::leak(Box::new(Cluster::start(&options))), Layout::default());
    stage.send(&events(6, 10));
    let begun = Instant::now();
    let service = stage.service(&[("kafka", "workers = 3")]);
    wait::until(SOON, "the first event", || (stage.cosmos().stats().documents() > 0).then_some(()));
    let first = begun.elapsed();
    assert!(first < Duration::from_millis(5_900), "the first event was stored after {first:?}");
    stage.wait_until_caught_up(&service, SOON);
    let members = || stage.cluster.group(&stage.group).map_or(0, |group| group.members);
    wait::until(SOON, "all workers to have joined", || (members() == 3).then_some(()));
}
