//! Looking at the whole group now and then: are the topics there, how far behind are all of their
//! partitions, what part of the request units is ours.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::questions::Client;
use crate::config::Kafka;
use crate::core::kafka::TopicPartition;
use crate::kafka::Context;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::source::lookup::{LookupError, committed, limits, partition_count};
use crate::worker::Ownership;

/// How often.
const EVERY: Duration = Duration::from_secs(10);

/// How soon after being told to look again.
const SOON: Duration = Duration::from_millis(500);

const MISSING: &str = "topic_missing";
const FORBIDDEN: &str = "topic_forbidden";
const TROUBLES: [&str; 2] = [MISSING, FORBIDDEN];

/// Watches the group.
pub(super) struct Observer {
    pub(super) questions: Client,
    pub(super) kafka: Kafka,
    pub(super) ownership: Ownership,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
}

impl Observer {
    /// Looks until stopped, now and then and whenever it is told to. `share` is told which part of
    /// all partitions this process owns.
    pub(super) async fn run(self, stop: CancellationToken, look_again: Arc<Notify>, share: impl Fn(f64)) {
        let observer = Arc::new(self);
        loop {
            let looking = Arc::clone(&observer);
            match tokio::task::spawn_blocking(move || looking.look()).await {
                Ok(Some(total)) => {
                    let own = observer.ownership.count().load(Ordering::Relaxed);
                    share(own as f64 / f64::from(total.max(1)));
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the group could not be looked at"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
                () = look_again.notified() => tokio::time::sleep(SOON).await,
            }
        }
    }

    /// Looks once. Gives how many partitions the topics have together, if that is known.
    fn look(&self) -> Option<i32> {
        let consumer = self.questions.current();
        let mut total = Some(0);
        for topic in &self.kafka.topics {
            let looked = self.look_at(&consumer, topic);
            match &looked {
                Ok(_) => TROUBLES.iter().for_each(|reason| self.health.clear(reason, topic)),
                Err(LookupError::NoTopic(_)) => {
                    let detail = format!(
                        "there is no topic {topic}: make it, or correct kafka.topics; it is looked for every ten seconds"
                    );
                    self.raise(MISSING, topic, detail);
                }
                Err(error) if error.is_forbidden_topic() => {
                    self.raise(FORBIDDEN, topic, error.with_advice(&self.kafka));
                }
                Err(error) => tracing::debug!(%error, topic, "a topic could not be looked at"),
            }
            total = looked.ok().and_then(|partitions| total.map(|total| total + partitions));
        }
        total
    }

    /// One of the two, and not the other.
    fn raise(&self, reason: &'static str, topic: &str, detail: String) {
        TROUBLES.iter().filter(|other| **other != reason).for_each(|other| self.health.clear(other, topic));
        self.health.raise(reason, topic, detail);
    }

    fn look_at(&self, consumer: &BaseConsumer<Context>, topic: &str) -> Result<i32, LookupError> {
        let count = partition_count(consumer, topic)?;
        if !self.ownership.owns(topic, 0) {
            // Whoever owns partition 0 reports for the group.
            for partition in 0..count {
                let _ = self.metrics.group_lag.remove_label_values(&[topic, &partition.to_string()]);
            }
            return Ok(count);
        }
        let offsets = committed(consumer, topic, count)?;
        for (partition, offset) in (0..count).zip(offsets) {
            let name = TopicPartition::new(topic, partition);
            let (low, high) = limits(consumer, &name)?;
            let from = offset.unwrap_or(low).max(low);
            Metrics::of_partition(&self.metrics.group_lag, &name).set((high.0 - from.0).max(0));
        }
        Ok(count)
    }
}
