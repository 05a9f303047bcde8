//! The brokers that the other tests stand on do what those tests take for granted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::kafka::{Cluster, Options, Producer, Record, shared, unique};
use crate::support::wait;

const SOON: Duration = Duration::from_secs(30);

fn texts(records: &[crate::support::kafka::Received]) -> Vec<String> {
    records.iter().map(crate::support::kafka::Received::text).collect()
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let topic = unique("records");
    shared().create_topic(&topic, 2, &[]);
    let written = [
        Record::new("with all")
            .key("k")
            .header("one", Some(b"1"))
            .header("none", None)
            .at(1_557_989_800_123)
            .to(1),
        Record::tombstone("k").to(1),
        Record::new("").to(0),
    ];
    assert_eq!(shared().producer().send(&topic, &written), [(1, 0), (1, 1), (0, 0)]);

    let read = shared().read_all(&topic);
    assert_eq!(read.len(), 3);
    let [empty, full, tombstone] = &read[..] else { panic!("three records, not {read:?}") };
    assert_eq!(empty.value.as_deref(), Some(&b""[..]));
    assert_eq!(full.text(), "with all");
    assert_eq!(full.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(full.timestamp, Some(1_557_989_800_123));
    assert_eq!(full.headers, [("one".to_owned(), Some(b"1".to_vec())), ("none".to_owned(), None)]);
    assert_eq!(full.header("one").as_deref(), Some("1"));
    assert_eq!(tombstone.value, None);
}

#[test]
fn an_aborted_transaction_is_seen_only_by_a_careless_reader() {
    let topic = unique("transactions");
    shared().create_topic(&topic, 1, &[]);
    let producer = Producer::new(shared(), &[("transactional.id", &topic)]);
    for (value, commit) in [("first", true), ("void", false), ("second", true)] {
        producer.begin();
        producer.send(&topic, &[Record::new(value)]);
        if commit { producer.commit() } else { producer.abort() }
    }

    assert_eq!(texts(&shared().read_all(&topic)), ["first", "second"]);
    assert_eq!(texts(&shared().read_all_uncommitted(&topic)), ["first", "void", "second"]);
    assert_eq!(shared().watermarks(&topic, 0), (0, 6), "each transaction ends with a record of its own");
}

#[test]
fn every_compression_and_ten_megabytes_go_through() {
    let topic = unique("large");
    shared().create_topic(&topic, 1, &[("max.message.bytes", "12000000")]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer = Producer::new(shared(), &[("compression.type", codec), ("batch.size", "1000000")]);
        let records: Vec<_> =
            (0..500).map(|n| Record::new(format!("{codec} {n} {}", "x".repeat(1000)))).collect();
        producer.send(&topic, &records);
    }
    // Digits of a counter: a value that does not shrink to nothing.
    let value: Vec<u8> = (0_u64..).flat_map(|n| n.to_string().into_bytes()).take(10_000_000).collect();
    shared().producer().send(&topic, &[Record::new(value.clone())]);

    let read = shared().read_all(&topic);
    assert_eq!(read.len(), 5 * 500 + 1);
    assert_eq!(read.last().and_then(|last| last.value.as_deref()), Some(&value[..]));
}

#[test]
fn a_record_larger_than_the_topic_takes_is_refused() {
    let topic = unique("small");
    shared().create_topic(&topic, 1, &[("max.message.bytes", "1000")]);
    let refused = shared().producer().try_send(&topic, &[Record::new("x".repeat(2000))]);
    assert_eq!(
        refused.unwrap_err().rdkafka_error_code(),
        Some(rdkafka::types::RDKafkaErrorCode::MessageSizeTooLarge)
    );
}

#[test]
fn a_compacted_topic_keeps_the_newest_of_a_key_and_leaves_gaps() {
    let topic = unique("compacted");
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.ms", "100"),
        ("max.compaction.lag.ms", "100"),
        ("delete.retention.ms", "0"),
    ];
    shared().create_topic(&topic, 1, &settings);
    assert_eq!(shared().topic_settings(&topic)["cleanup.policy"], "compact");
    let producer = shared().producer();
    producer.send(&topic, &[Record::new("old").key("k"), Record::new("new").key("k")]);
    wait::until_ok(Duration::from_secs(90), "the cleaner", || {
        // The cleaner leaves the segment alone that is written to; another record begins a new one.
        producer.send(&topic, &[Record::new("later").key("other")]);
        let read = shared().read_all(&topic);
        let of_key: Vec<_> = read.iter().filter(|r| r.key.as_deref() == Some(b"k")).collect();
        match &of_key[..] {
            [newest] if newest.text() == "new" && newest.offset == 1 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn an_administrator_can_grow_empty_and_delete_a_topic() {
    let topic = unique("administered");
    shared().create_topic(&topic, 1, &[]);
    shared().producer().send(&topic, &[Record::new("a"), Record::new("b"), Record::new("c")]);
    shared().delete_records(&topic, 0, 2);
    assert_eq!(shared().watermarks(&topic, 0), (2, 3));
    assert_eq!(texts(&shared().read_all(&topic)), ["c"]);

    shared().add_partitions(&topic, 3);
    assert_eq!(shared().partitions(&topic), 3);

    let group = unique("group");
    let offsets = BTreeMap::from([(0, 3), (2, 0)]);
    assert_eq!(shared().committed(&group, &topic), BTreeMap::new());
    shared().commit(&group, &topic, &offsets);
    assert_eq!(shared().committed(&group, &topic), offsets);
    let told = shared().tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &["--describe", "--group", &group],
    );
    assert!(told.contains(&topic), "{told}");

    shared().delete_topic(&topic);
    assert_eq!(shared().partitions(&topic), 0);
}

#[test]
fn with_three_brokers_a_partition_outlives_its_leader() {
    let cluster = Cluster::start(&Options::brokers(3));
    let topic = unique("led");
    cluster.create_topic(&topic, 1, &[]);
    let producer = cluster.producer();
    producer.send(&topic, &[Record::new("before")]);

    let killed = cluster.wait_for_leader(&topic, 0, None, SOON);
    cluster.kill(killed);
    let heir = cluster.wait_for_leader(&topic, 0, Some(killed), SOON);
    assert_ne!(heir, killed);
    producer.send(&topic, &[Record::new("after")]);
    assert_eq!(texts(&cluster.read_all(&topic)), ["before", "after"]);

    cluster.start_again(killed);
    cluster.wait_for_in_sync(&topic, 0, 3, SOON);
    cluster.freeze(heir);
    cluster.wait_for_leader(&topic, 0, Some(heir), SOON);
    cluster.thaw(heir);
    cluster.stop(killed);
    assert_eq!(texts(&cluster.read_all(&topic)), ["before", "after"]);
}
