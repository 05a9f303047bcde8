//! The embedded Kafka as librdkafka's own clients see it, set up as the service sets them up.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use streamproc::kafka::is_embedded;
use streamproc::sandbox::{KafkaOptions, PortTaken, Sandbox, SandboxOptions, Topic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clients::eventually;

const LONG: Duration = Duration::from_secs(30);

async fn kafka(options: KafkaOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { kafka: Some(options), cosmos: None }).await.unwrap()
}

fn producer(sandbox: &Sandbox) -> FutureProducer {
    ClientConfig::new()
        .set("bootstrap.servers", sandbox.kafka_bootstrap().unwrap())
        .set("enable.idempotence", "true")
        .set("compression.type", "zstd")
        .set("linger.ms", "5")
        .create()
        .unwrap()
}

fn member(sandbox: &Sandbox, group: &str) -> BaseConsumer {
    let consumer = client(sandbox, group);
    consumer.subscribe(&["streaming"]).unwrap();
    consumer
}

/// Knows the group's offsets, and does not join it.
fn client(sandbox: &Sandbox, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", sandbox.kafka_bootstrap().unwrap())
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap()
}

async fn produce(sandbox: &Sandbox, count: usize) {
    let producer = producer(sandbox);
    for n in 0..count {
        let (key, value) = (format!("device-{n}"), format!("event {n}"));
        let headers = OwnedHeaders::new().insert(Header { key: "n", value: Some(&value) });
        let record = FutureRecord::to("streaming").key(&key).payload(&value).headers(headers);
        producer.send(record, LONG).await.unwrap();
    }
    producer.flush(LONG).unwrap();
}

fn committed(consumer: &BaseConsumer, partitions: i32) -> i64 {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range("streaming", 0, partitions - 1);
    let committed = consumer.committed_offsets(asked, LONG).unwrap();
    let offsets = committed.elements().into_iter().map(|partition| partition.offset());
    offsets.filter_map(|offset| if let Offset::Offset(at) = offset { Some(at) } else { None }).sum()
}

#[tokio::test]
async fn the_topics_are_there_and_the_cluster_says_that_it_is_embedded() {
    let topics = vec![Topic::new("streaming", 3), Topic::new("streaming-dead-letter", 1)];
    let sandbox = kafka(KafkaOptions { topics, ..KafkaOptions::default() }).await;
    let producer = producer(&sandbox);
    let metadata = producer.client().fetch_metadata(None, LONG).unwrap();
    let topics: BTreeSet<(&str, usize)> =
        metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len())).collect();
    assert_eq!(topics, [("streaming", 3), ("streaming-dead-letter", 1)].into());
    assert!(is_embedded(&producer.client().fetch_cluster_id(LONG).unwrap()));
    sandbox.stop().await;
}

#[tokio::test]
async fn clients_stay_with_the_addresses_that_stand_before_the_brokers() {
    let sandbox = kafka(KafkaOptions { brokers: 3, ..KafkaOptions::default() }).await;
    let bootstrap: SocketAddr = sandbox.kafka_bootstrap().unwrap().parse().unwrap();
    let own =
        sandbox.kafka().unwrap().with_mock(rdkafka::mocking::MockCluster::bootstrap_servers).await.unwrap();
    let client = producer(&sandbox);
    let metadata = client.client().fetch_metadata(None, LONG).unwrap();
    let told: BTreeSet<i32> =
        metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::port).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.contains(&i32::from(bootstrap.port())), "{told:?} without {bootstrap}");
    for port in told {
        assert!(!own.contains(&format!(":{port}")), "{port} is a broker's own, of {own}");
    }
    produce(&sandbox, 20).await;
    sandbox.stop().await;
}

/// A client keeps the coordinator's address as long as its broker's number stays the same.
#[tokio::test]
async fn a_group_goes_on_with_a_sandbox_that_was_started_again_on_its_port() {
    let sandbox = kafka(KafkaOptions::default()).await;
    let bootstrap: SocketAddr = sandbox.kafka_bootstrap().unwrap().parse().unwrap();
    let client = client(&sandbox, "streamproc");
    let mut place = TopicPartitionList::new();
    place.add_partition_offset("streaming", 0, Offset::Offset(7)).unwrap();
    client.commit(&place, CommitMode::Sync).unwrap();
    assert_eq!(committed(&client, 6), 7);
    sandbox.stop().await;
    let sandbox = kafka(KafkaOptions { port: bootstrap.port(), ..KafkaOptions::default() }).await;
    assert_eq!(committed(&client, 6), 0, "nothing is kept, and the new one answers");
    sandbox.stop().await;
}

/// As Apache Kafka's own clients for Java ask first of all.
#[tokio::test]
async fn a_newer_question_for_versions_is_answered_with_the_versions_there_are() {
    let sandbox = kafka(KafkaOptions::default()).await;
    let mut stream = TcpStream::connect(sandbox.kafka_bootstrap().unwrap()).await.unwrap();
    let ask = |version: i16, number: i32, rest: &[u8]| {
        let head = [&18_i16.to_be_bytes()[..], &version.to_be_bytes(), &number.to_be_bytes(), &[0, 1, b'c']]
            .concat();
        [&((head.len() + rest.len()) as u32).to_be_bytes()[..], &head, rest].concat()
    };
    // Version 4 has tags behind the client's id, its name and its version; version 0 has nothing.
    stream.write_all(&ask(4, 1, b"\0\x05java\x044.3\0")).await.unwrap();
    let mut answer = [0; 20];
    stream.read_exact(&mut answer).await.unwrap();
    let expected =
        [&16_u32.to_be_bytes()[..], &1_i32.to_be_bytes(), &35_i16.to_be_bytes(), &1_i32.to_be_bytes()]
            .concat();
    assert_eq!(answer[..14], expected, "not that version");
    assert_eq!(answer[14..], [0, 18, 0, 0, 0, 2], "but versions 0 to 2");

    stream.write_all(&ask(0, 2, b"")).await.unwrap();
    let length = stream.read_u32().await.unwrap();
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..6], [0, 0, 0, 2, 0, 0], "the connection is of use after that");
    sandbox.stop().await;
}

/// Polls both members until each has half of the six partitions.
fn share(members: &[BaseConsumer; 2]) {
    let deadline = Instant::now() + LONG;
    loop {
        let held = members.each_ref().map(|member| {
            assert!(member.poll(Duration::from_millis(5)).is_none(), "a record before any was produced");
            member.assignment().unwrap().count()
        });
        if held == [3, 3] {
            return;
        }
        assert!(Instant::now() < deadline, "they hold {held:?} of six partitions");
    }
}

/// Both members of a cooperative group get partitions, every record of an idempotent, compressing
/// producer arrives once with its headers, and commits are kept.
#[tokio::test(flavor = "multi_thread")]
async fn two_members_of_a_cooperative_group_share_the_partitions_and_commit() {
    let sandbox = kafka(KafkaOptions::default()).await;
    let members = [member(&sandbox, "streamproc"), member(&sandbox, "streamproc")];
    tokio::task::block_in_place(|| share(&members));
    produce(&sandbox, 200).await;
    let by_member = tokio::task::block_in_place(|| {
        let deadline = Instant::now() + LONG;
        let mut seen = BTreeSet::new();
        let mut by_member = [0, 0];
        while seen.len() < 200 {
            assert!(Instant::now() < deadline, "only {} of 200 records came", seen.len());
            for (consumer, count) in members.iter().zip(&mut by_member) {
                let Some(record) = consumer.poll(Duration::from_millis(5)) else { continue };
                let record = record.unwrap();
                let value = record.payload_view::<str>().unwrap().unwrap().to_owned();
                let header = record.headers().unwrap().get(0);
                assert_eq!((header.key, header.value), ("n", Some(value.as_bytes())));
                assert!(record.timestamp().to_millis().unwrap() > 0);
                assert!(seen.insert(value), "read twice");
                consumer.commit_message(&record, CommitMode::Sync).unwrap();
                *count += 1;
            }
        }
        assert_eq!(committed(&members[0], 6), 200);
        by_member
    });
    assert!(by_member.iter().all(|count| *count > 0), "one member read everything: {by_member:?}");
    assert_eq!(sandbox.dropped_unread(), []);
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_leaves_hands_its_partitions_over_and_its_commits_stay() {
    let sandbox = kafka(KafkaOptions::default()).await;
    let members = [member(&sandbox, "streamproc"), member(&sandbox, "streamproc")];
    tokio::task::block_in_place(|| {
        share(&members);
        let [first, second] = members;
        let mut place = TopicPartitionList::new();
        for partition in second.assignment().unwrap().elements() {
            place.add_partition_offset("streaming", partition.partition(), Offset::Offset(1)).unwrap();
        }
        second.commit(&place, CommitMode::Sync).unwrap();
        drop(second);
        let deadline = Instant::now() + LONG;
        while first.assignment().unwrap().count() != 6 {
            let _ = first.poll(Duration::from_millis(5));
            assert!(Instant::now() < deadline, "never handed over");
        }
        assert_eq!(committed(&first, 6), 3);
    });
    sandbox.stop().await;
}

#[tokio::test]
async fn records_that_the_mock_drops_before_the_group_has_read_them_are_told() {
    let topics = vec![Topic::new("streaming", 1)];
    let sandbox = kafka(KafkaOptions { topics, ..KafkaOptions::default() }).await;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", sandbox.kafka_bootstrap().unwrap())
        .set("batch.num.messages", "1")
        .create()
        .unwrap();
    let value = "x".repeat(100_000);
    for _ in 0..80 {
        producer.send(FutureRecord::<(), _>::to("streaming").payload(&value), LONG).await.unwrap();
    }
    let kafka = sandbox.kafka().unwrap();
    // 8 MB went in and 5 MB are kept.
    let dropped = eventually("the watch has seen all 80 records", || async {
        let status = kafka.status();
        (status.first()?.high == 80).then(|| kafka.dropped_unread())
    })
    .await;
    assert_eq!(dropped.len(), 1);
    let lost = dropped[0].records;
    assert!((20..60).contains(&lost), "{lost} of 80");
    assert_eq!(kafka.status()[0].low, i64::try_from(lost).unwrap());
    sandbox.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = KafkaOptions { port, ..KafkaOptions::default() };
    let refused = Sandbox::start(SandboxOptions { kafka: Some(options), cosmos: None }).await.err().unwrap();
    let named = refused.downcast_ref::<PortTaken>().unwrap();
    assert_eq!((named.service, named.port), ("Kafka", port));
}

#[tokio::test]
async fn the_mock_itself_is_open_for_faults() {
    let sandbox = kafka(KafkaOptions::default()).await;
    let kafka = sandbox.kafka().unwrap();
    let down = kafka.with_mock(|mock| mock.broker_down(-1)).await.unwrap();
    assert!(down.is_ok());
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", sandbox.kafka_bootstrap().unwrap())
        .set("message.timeout.ms", "500")
        .create()
        .unwrap();
    let record = FutureRecord::<(), _>::to("streaming").payload("x");
    let failed = producer.send(record, LONG).await.unwrap_err().0;
    assert!(matches!(failed, KafkaError::MessageProduction(_)), "{failed}");
    kafka.with_mock(|mock| mock.broker_up(-1)).await.unwrap().unwrap();
    produce(&sandbox, 1).await;
    sandbox.stop().await;
}
