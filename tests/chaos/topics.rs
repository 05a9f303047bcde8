//! Topics with gaps, that grow, forget, and are damaged.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;

use crate::scenario::length;
use crate::stage::flow::{Mix, Sent};
use crate::stage::{Layout, SOON, held};
use crate::support::kafka::{self, Producer, Record, StoredBatch};
use crate::support::service::Service;
use crate::support::wait;
use crate::world::{Plan, World};

/// Devices that the flow does not have: those of transactions that were committed, and that were not.
const IN_TRANSACTIONS: usize = 1_000;
const ABORTED: usize = 2_000;

/// A second producer writes transactions among the others' events, and gives half of them up. What was given up is
/// neither stored nor a dead letter; it holds nobody up, and it is no lag.
#[test]
fn transactions() {
    let mut world = Plan::new("transactions").begin();
    let id = kafka::unique("transactions");
    let producer = Producer::new(world.stage.cluster, &[("transactional.id", &id)]);
    let (mut number, mut aborted) = (0, 0);
    let until = length(Duration::from_secs(8));
    while world.age() < until || aborted < 100 {
        let is_aborted = world.random.random_bool(0.5);
        let device = if is_aborted { ABORTED } else { IN_TRANSACTIONS };
        let sent = |number| Sent { device: device + number % 7, number, ..Sent::default() };
        let count = world.random.random_range(1..50);
        let batch: Vec<_> = (number..number + count).map(sent).collect();
        number += count;
        let record = |sent: &Sent| Record::new(sent.text()).key(format!("device-{}", sent.device));
        producer.begin();
        let places = producer.send(&world.stage.topic, &batch.iter().map(record).collect::<Vec<_>>());
        world.pass(Duration::from_millis(200));
        if is_aborted {
            producer.abort();
            aborted += count;
            world.faults += 1;
            continue;
        }
        // Before it is decided: no commit may pass it until it is stored.
        for ((partition, offset), sent) in places.into_iter().zip(batch) {
            world.acknowledged().note(partition, Sent { offset, ..sent });
        }
        producer.commit();
    }
    world.end();
}

/// Of each id the topic keeps only the newest content, while it is read and while nobody reads it.
#[test]
fn compacted() {
    let plan = Plan::new("compacted").of_good_events();
    let plan = Plan {
        layout: Layout {
            topic_settings: &[
                ("cleanup.policy", "compact"),
                ("min.cleanable.dirty.ratio", "0.01"),
                ("max.compaction.lag.ms", "100"),
                ("segment.ms", "300"),
                ("segment.bytes", "1048576"),
            ],
            ..plan.layout
        },
        mix: Mix { updates: 0.4, keyed_by_id: true, ..plan.mix },
        ..plan
    };
    let mut world = plan.begin();
    world.rest_all(|world| {
        let committed = world.committed();
        std::thread::sleep(length(Duration::from_secs(5)));
        wait::until_ok(SOON, "compaction of what is not read yet", || {
            let sent: usize = world.acknowledged().lock().values().map(Vec::len).sum();
            let left = world.stage.cluster.read_all(&world.stage.topic);
            let unread = |offset, partition: &i32| committed.get(partition).is_none_or(|at| offset >= *at);
            let unread_left = left.iter().filter(|record| unread(record.offset, &record.partition)).count();
            let acknowledged = world.acknowledged();
            let unread_sent: usize = acknowledged
                .lock()
                .iter()
                .map(|(partition, sent)| sent.iter().filter(|sent| unread(sent.offset, partition)).count())
                .sum();
            // Some were sent since it was read.
            if unread_left + unread_sent / 10 < unread_sent {
                Ok(())
            } else {
                Err(format!("{unread_left} of {unread_sent} unread records are left, {sent} were sent"))
            }
        });
    });
    world.wait_until_shared();
    world.end();
}

/// From three partitions to nine. Each device's events go elsewhere then, so that an id has one content.
#[test]
fn more_partitions() {
    let plan = Plan::new("more_partitions").of_one_content_each();
    let plan = Plan { layout: Layout { partitions: 3, ..plan.layout }, ..plan };
    let mut world = plan.begin();
    std::thread::sleep(Duration::from_secs(1));
    world.stage.cluster.add_partitions(&world.stage.topic, 9);
    world.partitions = 9;
    world.faults += 1;
    world.is_calm();
    wait::until(SOON, "events in all partitions", || (world.acknowledged().lock().len() == 9).then_some(()));
    world.wait_until_shared();
    std::thread::sleep(length(Duration::from_secs(2)));
    world.end();
}

/// Retention is shorter than an outage of the service. The partition is held with that reason and does not jump, the
/// others go on; then an operator sets the offset, and what is left arrives.
#[test]
fn expired() {
    let mut world = Plan::new("expired").of_good_events().begin();
    std::thread::sleep(Duration::from_secs(1));
    let topic = world.stage.topic.clone();
    let mut range = 0..0;
    world.rest_all(|world| {
        let committed = world.committed()[&0];
        wait::until(SOON, "events that nobody has read", || {
            let end = world.acknowledged().ends()[&0];
            (end > committed + 100).then_some(())
        });
        range = committed..committed + 80;
        world.acknowledged().expire(0, range.clone());
        world.stage.cluster.delete_records(&topic, 0, range.end);
    });
    wait_until_held(&world, "out_of_range");
    let others = world.committed();
    wait_until_others_go_on(&world, &others);
    std::thread::sleep(length(Duration::from_secs(2)));
    assert_eq!(world.committed()[&0], range.start, "it does not jump");
    world.rest_all(|world| {
        let cluster = world.stage.cluster;
        cluster.commit(&world.stage.group, &topic, &[(0, range.end)].into());
    });
    world.is_calm();
    world.wait_until_ready();
    world.end();
}

/// Whoever has partition 0 says that it is held, and that is all that is.
#[track_caller]
fn wait_until_held(world: &World, reason: &str) {
    let place = format!("{}[0]", world.stage.topic);
    wait::until_ok(SOON, &format!("{reason} at {place}"), || {
        let seen = world.processes.iter().map(held::conditions).collect::<Result<Vec<_>, _>>()?;
        let is_held = |condition: &held::Condition| condition.reason == reason && condition.place == place;
        let seen = seen.concat();
        if seen.len() == 1 && is_held(&seen[0]) { Ok(()) } else { Err(format!("{seen:#?}")) }
    });
}

/// All partitions but the first have come on.
fn wait_until_others_go_on(world: &World, since: &BTreeMap<i32, i64>) {
    wait::until_ok(SOON, "the other partitions to go on", || {
        let now = world.committed();
        let stuck: Vec<_> = since.iter().skip(1).filter(|(partition, at)| now[*partition] <= **at).collect();
        if stuck.is_empty() { Ok(()) } else { Err(format!("{stuck:?}")) }
    });
}

/// Kafka has forgotten the group while nothing ran. By `kafka.start = "earliest"` it begins anew: everything is stored
/// once more, over what is there.
#[test]
fn offsets_forgotten() {
    let mut world = Plan::new("offsets_forgotten").set("kafka", "start = \"earliest\"").begin();
    std::thread::sleep(length(Duration::from_secs(3)));
    let mut read = 0;
    world.rest_all(|world| {
        read = world.committed().values().sum();
        let arguments = ["--delete", "--group", &world.stage.group.clone()];
        let tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        world.stage.cluster.tool(tool, &arguments);
        assert!(world.committed().is_empty(), "they are forgotten");
        world.watch_anew();
    });
    world.is_calm();
    world.wait_until_shared();
    let report = world.end();
    assert!(
        report.repetitions * 2 > u64::try_from(read).unwrap(),
        "{read} records were read before: {report:#?}"
    );
}

/// A bad disk under one partition: its owner holds just that one, in front of the damage, and goes on by itself when a
/// sound replica has taken over: it looks again every 30 s.
#[test]
fn damaged() {
    let plan = Plan::new("damaged").of_good_events();
    let mut world = Plan { recovery: Duration::from_mins(1), ..plan }.begin();
    std::thread::sleep(Duration::from_secs(1));
    let mut batch = None;
    world.rest_all(|world| batch = Some(damage(world)));
    let batch = batch.expect("just set");
    wait_until_held(&world, "corrupt");
    let others = world.committed();
    wait_until_others_go_on(&world, &others);
    std::thread::sleep(length(Duration::from_secs(1)));
    assert_eq!(world.committed()[&0], batch.first, "all before the damage is done, and nothing behind it");
    batch.mend();
    // It looks again every 30 s.
    world.is_calm();
    world.wait_until_ready();
    world.end();
}

/// A bit is flipped in a batch of partition 0 that nobody has read yet, while the service rests.
fn damage(world: &World) -> StoredBatch {
    let committed = world.committed()[&0];
    wait::until(SOON, "events that nobody has read", || {
        (world.acknowledged().ends()[&0] > committed + 100).then_some(())
    });
    let batch = world.stage.cluster.batch_of(&world.stage.topic, 0, committed + 50);
    batch.flip();
    batch
}

/// The same where the user would rather go on: what the damaged batch held is left out and counted, record by record, and
/// nothing else is.
#[test]
fn damaged_and_skipped() {
    let plan = Plan::new("damaged_and_skipped").of_good_events().set("kafka", "on_corrupt = \"skip\"");
    let mut world = Plan { recovery: Duration::from_mins(1), ..plan }.begin();
    let (until, mut damaged) = (length(Duration::from_secs(6)), 0);
    while damaged == 0 || world.age() < until {
        world.pass(Duration::from_secs(1));
        let mut records = 0;
        world.rest_all(|world| {
            let batch = damage(world);
            world.acknowledged().expire(0, batch.first..batch.last + 1);
            records = batch.last + 1 - batch.first;
        });
        damaged += records;
        world.wait_until_caught_up(SOON);
        let of = |process: &Service| {
            process.metric("streamproc_events_skipped_total", &["reason=\"corrupt\""]).unwrap_or(0.0)
        };
        let skipped = world.processes.iter().map(of).sum::<f64>();
        assert!((skipped - records as f64).abs() < 0.5, "{skipped} records were skipped, not {records}");
    }
    world.wait_until_ready();
    let report = world.end();
    assert_eq!(i64::try_from(report.events - report.documents), Ok(damaged), "{report:#?}");
}

/// The topic is deleted and made anew, under a service that reads it, and fills up to offsets that it had. What had been
/// committed is stored; all partitions are held, and nothing is committed, until an operator sets offsets.
#[test]
fn topic_made_again() {
    let mut world = Plan::new("topic_made_again").of_good_events().begin();
    std::thread::sleep(length(Duration::from_secs(2)));
    world.make_topic_anew(|world| {
        wait::until_ok(SOON, "all partitions to be held, and nothing to be committed", || {
            let seen = world.processes.iter().map(held::conditions).collect::<Result<Vec<_>, _>>()?.concat();
            let held = seen.iter().filter(|condition| condition.reason == "out_of_range").count();
            let committed = world.committed();
            if held == world.partitions && committed.is_empty() {
                Ok(())
            } else {
                Err(format!("{seen:#?}\n{committed:?}"))
            }
        });
    });
    std::thread::sleep(length(Duration::from_secs(2)));
    assert_eq!(world.committed(), BTreeMap::new(), "nobody has set an offset");
    world.rest_all(|world| {
        let beginning = (0..6).map(|partition| (partition, 0)).collect();
        world.stage.cluster.commit(&world.stage.group, &world.stage.topic, &beginning);
    });
    world.is_calm();
    world.wait_until_ready();
    world.end();
}

/// Every compression that Kafka has, one after the other while the stream flows, each until every partition has some.
#[test]
fn every_compression() {
    let mut world = Plan::new("every_compression").begin();
    let topic = world.stage.topic.clone();
    let partitions = i32::try_from(world.partitions).unwrap();
    for (codec, number) in [("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4), ("uncompressed", 0)] {
        let wanted = format!("compression.type={codec}");
        let arguments =
            ["--alter", "--entity-type", "topics", "--entity-name", &topic, "--add-config", &wanted];
        world.stage.cluster.tool("kafka.admin.ConfigCommand", &arguments);
        world.faults += 1;
        let last =
            |partition| world.stage.cluster.batches(&topic, partition).last().map(kafka::StoredBatch::codec);
        wait::until(SOON, codec, || {
            (0..partitions).all(|partition| last(partition) == Some(number)).then_some(())
        });
    }
    world.end();
}
