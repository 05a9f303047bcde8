//! Resident memory is bounded by `trigger.max_bytes` and a constant, whatever waits in Kafka.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use streamproc::sandbox::{Effect, Fault, Kind};

use crate::stage::{Layout, SOON, Stage};
use crate::support::wait;
use crate::whole::command;

const MIB: u64 = 1 << 20;

/// What docs/operations.md promises beside `trigger.max_bytes`, with up to 16 workers.
const BESIDE_THE_BUDGET: u64 = 300 * MIB;

/// Cosmos DB answers at once and stores nothing: its memory is the test's.
fn answer_without_storing(stage: &Stage) {
    for (kind, status) in [(Kind::Batch, 200), (Kind::Upsert, 201)] {
        let effect = Effect::Answer { status, substatus: 0, retry_after: None, after_work: false };
        stage.cosmos().faults().add(Fault { kind: Some(kind), ..Fault::new(effect) });
    }
}

/// Fills a topic with events, given as key and value, in batches of up to `batch_bytes` unpacked.
fn fill(stage: &Stage, batch_bytes: usize, events: impl Iterator<Item = (String, String)>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", stage.cluster.bootstrap())
        .set("compression.type", "zstd")
        .set("message.max.bytes", "400000000")
        .set("batch.size", batch_bytes.to_string())
        .set("batch.num.messages", "1000000")
        .set("queue.buffering.max.kbytes", "300000")
        .set("linger.ms", "500")
        .create()
        .unwrap();
    for (key, value) in events {
        let mut record = BaseRecord::to(&stage.topic).payload(&value).key(&key);
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(20));
            record = again;
        }
    }
    producer.flush(SOON).unwrap();
}

/// Events of about 4 KiB that zstd packs 50 to 1.
fn packed(count: usize) -> impl Iterator<Item = (String, String)> {
    let padding = "x".repeat(3_900);
    (0..count).map(move |number| {
        // What does not repeat: some digits of every event.
        let noise = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
        let device = number % 1_000;
        let value = format!(
            r#"{{"eventId":"{number:012}","deviceId":"device-{device}","noise":"{noise:016x}{:016x}","padding":"{padding}"}}"#,
            noise.wrapping_mul(0xD134_2543_DE82_EF95),
        );
        (format!("device-{device}"), value)
    })
}

#[test]
fn a_backlog_of_two_gigabytes_packed_fifty_to_one_fits_sixteen_workers() {
    let stage = Stage::new(Layout { partitions: 16, ..Layout::default() });
    answer_without_storing(&stage);
    let count = 500_000;
    fill(&stage, 1_000_000, packed(count));
    let max_bytes = 64 * MIB;
    let limit = format!("max_bytes = \"{max_bytes}\"");
    let service = stage.service(&[("kafka", "workers = 16"), ("trigger", &limit)]);
    wait::until_ok(Duration::from_mins(5), "the backlog to be written", || {
        let stored = service.metric("streamproc_events_stored_total", &[]).unwrap_or(0.0);
        if stored >= count as f64 { Ok(()) } else { Err(format!("{stored}\n{}", service.tail())) }
    });
    let peak = service.peak_rss_bytes();
    println!("the most resident memory: {} MiB", peak / MIB);
    assert!(peak < max_bytes + BESIDE_THE_BUDGET, "{} MiB", peak / MIB);
}

/// Nothing is written together then, and tens of thousands of documents wait for their turn, each by itself.
#[test]
fn a_backlog_of_small_events_with_keys_of_their_own_takes_200_megabytes_at_most() {
    let stage = Stage::new(Layout::default());
    answer_without_storing(&stage);
    let event = |number| (String::new(), format!(r#"{{"eventId":"{number}","deviceId":"device-{number}"}}"#));
    fill(&stage, 1_000_000, (0..100_000).map(event));
    let service = stage.service(&[]);
    // By then all that the budget allows has been held.
    wait::until_ok(SOON, "the first to be written", || {
        let stored = service.metric("streamproc_events_stored_total", &[]).unwrap_or(0.0);
        if stored >= 30_000.0 { Ok(()) } else { Err(format!("{stored}\n{}", service.tail())) }
    });
    let peak = service.peak_rss_bytes();
    println!("the most resident memory: {} MB", peak / 1_000_000);
    assert!(peak < 200_000_000, "{} MB", peak / 1_000_000);
}

#[test]
fn at_the_rate_of_the_sample_150_megabytes_are_enough() {
    let stage = Stage::new(Layout::default());
    let service = stage.service(&[]);
    command(&service, &["simulate", "--rate", "1000", "--count", "12000", "--output", "json"]);
    stage.wait_until_caught_up(&service, SOON);
    let peak = service.peak_rss_bytes();
    println!("the most resident memory at 1,000 events/s: {} MiB", peak / MIB);
    assert!(peak < 150_000_000, "{} MiB", peak / MIB);
}

/// A producer may send batches of the broker's largest size, packed; a record of it is no different
/// from others.
#[test]
fn a_batch_of_a_megabyte_packed_a_hundred_to_one_is_read() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    answer_without_storing(&stage);
    let count = 24_000;
    fill(&stage, 300_000_000, packed(count));
    let service = stage.service(&[]);
    stage.wait_until_caught_up(&service, SOON);
    assert_eq!(service.metric("streamproc_events_stored_total", &[]), Some(count as f64));
}
