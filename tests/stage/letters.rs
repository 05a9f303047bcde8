//! The dead letters that a topic holds, looked up by where their records came from.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::stage::Stage;
use crate::support::kafka::Received;

/// How long a letter that has to be there is looked for, while brokers come and go.
const LIMIT: Duration = Duration::from_secs(20);

/// A reader of the dead-letter topic that remembers what it has seen.
pub struct Letters {
    reader: BaseConsumer,
    topic: String,
    seen: BTreeSet<(i32, i64)>,
    /// The next letter's offset.
    position: i64,
}

impl Letters {
    /// Those of a stage, whose dead-letter topic has one partition.
    pub fn of(stage: &Stage) -> Self {
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", stage.cluster.bootstrap())
            .set("group.id", "streamproc-tests-letters")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("reconnect.backoff.max.ms", "500")
            .set("log_level", "0")
            .create()
            .expect("a client");
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(&stage.dead_letters, 0, Offset::Beginning).expect("a valid offset");
        reader.assign(&all).expect("assign");
        Self { reader, topic: stage.dead_letters.clone(), seen: BTreeSet::new(), position: 0 }
    }

    /// Whether there is a letter of this record now.
    pub fn hold(&mut self, partition: i32, offset: i64) -> bool {
        let place = (partition, offset);
        let begun = Instant::now();
        let mut end = None;
        while !self.seen.contains(&place) && begun.elapsed() < LIMIT {
            // The end is asked for once: what comes later was acknowledged too late.
            end = end.or_else(|| {
                let limits = self.reader.fetch_watermarks(&self.topic, 0, Duration::from_secs(2));
                limits.ok().map(|(_, high)| high)
            });
            if end.is_some_and(|end| self.position >= end) {
                break;
            }
            if let Some(Ok(letter)) = self.reader.poll(Duration::from_millis(100)) {
                let letter = Received::from(&letter);
                self.position = letter.offset + 1;
                self.seen.extend(source(&letter));
            }
        }
        self.seen.contains(&place)
    }
}

/// The partition and offset that a letter's record came from.
pub fn source(letter: &Received) -> Option<(i32, i64)> {
    let number = |name: &str| letter.header(name)?.parse::<i64>().ok();
    Some((i32::try_from(number("streamproc-partition")?).ok()?, number("streamproc-offset")?))
}
