//! Taking from the client: records, errors, notices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;

use super::WorkerThread;
use crate::core::kafka::{Offset, TopicPartition};
use crate::core::records::RawRecord;
use crate::dead_letter::DeadLetters;
use crate::source::consumer::WorkerConsumer;
use crate::source::headers;
use crate::store::Store;

/// The most records taken from the client before other things are looked at.
const BURST: usize = 256;

/// What was taken from the client in one go.
#[derive(Default)]
struct Burst {
    /// Records, errors, and what the client told besides.
    taken: usize,
    is_enough: bool,
    /// The partition of the last records, and how many there are of it in a row.
    run: Option<(TopicPartition, u64)>,
}

impl Burst {
    fn goes_on(&self) -> bool {
        self.taken < BURST && !self.is_enough
    }
}

impl<S: Store, D: DeadLetters> WorkerThread<S, D> {
    /// Takes records and notices from the client. Gives whether there may be more at once.
    pub(super) fn poll(&mut self) -> bool {
        let mut burst = Burst::default();
        while burst.goes_on()
            && let Some(client) = &self.client
        {
            let consumer = Arc::clone(&client.consumer);
            let met = self.take_records(&consumer, &mut burst);
            // An error may end the client, which ends with the last that holds it: not this thread.
            drop(consumer);
            if let Some((error, reason)) = met {
                self.client_error(&error, &reason);
            }
        }
        self.flush_consumed(burst.run);
        self.hear_notices();
        burst.taken > 0
    }

    /// Takes records until an error is met.
    fn take_records(&mut self, consumer: &WorkerConsumer, burst: &mut Burst) -> Option<(KafkaError, String)> {
        let now = Instant::now();
        while burst.goes_on() {
            match consumer.poll(Duration::ZERO) {
                None if consumer.context().take_told() => burst.taken += 1,
                None => burst.is_enough = true,
                Some(Ok(record)) => {
                    burst.taken += 1;
                    self.count_consumed(&mut burst.run, record.topic(), record.partition());
                    let headers = record.headers().map(headers::all).unwrap_or_default();
                    let raw = RawRecord {
                        offset: Offset(record.offset()),
                        timestamp_millis: record.timestamp().to_millis().filter(|millis| *millis >= 0),
                        key: record.key(),
                        value: record.payload(),
                        headers: &headers,
                    };
                    self.traffic.deliver(raw.key, raw.value);
                    burst.is_enough = !self.machine.take(record.topic(), record.partition(), &raw, now);
                }
                Some(Err(error)) => {
                    burst.taken += 1;
                    return Some((error, consumer.context().last_error()));
                }
            }
        }
        None
    }

    /// Once the client is replaced, what it had to say besides is void: it is about partitions that are
    /// lost with it.
    pub(super) fn hear_notices(&mut self) {
        let Some(client) = &self.client else { return };
        for notice in client.consumer.context().take_notices() {
            self.notice(notice);
            if self.client.is_none() {
                return;
            }
        }
    }

    fn count_consumed(&self, run: &mut Option<(TopicPartition, u64)>, topic: &str, partition: i32) {
        match run {
            Some((name, count)) if name.partition == partition && *name.topic == *topic => *count += 1,
            _ => {
                let before = run.replace((TopicPartition::new(topic, partition), 1));
                self.flush_consumed(before);
            }
        }
    }

    fn flush_consumed(&self, run: Option<(TopicPartition, u64)>) {
        if let Some((name, count)) = run {
            let labels = [name.topic.as_ref(), &name.partition.to_string()];
            self.shared.metrics.events_consumed.with_label_values(&labels).inc_by(count);
        }
    }
}
