//! Members of the group come and go while events keep coming.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};

use crate::stage::flow::Flow;
use crate::stage::members::{owned, partitions, terminate, wait_until_shared};
use crate::stage::watch::Watch;
use crate::stage::{Layout, SOON, Stage, events};
use crate::support::guard::Signal;
use crate::support::service::Setup;
use crate::support::wait;

#[test]
fn a_third_process_joins_and_leaves_under_load() {
    let stage = Stage::new(Layout { partitions: 12, ..Layout::default() });
    let flow = Flow::start(&stage, 60, 600);
    let watch = Watch::start(&stage, flow.acknowledged());
    let first = stage.service(&[]);
    let second = stage.service(&[]);
    wait_until_shared(&[&first, &second], 12, 4);
    for _ in 0..2 {
        let third = stage.service(&[]);
        wait_until_shared(&[&first, &second, &third], 12, 2);
        std::thread::sleep(Duration::from_secs(1));
        terminate(&third);
        wait_until_shared(&[&first, &second], 12, 4);
    }
    let acknowledged = flow.stop();
    stage.wait_until_caught_up(&first, SOON);
    watch.end();
    assert_eq!(stage.assert_stored_as_sent(), acknowledged.count());
    println!("repetitions {}", stage.cosmos().journal().unwrap().repetitions());
}

/// A rebalance that takes as long as a frozen member's session: whoever keeps a partition reads on.
#[test]
fn partitions_that_do_not_move_never_pause() {
    let stage = Stage::new(Layout { partitions: 12, ..Layout::default() });
    let flow = Flow::start(&stage, 60, 300);
    let first = stage.service(&[]);
    wait_until_shared(&[&first], 12, 12);
    let second = stage.service(&[]);
    wait_until_shared(&[&first, &second], 12, 6);
    wait::until(SOON, "the lag of six partitions", || (partitions(&first).len() == 6).then_some(()));
    let before = partitions(&first);
    second.signal(Signal::Stop);
    let frozen = DateTime::<Utc>::from(SystemTime::now());
    let third = stage.service(&[]);
    wait_until_shared(&[&first, &third], 12, 4);
    let shared = DateTime::<Utc>::from(SystemTime::now());
    wait::until(SOON, "the lag of what is kept", || {
        (partitions(&first).len() == owned(&first)).then_some(())
    });
    let kept: BTreeSet<_> = partitions(&first).intersection(&before).copied().collect();
    let acknowledged = flow.stop();
    stage.wait_until_caught_up(&first, SOON);

    let partition_of: HashMap<String, i32> = acknowledged
        .lock()
        .iter()
        .flat_map(|(partition, sent)| sent.iter().map(move |sent| (sent, *partition)))
        .map(|(sent, partition)| (format!("{}-{}", sent.device, sent.number), partition))
        .collect();
    let mut longest: BTreeMap<i32, i64> = BTreeMap::new();
    for document in stage.documents() {
        let time = |field: &str| document[field].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        let (enqueued, processed) = (time("enqueuedAt"), time("processedAt"));
        if (frozen..shared).contains(&enqueued) {
            let longest = longest.entry(partition_of[document["id"].as_str().unwrap()]).or_default();
            *longest = (*longest).max((processed - enqueued).num_milliseconds());
        }
    }
    println!("{kept:?} were kept; the longest wait by partition, in milliseconds: {longest:?}");
    assert!(shared - frozen > TimeDelta::seconds(4), "the rebalance was too short to tell");
    assert!(kept.len() >= 4, "{kept:?}");
    for partition in kept {
        assert!(longest[&partition] < 2_000, "partition {partition} paused for {} ms", longest[&partition]);
    }
    assert!(longest.values().any(|longest| *longest > 4_000), "those of the frozen member waited");
}

/// A line of a client's log comes by way of the queue that records and rebalances come by.
#[test]
fn members_whose_clients_log_everything_go_on_as_fast() {
    let stage = Stage::new(Layout::default());
    let talkative = [("kafka", "properties.debug = \"all\""), ("kafka", "workers = 1")];
    let start = || Setup::new(&stage.config(&talkative)).variable("RUST_LOG", "librdkafka=debug").start();
    let first = start();
    wait_until_shared(&[&first], 6, 6);
    let second = start();
    wait_until_shared(&[&first, &second], 6, 3);
    stage.send(&events(50, 40));
    stage.wait_until_caught_up(&first, SOON);
    terminate(&first);
    wait_until_shared(&[&second], 6, 6);
    assert_eq!(stage.assert_stored_as_sent(), 2_000);
}

/// The others would wait for them until their sessions are over.
#[test]
fn members_without_partitions_leave_the_group_when_they_end() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    let service = stage.service(&[("kafka", "workers = 3")]);
    let members = || stage.cluster.group(&stage.group).map_or(0, |group| group.members);
    wait::until(SOON, "three members", || (members() == 3).then_some(()));
    wait_until_shared(&[&service], 1, 1);
    terminate(&service);
    assert_eq!(members(), 0, "{}", service.tail());
}
