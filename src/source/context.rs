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
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;

use super::lists;
use super::statistics::Statistics;
use crate::core::kafka::TopicPartition;
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
    /// Once a second.
    Statistics(Statistics),
}

/// The context of a worker's consumer.
pub struct WorkerContext {
    base: Context,
    notices: Mutex<Vec<Notice>>,
    last_error: Mutex<String>,
    /// The rebalance that the client waits for an answer to.
    open: Mutex<Option<Rebalance>>,
    has_told: AtomicBool,
    closing: AtomicBool,
}

/// What the group wants.
#[derive(Clone, Debug)]
struct Rebalance {
    gives: bool,
    partitions: TopicPartitionList,
}

impl WorkerContext {
    /// A context that logs and signs in as `base` does.
    pub fn new(base: Context) -> Self {
        Self {
            base,
            notices: Mutex::default(),
            last_error: Mutex::default(),
            open: Mutex::default(),
            has_told: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    /// What the client told since the last time.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *lock(&self.notices))
    }

    /// Whether the client told anything since the last time, if only a line of its log. Polling then
    /// gives no record, but there may be some behind it.
    pub fn take_told(&self) -> bool {
        self.has_told.swap(false, Ordering::Relaxed)
    }

    /// What the client said about its last error.
    pub fn last_error(&self) -> String {
        lock(&self.last_error).clone()
    }

    /// Whether the client waits for the answer to a rebalance.
    pub fn is_rebalancing(&self) -> bool {
        lock(&self.open).is_some()
    }

    /// The rebalance that was noted last has been answered.
    pub fn answered(&self) {
        *lock(&self.open) = None;
    }

    /// From now on rebalances are answered at once: nobody reads notices any more. One that is still
    /// open is answered too, because the client would wait for that for ever.
    pub fn close(&self, consumer: &BaseConsumer<Self>) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(open) = lock(&self.open).take() {
            open.answer(consumer);
        }
    }

    fn tells(&self) {
        self.has_told.store(true, Ordering::Relaxed);
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
        self.tells();
        // A client that ends leaves its group even if it has not joined yet, which librdkafka does not expect.
        let is_expected = facility == "REBALANCE" && self.closing.load(Ordering::Relaxed);
        self.base.log(if is_expected { RDKafkaLogLevel::Debug } else { level }, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        self.tells();
        self.base.stats_raw(json);
        match Statistics::parse(json) {
            Ok(statistics) => self.note(Notice::Statistics(statistics)),
            Err(error) => tracing::debug!(%error, "the Kafka client's statistics cannot be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.tells();
        reason.clone_into(&mut lock(&self.last_error));
        self.base.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.tells();
        self.base.generate_oauth_token(config)
    }
}

impl ConsumerContext for WorkerContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.tells();
        let gives = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let rebalance = Rebalance { gives, partitions: list.clone() };
        if self.closing.load(Ordering::Relaxed) {
            rebalance.answer(consumer);
            return;
        }
        *lock(&self.open) = Some(rebalance);
        let partitions = lists::names(list);
        self.note(if gives {
            Notice::Assigned(partitions)
        } else {
            Notice::Revoked { partitions, lost: consumer.assignment_lost() }
        });
    }
}

impl Rebalance {
    /// Does what the group wants. An error would say that there is nothing to answer any more.
    fn answer(&self, consumer: &BaseConsumer<WorkerContext>) {
        let answered = if self.gives {
            consumer.incremental_assign(&TopicPartitionList::new())
        } else {
            assigned_of(consumer, &self.partitions).and_then(|list| consumer.incremental_unassign(&list))
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "a rebalance could not be answered while the Kafka client was closing");
        }
    }
}

/// Those of the partitions that the client has at present. It refuses to unassign others, and the
/// refusal is no answer to the group.
pub fn assigned_of(
    consumer: &BaseConsumer<WorkerContext>,
    partitions: &TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    let present = consumer.assignment()?;
    let mut list = TopicPartitionList::new();
    for element in partitions.elements() {
        if present.find_partition(element.topic(), element.partition()).is_some() {
            list.add_partition(element.topic(), element.partition());
        }
    }
    Ok(list)
}
