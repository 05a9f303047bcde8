//! Looks out for records that the mock dropped before anyone had read them.
//!
//! Each partition's first offset is compared with the group's committed offset a few times a second.
//! What lies between them was dropped unread; a group that has committed nothing has read nothing. A
//! group that jumps ahead of a gap within one interval goes unnoticed.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::Topic;

const INTERVAL: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a growing loss is told again.
const REMINDER: Duration = Duration::from_secs(5);

/// Records of one partition that were dropped before the group had committed past them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedUnread {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// How many records.
    pub records: u64,
}

/// One partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the oldest record there is.
    pub low: i64,
    /// The offset that the next record will get, which is also how many there ever were.
    pub high: i64,
    /// The group's committed offset.
    pub committed: Option<i64>,
}

/// What was seen of every partition.
#[derive(Default)]
struct Tally(BTreeMap<(String, i32), Seen>);

struct Seen {
    status: LogStatus,
    dropped: u64,
    /// Everything below is accounted for: read, or counted as dropped.
    settled: i64,
}

impl Tally {
    /// Takes note of a partition. Says how many records turn out to be dropped unread.
    fn note(&mut self, status: LogStatus) -> u64 {
        let key = (status.topic.clone(), status.partition);
        let seen = self.0.entry(key).or_insert(Seen { status: status.clone(), dropped: 0, settled: 0 });
        seen.settled = seen.settled.max(status.committed.unwrap_or(0));
        let dropped = (status.low - seen.settled).max(0);
        seen.settled += dropped;
        seen.dropped += dropped as u64;
        seen.status = status;
        dropped as u64
    }

    fn dropped_unread(&self) -> Vec<DroppedUnread> {
        let lossy = self.0.iter().filter(|(_, seen)| seen.dropped > 0);
        lossy
            .map(|((topic, partition), seen)| DroppedUnread {
                topic: topic.clone(),
                partition: *partition,
                records: seen.dropped,
            })
            .collect()
    }
}

/// The thread that looks, and what it saw.
pub(super) struct Watch {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(brokers: &str, group: &str, topics: Vec<Topic>) -> anyhow::Result<Self> {
        // Never subscribes, so it is no member of the group and disturbs no one.
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("log.connection.close", "false")
            .create()?;
        let tally = Arc::new(Mutex::new(Tally::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let look = {
            let (tally, stop, group) = (Arc::clone(&tally), Arc::clone(&stop), group.to_owned());
            move || {
                let mut told = None;
                while !stop.load(Ordering::Relaxed) {
                    look(&consumer, &topics, &tally, &stop);
                    tell(&tally, &group, &mut told);
                    std::thread::park_timeout(INTERVAL);
                }
            }
        };
        let thread = std::thread::Builder::new().name("sandbox-watch".into()).spawn(look)?;
        Ok(Self { tally, stop, thread: Some(thread) })
    }

    pub(super) fn dropped_unread(&self) -> Vec<DroppedUnread> {
        lock(&self.tally).dropped_unread()
    }

    pub(super) fn status(&self) -> Vec<LogStatus> {
        lock(&self.tally).0.values().map(|seen| seen.status.clone()).collect()
    }

    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at every partition once. What does not answer now is looked at again the next time.
fn look(consumer: &BaseConsumer, topics: &[Topic], tally: &Mutex<Tally>, stop: &AtomicBool) {
    for topic in topics {
        for partition in 0..topic.partitions {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Ok(status) = status(consumer, &topic.name, partition) {
                lock(tally).note(status);
            }
        }
    }
}

/// The first offset is read before the committed one: the other way round, a commit between the two
/// would look like a loss.
fn status(consumer: &BaseConsumer, topic: &str, partition: i32) -> KafkaResult<LogStatus> {
    let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
    let mut asked = TopicPartitionList::with_capacity(1);
    asked.add_partition(topic, partition);
    let committed = consumer.committed_offsets(asked, PATIENCE)?;
    let committed =
        committed.find_partition(topic, partition).and_then(|partition| match partition.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        });
    Ok(LogStatus { topic: topic.to_owned(), partition, low, high, committed })
}

/// Says so, loudly, when there are more dropped records than last told.
fn tell(tally: &Mutex<Tally>, group: &str, told: &mut Option<(Instant, u64)>) {
    let dropped = lock(tally).dropped_unread();
    let total = dropped.iter().map(|partition| partition.records).sum::<u64>();
    let quiet = match told {
        None => total == 0,
        Some((when, known)) => total == *known || when.elapsed() < REMINDER,
    };
    if quiet {
        return;
    }
    *told = Some((Instant::now(), total));
    let places: Vec<String> =
        dropped.iter().map(|at| format!("{}[{}]: {}", at.topic, at.partition, at.records)).collect();
    // Somebody may have closed the terminal.
    let _ = writeln!(
        std::io::stderr(),
        "\nSANDBOX: {total} RECORDS DROPPED UNREAD ({}). The embedded Kafka keeps the newest 5 MB or \
         100,000 message sets of a partition, and group {group} had not committed past these. \
         Produce more slowly, or take a real Kafka.\n",
        places.join(", ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(low: i64, committed: Option<i64>) -> LogStatus {
        LogStatus { topic: "streaming".into(), partition: 0, low, high: 1_000, committed }
    }

    #[test]
    fn records_dropped_after_they_were_committed_are_no_loss() {
        let mut tally = Tally::default();
        assert_eq!(tally.note(at(0, None)), 0);
        assert_eq!(tally.note(at(100, Some(100))), 0);
        assert_eq!(tally.note(at(150, Some(400))), 0);
        assert_eq!(tally.dropped_unread(), []);
    }

    #[test]
    fn records_dropped_before_they_were_committed_are_counted_once() {
        let mut tally = Tally::default();
        assert_eq!(tally.note(at(130, Some(100))), 30);
        assert_eq!(tally.note(at(130, Some(100))), 0, "the same gap again");
        assert_eq!(tally.note(at(150, Some(100))), 20, "the gap has grown");
        assert_eq!(tally.note(at(150, Some(300))), 0, "the group has jumped over it");
        assert_eq!(tally.note(at(310, Some(300))), 10, "a second gap");
        let dropped = DroppedUnread { topic: "streaming".into(), partition: 0, records: 60 };
        assert_eq!(tally.dropped_unread(), [dropped]);
    }

    #[test]
    fn a_group_that_has_committed_nothing_has_read_nothing() {
        let mut tally = Tally::default();
        assert_eq!(tally.note(at(5, None)), 5);
    }
}
