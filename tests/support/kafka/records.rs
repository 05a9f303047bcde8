//! Writing records of every kind, and reading a topic whole.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::wait::block_on;

use super::{Cluster, client, config};

const LIMIT: Duration = Duration::from_mins(1);

/// The largest record that librdkafka sends and the tests' brokers can be told to take, with room
/// for its envelope.
const LARGEST: &str = "20000000";

/// A record to write.
#[derive(Clone, Debug, Default)]
pub struct Record {
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: Option<i64>,
}

impl Record {
    /// A record with this value, and neither key nor headers.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record without a value.
    pub fn tombstone(key: impl Into<Vec<u8>>) -> Self {
        Self::default().key(key)
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header; a header without a value is not the same as an empty one.
    #[must_use]
    pub fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }

    /// Sets the timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn at(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    /// Sends it to this partition instead of the key's.
    #[must_use]
    pub fn to(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// Writes records, and does not return before the brokers have them.
pub struct Producer {
    inner: FutureProducer,
}

impl Producer {
    /// A producer with further librdkafka properties, such as `compression.type`, or
    /// `transactional.id`, with which every [`Producer::send`] has to be inside a transaction.
    pub fn new(cluster: &Cluster, properties: &[(&str, &str)]) -> Self {
        let mut config = config(&cluster.bootstrap());
        config.set("message.max.bytes", LARGEST).set("linger.ms", "5").set("acks", "all");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        let inner: FutureProducer = config.create().expect("a producer");
        if properties.iter().any(|(name, _)| *name == "transactional.id") {
            inner.init_transactions(LIMIT).expect("the transaction coordinator answers");
        }
        Self { inner }
    }

    /// Writes the records in their order and returns the partition and offset of each.
    ///
    /// # Panics
    /// When one is refused.
    pub fn send(&self, topic: &str, records: &[Record]) -> Vec<(i32, i64)> {
        self.try_send(topic, records).unwrap_or_else(|e| panic!("write to {topic}: {e}"))
    }

    /// The same for records that may be refused; the error is the first one.
    pub fn try_send(&self, topic: &str, records: &[Record]) -> Result<Vec<(i32, i64)>, KafkaError> {
        let sent: Result<Vec<_>, _> = records.iter().map(|record| self.enqueue(topic, record)).collect();
        sent?
            .into_iter()
            .map(|delivery| {
                let answer = block_on(delivery).expect("the producer lives");
                answer.map(|place| (place.partition, place.offset)).map_err(|(error, _)| error)
            })
            .collect()
    }

    fn enqueue(&self, topic: &str, record: &Record) -> Result<rdkafka::producer::DeliveryFuture, KafkaError> {
        let mut headers = OwnedHeaders::new();
        for (name, value) in &record.headers {
            headers = headers.insert(Header { key: name, value: value.as_ref() });
        }
        let mut wire = FutureRecord::<[u8], [u8]> {
            topic,
            partition: record.partition,
            payload: record.value.as_deref(),
            key: record.key.as_deref(),
            timestamp: record.timestamp,
            headers: Some(headers),
        };
        loop {
            match self.inner.send_result(wire) {
                Ok(delivery) => return Ok(delivery),
                // The local queue is full: what is on its way makes room.
                Err((KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull), again)) => {
                    std::thread::sleep(Duration::from_millis(5));
                    wire = again;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Begins a transaction.
    pub fn begin(&self) {
        self.inner.begin_transaction().expect("a producer with a transactional.id");
    }

    /// Makes the transaction's records visible.
    pub fn commit(&self) {
        self.inner.commit_transaction(LIMIT).expect("commit a transaction");
    }

    /// Makes the transaction's records void. They stay in the log.
    pub fn abort(&self) {
        self.inner.abort_transaction(LIMIT).expect("abort a transaction");
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where it was.
    pub partition: i32,
    /// Where in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp: Option<i64>,
}

impl Received {
    /// The value as text; empty without one.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }

    /// The last header of this name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.iter().rev().find(|(n, _)| n == name)?.1.as_deref()?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

impl Cluster {
    /// A producer with no special properties.
    pub fn producer(&self) -> Producer {
        Producer::new(self, &[])
    }

    /// Everything that a careful reader (`read_committed`) finds in a topic now, by partition and
    /// offset.
    pub fn read_all(&self, topic: &str) -> Vec<Received> {
        self.read(topic, "read_committed")
    }

    /// The same with the records of aborted and open transactions.
    pub fn read_all_uncommitted(&self, topic: &str) -> Vec<Received> {
        self.read(topic, "read_uncommitted")
    }

    fn read(&self, topic: &str, isolation: &str) -> Vec<Received> {
        let reader: BaseConsumer = client(
            &self.bootstrap(),
            &[
                ("isolation.level", isolation),
                ("enable.partition.eof", "true"),
                ("enable.auto.commit", "false"),
                ("auto.offset.reset", "earliest"),
                ("fetch.message.max.bytes", LARGEST),
            ],
        );
        let mut unread: BTreeSet<i32> = (0..self.partitions(topic)).collect();
        let mut from = TopicPartitionList::new();
        for partition in &unread {
            from.add_partition_offset(topic, *partition, Offset::Beginning).expect("a valid offset");
        }
        reader.assign(&from).expect("assign");
        let mut received = Vec::new();
        let start = Instant::now();
        while !unread.is_empty() {
            assert!(start.elapsed() < LIMIT, "no end of {topic} in {LIMIT:?}; still open: {unread:?}");
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => received.push(Received::from(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.remove(&partition);
                }
                // What is wrong for a moment (a leader that moves) is tried again until the limit.
                Some(Err(_)) | None => {}
            }
        }
        received.sort_by_key(|record| (record.partition, record.offset));
        received
    }
}

impl<M: Message> From<&M> for Received {
    fn from(message: &M) -> Self {
        let headers = message
            .headers()
            .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            timestamp: message.timestamp().to_millis(),
        }
    }
}
