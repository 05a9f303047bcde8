//! What the Kafka client tells a worker between records.
//!
//! Callbacks run on the thread that polls, so they only take notes, which the worker reads right
//! after polling. In particular a rebalance is *not* answered here: the default handler would
//! unassign a revoked partition at once, while its writes are still in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::errors::commit_outcome;
use super::statistics::Statistics;
use crate::core::kafka::{Offset, TopicPartition};
use crate::core::worker::CommitOutcome;
use crate::kafka::Context;

/// Something the client told.
#[derive(Debug)]
pub enum Notice {
    /// The group gave partitions.
    Assigned(Vec<TopicPartition>),
    /// The group wants partitions back.
    Revoked {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Whether others may have them already.
        lost: bool,
    },
    /// A commit was answered.
    Committed(Vec<(TopicPartition, Offset, CommitOutcome)>),
    /// Once a second.
    Statistics(Statistics),
}

/// The context of a worker's consumer.
pub struct WorkerContext {
    base: Context,
    notices: Mutex<Vec<Notice>>,
    last_error: Mutex<String>,
    closing: AtomicBool,
}

impl WorkerContext {
    /// A context that logs and signs in as `base` does.
    pub fn new(base: Context) -> Self {
        Self {
            base,
            notices: Mutex::default(),
            last_error: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }

    /// What the client told since the last time.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *lock(&self.notices))
    }

    /// What the client said about its last error.
    pub fn last_error(&self) -> String {
        lock(&self.last_error).clone()
    }

    /// From now on rebalances are answered at once: nobody reads notices any more.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn note(&self, notice: Notice) {
        lock(&self.notices).push(notice);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for WorkerContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.base.log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        match Statistics::parse(json) {
            Ok(statistics) => self.note(Notice::Statistics(statistics)),
            Err(error) => tracing::debug!(%error, "the Kafka client's statistics cannot be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        reason.clone_into(&mut lock(&self.last_error));
        self.base.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.base.generate_oauth_token(config)
    }
}

impl ConsumerContext for WorkerContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            let answered = if assigned {
                consumer.incremental_assign(list)
            } else {
                consumer.incremental_unassign(list)
            };
            // An empty or lost assignment cannot be given up in part.
            if answered.is_err() {
                let _ = consumer.unassign();
            }
            return;
        }
        let partitions = names(list);
        self.note(if assigned {
            Notice::Assigned(partitions)
        } else {
            Notice::Revoked { partitions, lost: consumer.assignment_lost() }
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let whole = result.err().and_then(|error| error.rdkafka_error_code());
        let answers = offsets
            .elements()
            .iter()
            .filter_map(|element| {
                let offset = element.offset().to_raw()?;
                let own = element.error().err().and_then(|error| error.rdkafka_error_code());
                let outcome = commit_outcome(own.or(whole));
                Some((TopicPartition::new(element.topic(), element.partition()), Offset(offset), outcome))
            })
            .collect();
        self.note(Notice::Committed(answers));
    }
}

/// The partitions of a list.
pub fn names(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|element| TopicPartition::new(element.topic(), element.partition())).collect()
}

/// The error that the client put beside a partition, if any.
pub fn element_error(result: KafkaResult<()>) -> Option<RDKafkaErrorCode> {
    result.err().and_then(|error| error.rdkafka_error_code())
}
