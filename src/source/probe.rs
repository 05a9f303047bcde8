//! Looking whether a stretch of a partition can be read, and where reading works again if not.
//!
//! When librdkafka (2.12) cannot read a batch of records, its error names no partition, and what it
//! does next is not to be relied on. After a wrong checksum its reader stands in the middle of the
//! batch (`rd_kafka_msgset_reader_v2` passes a length where a position is wanted): it takes what
//! follows for another batch, of an offset made up of the bytes found there, and fetches on from
//! that; or it fetches the same batch again and again, as it does after an unknown compression. So
//! each doubtful stretch is read again by a consumer that reads nothing else, and what that meets
//! first is about this stretch. What it says after an error is not listened to: every further look
//! is made by a new one.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use super::consumer;
use super::errors::Meaning;
use super::lists;
use super::lookup::limits;
use crate::azure::TokenCache;
use crate::config::Kafka;
use crate::core::kafka::{Offset, TopicPartition};
use crate::core::worker::{Finding, Stretch};
use crate::kafka::Context;

/// How long it may take until a record, an error, or the end of the partition is met.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// With what to look.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// Where Kafka is.
    pub kafka: &'a Kafka,
    /// The byte budget of the process.
    pub max_bytes: u64,
    /// Where the sign-in's tokens come from.
    pub tokens: Option<&'a TokenCache>,
    /// Once it is true, nobody waits for what would be found any more.
    pub ending: &'a AtomicBool,
}

impl Means<'_> {
    fn are_void(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

/// Reads a stretch of a partition until it is clear whether all of it can be read.
pub fn probe(means: Means<'_>, name: &TopicPartition, stretch: Stretch) -> Finding {
    probe_within(TIME_LIMIT, means, name, stretch)
}

fn probe_within(limit: Duration, means: Means<'_>, name: &TopicPartition, stretch: Stretch) -> Finding {
    let look = |from| if means.are_void() { None } else { Reader::open(limit, means, name, from) };
    let Some(reader) = look(stretch.from) else { return Finding::Unknown };
    let mut at = stretch.from;
    loop {
        match reader.next() {
            Met::Record(offset) if offset >= stretch.to => return Finding::Readable,
            Met::Record(offset) => at = offset.next(),
            Met::End => return Finding::Readable,
            Met::Gone => return Finding::Gone,
            // Some batches it cannot read without a word (of an old format that they are not).
            Met::Nothing if reader.end(name).is_some_and(|end| end > at) => {
                return Finding::Unreadable { at, resumes_at: None };
            }
            Met::Nothing => return Finding::Unknown,
            Met::Unreadable(trouble) => {
                let end = reader.end(name);
                let met = |place| look(place).map_or(Met::Nothing, |reader| reader.next());
                let resumes_at = end.and_then(|end| end_of(&trouble, at, end, met));
                return Finding::Unreadable { at, resumes_at };
            }
        }
    }
}

/// What is met first when reading on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Met {
    Record(Offset),
    End,
    Unreadable(Trouble),
    Gone,
    Nothing,
}

/// Why a batch cannot be read. The text has the batch's own offset, size and checksum, so that two
/// batches do not have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    code: RDKafkaErrorCode,
    text: String,
}

impl Trouble {
    /// Whether another place gives the same trouble: it lies in the same batch. When it is the broker
    /// who cannot read, its text has the place that was asked for, and the next place that works is
    /// the end.
    fn is_met_with(&self, other: &Self) -> bool {
        self.code == other.code && (self.text == other.text || self.code == RDKafkaErrorCode::InvalidMessage)
    }
}

/// Finds the first place behind `at` where something else is met: first in growing steps, then by
/// halves. Reading from any place within a batch gives the whole batch.
fn end_of(trouble: &Trouble, at: Offset, end: Offset, met: impl Fn(Offset) -> Met) -> Option<Offset> {
    let is_same = |place| match met(place) {
        Met::Unreadable(other) => Some(trouble.is_met_with(&other)),
        Met::Record(_) | Met::End => Some(false),
        Met::Gone | Met::Nothing => None,
    };
    let (mut inside, mut step) = (at.0, 1);
    let mut outside = loop {
        let place = (at.0 + step).min(end.0);
        if place <= inside {
            return None;
        }
        if !is_same(Offset(place))? {
            break place;
        }
        (inside, step) = (place, step * 2);
    };
    while outside - inside > 1 {
        let middle = inside + (outside - inside) / 2;
        if is_same(Offset(middle))? {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    Some(Offset(outside))
}

/// A consumer that reads one partition from one place.
struct Reader<'a> {
    consumer: BaseConsumer<Listener>,
    limit: Duration,
    means: Means<'a>,
}

/// Keeps what the client says about its last error: only there is more than a code.
struct Listener {
    base: Context,
    last_error: Mutex<String>,
}

impl Listener {
    fn last_error(&self) -> MutexGuard<'_, String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Listener {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.base.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "a probe's Kafka client reports an error");
        reason.clone_into(&mut self.last_error());
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.base.generate_oauth_token(config)
    }
}

impl ConsumerContext for Listener {}

impl<'a> Reader<'a> {
    fn open(limit: Duration, means: Means<'a>, name: &TopicPartition, from: Offset) -> Option<Self> {
        let Means { kafka, max_bytes, tokens, .. } = means;
        let context = Listener { base: Context::new("probe", tokens.cloned()), last_error: Mutex::default() };
        let opened = consumer::for_probing(kafka, max_bytes, context)
            .map_err(|error| error.to_string())
            .and_then(|consumer| {
                lists::at([(name, from)])
                    .and_then(|list| consumer.assign(&list))
                    .map_err(|error| error.to_string())?;
                Ok(consumer)
            });
        match opened {
            Ok(consumer) => Some(Self { consumer, limit, means }),
            Err(error) => {
                tracing::warn!(partition = %name, error, "a place cannot be probed");
                None
            }
        }
    }

    fn next(&self) -> Met {
        let begun = Instant::now();
        while begun.elapsed() < self.limit && !self.means.are_void() {
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(record)) => return Met::Record(Offset(record.offset())),
                Some(Err(KafkaError::PartitionEOF(_))) => return Met::End,
                Some(Err(error)) => match (Meaning::of(&error), error.rdkafka_error_code()) {
                    (Meaning::Unreadable, Some(code)) => {
                        let text = self.consumer.context().last_error().clone();
                        return Met::Unreadable(Trouble { code, text });
                    }
                    (Meaning::OffsetGone, _) => return Met::Gone,
                    (Meaning::Fatal, _) => return Met::Nothing,
                    _ => {}
                },
            }
        }
        Met::Nothing
    }

    fn end(&self, name: &TopicPartition) -> Option<Offset> {
        if self.means.are_void() {
            return None;
        }
        limits(&self.consumer, name).ok().map(|(_, high)| high)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::super::lookup;
    use super::*;

    fn trouble(text: &str) -> Trouble {
        Trouble { code: RDKafkaErrorCode::BadMessage, text: text.to_owned() }
    }

    /// A partition of batches, each with its first offset, the one behind it, and whether it can be read.
    fn partition<const N: usize>(batches: [(i64, i64, bool); N]) -> impl Fn(Offset) -> Met {
        move |place: Offset| match batches.iter().find(|(_, behind, _)| place.0 < *behind) {
            None => Met::End,
            Some((first, _, true)) => Met::Record(place.max(Offset(*first))),
            Some((first, _, false)) => Met::Unreadable(trouble(&format!("batch {first}"))),
        }
    }

    #[test]
    fn reading_works_again_behind_the_batch_and_not_behind_the_next() {
        for behind in 11..60 {
            let met = partition([(10, behind, false), (behind, behind + 1, true), (behind + 2, 100, false)]);
            assert_eq!(end_of(&trouble("batch 10"), Offset(10), Offset(100), met), Some(Offset(behind)));
        }
    }

    #[test]
    fn another_unreadable_batch_is_another_matter() {
        let met = partition([(10, 15, false), (15, 20, false), (20, 30, true)]);
        assert_eq!(end_of(&trouble("batch 10"), Offset(8), Offset(30), &met), Some(Offset(15)));
        assert_eq!(end_of(&trouble("batch 15"), Offset(15), Offset(30), met), Some(Offset(20)));
    }

    #[test]
    fn the_end_of_the_partition_is_the_end_of_its_last_batch() {
        let met = partition([(10, 15, false)]);
        assert_eq!(end_of(&trouble("batch 10"), Offset(10), Offset(15), &met), Some(Offset(15)));
        // The last stable offset lies before it: nothing is known of what is behind.
        assert_eq!(end_of(&trouble("batch 10"), Offset(10), Offset(12), met), None);
    }

    /// The look and the question about the end have a limit each, and the client ends soon after.
    #[test]
    fn a_partition_without_a_leader_or_a_broker_is_given_up_within_the_limits() {
        let limit = Duration::from_secs(1);
        for is_up in [true, false] {
            let cluster = MockCluster::new(1).unwrap();
            cluster.create_topic("t", 1, 1).unwrap();
            if is_up {
                cluster.partition_leader("t", 0, None).unwrap();
            } else {
                cluster.broker_down(1).unwrap();
            }
            let kafka = Kafka::new(cluster.bootstrap_servers(), ["t"]);
            let ending = AtomicBool::new(false);
            let means = Means { kafka: &kafka, max_bytes: 64 << 20, tokens: None, ending: &ending };
            let (name, stretch) = (TopicPartition::new("t", 0), Stretch { from: Offset(0), to: Offset(0) });
            let begun = Instant::now();
            assert_eq!(probe_within(limit, means, &name, stretch), Finding::Unknown, "{is_up}");
            let most = limit + lookup::TIME_LIMIT + Duration::from_secs(2);
            assert!(begun.elapsed() < most, "{is_up}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn what_cannot_be_found_out_is_not_guessed() {
        assert_eq!(end_of(&trouble("a"), Offset(1), Offset(9), |_| Met::Nothing), None);
    }
}
