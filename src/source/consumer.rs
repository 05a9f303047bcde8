//! Making a worker's consumer, with queues that fit the byte budget.
//!
//! librdkafka fetches ahead into a queue. What is in there is part of the budget, and is thrown away
//! when a partition has to be paused, so the queue is small: a fortieth of the budget for all workers
//! together keeps what is fetched twice well under a tenth.
//!
//! A fetch answers with whole batches of records, at least one, and a compressed batch is unpacked
//! whole, whatever the queue's limit. So a fetch is smaller still: all workers together ask each
//! broker for half a MiB at a time, which is 25 MiB once unpacked when records compress 50 to 1.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::context::WorkerContext;
use super::statistics;
use crate::azure::TokenCache;
use crate::config::Kafka;
use crate::kafka::{self, Contact, Context, SetupError};

/// The consumer of a worker.
pub type WorkerConsumer = BaseConsumer<WorkerContext>;

/// The least that a client's queue may hold.
const SMALLEST_QUEUE: u64 = 64 << 10;

/// What all workers together ask one broker for at a time, and the least that one asks for.
const FETCHES: u64 = 512 << 10;
const SMALLEST_FETCH: u64 = 32 << 10;

/// Which part of the byte budget the queues of all clients take together.
const QUEUES_PART: u64 = 40;

/// The largest answer that the client takes and the largest buffer it unpacks a batch into, which grows
/// threefold at a time from twice the packed size: with 100 MB, its default, a batch of 1 MB packed
/// 60 to 1 would count as broken. Who has larger ones raises the budget.
const SMALLEST_LIMIT: u64 = 200_000_000;
const BUDGETS_LIMIT: u64 = 4;

/// How long the group waits for a member that has to give partitions up, and how long a worker may
/// stand still before its partitions go to others: never less than a hand-over may take.
const LONGEST_REBALANCE: Duration = Duration::from_mins(5);
const BESIDES_HAND_OVER: Duration = Duration::from_mins(1);

/// Why there is no consumer.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Something of the configuration cannot be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The client cannot be made.
    #[error("the Kafka client cannot be made: {0}")]
    Kafka(#[from] KafkaError),
}

/// How much one client may fetch ahead, in bytes.
pub fn queue_bytes(max_bytes: u64, workers: usize) -> u64 {
    (max_bytes / QUEUES_PART / workers.max(1) as u64).max(SMALLEST_QUEUE)
}

/// How much one client asks a broker for at a time, in bytes. A larger batch of records still comes,
/// alone.
pub fn fetch_bytes(max_bytes: u64, workers: usize) -> u64 {
    let share = (FETCHES / workers.max(1) as u64).max(SMALLEST_FETCH);
    share.min(queue_bytes(max_bytes, workers))
}

/// The largest batch that one client unpacks, in bytes.
fn unpacked_limit(max_bytes: u64) -> u64 {
    (max_bytes.saturating_mul(BUDGETS_LIMIT)).clamp(SMALLEST_LIMIT, i32::MAX as u64)
}

/// How long the group waits for one member. `hand_over` is how long a revoked partition may take to
/// settle and commit.
fn rebalance_timeout(hand_over: Duration) -> Duration {
    LONGEST_REBALANCE.max(hand_over + BESIDES_HAND_OVER)
}

/// Makes the consumer of a worker and subscribes it. A revoked partition may take as long as
/// `hand_over` to settle and commit.
pub fn subscribe(
    kafka: &Kafka,
    max_bytes: u64,
    hand_over: Duration,
    worker: usize,
    tokens: Option<TokenCache>,
    contact: Arc<Contact>,
) -> Result<WorkerConsumer, ConsumerError> {
    contact.begins();
    let purpose = format!("worker-{worker}");
    let mut config = kafka::consumer(kafka, &purpose)?;
    let (queue, fetch) = (queue_bytes(max_bytes, kafka.workers), fetch_bytes(max_bytes, kafka.workers));
    limit(&mut config, max_bytes, queue, fetch);
    config
        .set("max.poll.interval.ms", rebalance_timeout(hand_over).as_millis().to_string())
        .set("statistics.interval.ms", statistics::INTERVAL_MILLIS.to_string())
        .set("queued.min.messages", "20000")
        // How soon a client looks again whether its full queue has room; a second would be the default.
        .set("fetch.queue.backoff.ms", "10");
    let context = WorkerContext::new(Context::new(purpose, tokens).reporting_to(contact));
    let consumer: WorkerConsumer = config.create_with_context(context)?;
    let topics: Vec<&str> = kafka.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}

/// Limits what a consumer holds, in bytes: ahead of its reader, and of one answer of a broker.
fn limit(config: &mut ClientConfig, max_bytes: u64, queue: u64, fetch: u64) {
    config
        .set("receive.message.max.bytes", unpacked_limit(max_bytes).to_string())
        .set("queued.max.messages.kbytes", (queue >> 10).to_string())
        .set("fetch.max.bytes", fetch.to_string())
        .set("fetch.message.max.bytes", fetch.to_string())
        // librdkafka wants fetch.max.bytes to be no smaller than this, which means producers.
        .set("message.max.bytes", "1000");
}

/// Makes a consumer that looks at one place of one partition, to see whether it can be read.
pub fn for_probing<C: ConsumerContext>(
    kafka: &Kafka,
    max_bytes: u64,
    context: C,
) -> Result<BaseConsumer<C>, ConsumerError> {
    let mut config = kafka::consumer(kafka, "probe")?;
    // What a worker cannot unpack, a probe must not find readable.
    limit(&mut config, max_bytes, SMALLEST_QUEUE, SMALLEST_QUEUE);
    config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "50");
    Ok(config.create_with_context(context)?)
}

/// Makes a consumer for questions only: offsets, limits, sizes of topics. It joins no group, and has
/// to be polled now and then so that it can renew its sign-in.
pub fn for_questions(
    kafka: &Kafka,
    tokens: Option<TokenCache>,
    contact: Arc<Contact>,
) -> Result<Arc<BaseConsumer<Context>>, ConsumerError> {
    contact.begins();
    let mut config = kafka::consumer(kafka, "questions")?;
    config.set("statistics.interval.ms", statistics::INTERVAL_MILLIS.to_string());
    Ok(Arc::new(config.create_with_context(Context::new("questions", tokens).reporting_to(contact))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_waits_longer_than_a_hand_over_takes() {
        assert_eq!(rebalance_timeout(Duration::from_secs(30)), Duration::from_mins(5));
        assert_eq!(rebalance_timeout(Duration::from_mins(10)), Duration::from_mins(11));
    }

    #[test]
    fn the_budget_says_how_large_a_batch_may_be() {
        assert_eq!(unpacked_limit(64 << 20), 256 << 20);
        assert_eq!(unpacked_limit(8 << 20), 200_000_000);
        assert_eq!(unpacked_limit(u64::MAX), i32::MAX as u64);
    }

    #[test]
    fn the_queues_of_all_clients_stay_a_small_part_of_the_budget() {
        assert_eq!(queue_bytes(64 << 20, 2), (64 << 20) / 80);
        assert_eq!(queue_bytes(8 << 20, 16), 64 << 10);
        assert_eq!(fetch_bytes(64 << 20, 2), 256 << 10);
        assert_eq!(fetch_bytes(64 << 20, 64), 32 << 10);
    }
}
