//! What arrives in Kafka is what was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use streamproc::simulator::{self, Counts, Options, Progress, SimulatorError, Summary, Until};
use tokio_util::sync::CancellationToken;

pub(crate) type Cluster = MockCluster<'static, DefaultProducerContext>;

pub(crate) const TOPIC: &str = "streaming";
const GROUP: &str = "readers";
/// No wait of these tests is longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn cluster(partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, partitions, 1).unwrap();
    cluster
}

fn client(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    config
}

/// A run as fast as it goes, of events that are the same in every byte.
fn options(count: u64) -> Options {
    Options {
        rate: 0,
        until: Until::Count(count),
        seed: 11,
        created_at_start: DateTime::from_timestamp(1_558_027_000, 0),
        ..Options::new(TOPIC, GROUP)
    }
}

async fn run(cluster: &Cluster, options: Options) -> Result<Summary, SimulatorError> {
    let progress = Arc::new(Progress::default());
    let run = simulator::run(options, client(cluster), progress, CancellationToken::new());
    tokio::time::timeout(PATIENCE, run).await.expect("the run ends")
}

/// Reads so many records from the begin of the topic, by partition; commits them when asked to.
fn read(
    cluster: &Cluster,
    partitions: i32,
    records: u64,
    commit: bool,
) -> BTreeMap<i32, Vec<(String, String)>> {
    let consumer: BaseConsumer =
        client(cluster).set("group.id", GROUP).set("enable.auto.commit", "false").create().unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let mut seen = BTreeMap::<i32, Vec<_>>::new();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let mut count = 0;
    let deadline = Instant::now() + PATIENCE;
    while count < records {
        assert!(Instant::now() < deadline, "{count} of {records} records came");
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        let record = record.unwrap();
        seen.entry(record.partition()).or_default().push((text(record.key()), text(record.payload())));
        count += 1;
        if commit {
            consumer.commit_message(&record, CommitMode::Async).unwrap();
        }
    }
    assert!(consumer.poll(Duration::from_millis(200)).is_none(), "more than {records} records came");
    seen
}

async fn until(progress: &Progress, what: &str, condition: impl Fn(Counts) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition(progress.read()) {
        assert!(Instant::now() < deadline, "not {what}: {:?}", progress.read());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_sends_the_same_bytes_to_the_same_partitions() {
    let (first, second) = (cluster(3), cluster(3));
    let summary = run(&first, options(2000)).await.unwrap();
    run(&second, options(2000)).await.unwrap();
    assert_eq!(summary.seed, 11);
    let seen = read(&first, 3, 2002, false);
    assert_eq!(seen.len(), 3, "all partitions are used");
    assert_eq!(seen, read(&second, 3, 2002, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_counted_and_its_copy_follows_it() {
    let cluster = cluster(1);
    let summary = run(&cluster, Options { duplicate_every: 100, devices: 7, ..options(2500) }).await.unwrap();
    assert_eq!((summary.events, summary.duplicates, summary.acknowledged), (2500, 25, 2525));
    assert!(!summary.cancelled && summary.rate_held);

    let records = read(&cluster, 1, 2525, false).remove(&0).unwrap();
    assert_eq!(summary.bytes, records.iter().map(|(_, json)| json.len() as u64).sum::<u64>());
    let copies: Vec<_> = records.windows(2).enumerate().filter(|(_, pair)| pair[0] == pair[1]).collect();
    // The hundredth event is the record 99, its copy 100, and one further with every copy before.
    let expected: Vec<_> = (1..=25).map(|nth| nth * 100 + nth - 2).collect();
    assert_eq!(copies.iter().map(|(at, _)| *at).collect::<Vec<_>>(), expected);
    for (key, json) in &records {
        let event: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(event["deviceId"].as_str(), Some(key.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_copies_none_is_sent() {
    let cluster = cluster(1);
    let summary = run(&cluster, Options { duplicate_every: 0, ..options(1500) }).await.unwrap();
    assert_eq!((summary.events, summary.duplicates), (1500, 0));
    read(&cluster, 1, 1500, false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asked_rate_is_held_within_one_percent() {
    let mut missed = Vec::new();
    // The last acknowledgement may be late by more than a hundredth of four seconds when other tests
    // have the processors; thrice in a row it is not.
    for _ in 0..3 {
        let cluster = cluster(4);
        let until = Until::Elapsed(Duration::from_secs(4));
        let summary = run(&cluster, Options { rate: 2000, until, ..options(0) }).await.unwrap();
        assert_eq!(summary.events, 8000, "a run by the clock sends what is due in its time");
        if summary.rate_held && (1980.0..=2020.0).contains(&summary.rate) {
            return;
        }
        missed.push(summary);
    }
    panic!("{missed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_beyond_reach_is_owned_up_to() {
    let cluster = cluster(1);
    let until = Until::Elapsed(Duration::from_millis(200));
    let slow = Options { rate: 50_000_000, until, ..options(0) };
    // Cancelled by its reader's absence at the latest: a second after its time the run is over.
    let summary = run(&cluster, slow).await.unwrap();
    assert!(!summary.rate_held, "{summary:?}");
    assert!(summary.to_string().contains("50000000 events/s could not be held"), "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_embedded_kafka_nothing_is_sent_that_would_be_forgotten() {
    let cluster = cluster(1);
    // 12,000 events are 11 MB; such a Kafka keeps 5.
    let progress = Arc::new(Progress::default());
    let cancel = CancellationToken::new();
    let sending =
        tokio::spawn(simulator::run(options(12_000), client(&cluster), Arc::clone(&progress), cancel));
    until(&progress, "waiting for a reader", |counts| counts.waiting_for_reader > Duration::from_millis(300))
        .await;
    let waiting = progress.read();
    assert!((3000..4600).contains(&waiting.events), "{waiting:?}");
    assert!(!sending.is_finished());

    let records = tokio::task::block_in_place(|| read(&cluster, 1, 12_012, true));
    let summary = sending.await.unwrap().unwrap();
    assert_eq!((summary.events, summary.acknowledged), (12_000, 12_012));
    assert!(summary.waited_for_reader_seconds >= 0.3, "{summary:?}");
    assert_eq!(records[&0].len(), 12_012, "and nothing was forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_unread_in_an_embedded_kafka_counts_too() {
    let cluster = cluster(1);
    run(&cluster, options(3000)).await.unwrap();
    let progress = Arc::new(Progress::default());
    let cancel = CancellationToken::new();
    let again = simulator::run(options(3000), client(&cluster), Arc::clone(&progress), cancel.clone());
    let sending = tokio::spawn(again);
    until(&progress, "waiting for a reader", |counts| counts.waiting_for_reader > Duration::ZERO).await;
    assert!(progress.read().events < 1500, "{:?}", progress.read());
    cancel.cancel();
    assert!(sending.await.unwrap().unwrap().cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_it_stops_and_every_event_sent_is_acknowledged() {
    let cluster = cluster(2);
    let progress = Arc::new(Progress::default());
    let cancel = CancellationToken::new();
    let endless = Options { rate: 1000, until: Until::Cancelled, ..options(0) };
    let sending =
        tokio::spawn(simulator::run(endless, client(&cluster), Arc::clone(&progress), cancel.clone()));
    until(&progress, "under way", |counts| counts.acknowledged > 100).await;
    cancel.cancel();
    let summary = sending.await.unwrap().unwrap();
    assert!(summary.cancelled);
    assert_eq!(summary.acknowledged, summary.events + summary.duplicates);
    assert_eq!(progress.read().events, summary.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_named() {
    let cluster = cluster(1);
    let began = Instant::now();
    let error = run(&cluster, Options { topic: "nowhere".into(), ..options(1) }).await.unwrap_err();
    assert!(matches!(&error, SimulatorError::Topic { topic, .. } if topic == "nowhere"), "{error}");
    assert!(error.to_string().contains("--topic"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_is_not_there_is_given_up_within_ten_seconds() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut nobody = ClientConfig::new();
    nobody.set("bootstrap.servers", free.to_string());
    let began = Instant::now();
    let progress = Arc::new(Progress::default());
    let error = simulator::run(options(1), nobody, progress, CancellationToken::new()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(matches!(&error, SimulatorError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "says why: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_kafka_refuses_fails_the_run_with_its_reason() {
    use rdkafka::types::RDKafkaRespErr;
    let cluster = cluster(1);
    let produce = rdkafka::types::RDKafkaApiKey::Produce;
    cluster.request_errors(produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 3]);
    let error = run(&cluster, options(10)).await.unwrap_err();
    let SimulatorError::Delivery { failed, reason, .. } = &error else { panic!("{error}") };
    assert!(*failed > 0 && reason.contains("authorization"), "{error}");
}
