//! Looking whether records can be read from a place on.
//!
//! When librdkafka cannot read a batch of records (its checksum is wrong, its compression unknown),
//! it reports an error that names no partition and goes on behind the batch. So each doubtful place
//! is read again by a consumer of its own, which reads nothing else: what it reports is about that
//! place.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::errors::Meaning;
use crate::core::kafka::{Offset, TopicPartition};
use crate::core::worker::Finding;

/// How long a place may take to show a record, an error, or the end of the partition.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// After an unreadable batch: how long to look for the first record behind it.
const SEARCH: Duration = Duration::from_secs(5);

/// Reads a partition from a place until it is clear whether records can be read there. The consumer
/// must have `enable.partition.eof` set and be used for nothing else.
pub fn probe<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    name: &TopicPartition,
    place: Offset,
) -> Finding {
    let mut list = TopicPartitionList::new();
    let added = list.add_partition_offset(&name.topic, name.partition, KafkaOffset::Offset(place.0));
    if added.and_then(|()| consumer.assign(&list)).is_err() {
        return Finding::Unknown;
    }
    let finding = read(consumer, Instant::now());
    let _ = consumer.unassign();
    finding
}

fn read<C: ConsumerContext>(consumer: &BaseConsumer<C>, begun: Instant) -> Finding {
    let mut unreadable_since: Option<Instant> = None;
    loop {
        let limit = unreadable_since.map_or(begun + TIME_LIMIT, |since| since + SEARCH);
        if Instant::now() >= limit {
            return match unreadable_since {
                Some(_) => Finding::Unreadable { resumes_at: None },
                None => Finding::Unknown,
            };
        }
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(record)) => {
                return match unreadable_since {
                    Some(_) => Finding::Unreadable { resumes_at: Some(Offset(record.offset())) },
                    None => Finding::Readable { first: Some(Offset(record.offset())) },
                };
            }
            Some(Err(KafkaError::PartitionEOF(_))) if unreadable_since.is_none() => {
                return Finding::Readable { first: None };
            }
            Some(Err(error)) => match Meaning::of(&error) {
                Meaning::Unreadable => {
                    unreadable_since.get_or_insert_with(Instant::now);
                }
                // The place itself is gone: the check of the partition's limits says so elsewhere.
                Meaning::OffsetGone | Meaning::Fatal => return Finding::Unknown,
                _ => {}
            },
        }
    }
}
