//! Looking at the whole group now and then: are the topics there, how far behind are all of their
//! partitions, what part of the request units is ours.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use tokio_util::sync::CancellationToken;

use crate::core::kafka::TopicPartition;
use crate::kafka::Context;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::source::lookup::{LookupError, committed, limits, partition_count};
use crate::worker::Ownership;

/// How often.
const EVERY: Duration = Duration::from_secs(10);

/// Watches the group.
pub(super) struct Observer {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) topics: Vec<String>,
    pub(super) ownership: Ownership,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
}

impl Observer {
    /// Looks until stopped. `share` is told which part of all partitions this process owns.
    pub(super) async fn run(self, stop: CancellationToken, share: impl Fn(f64)) {
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
            }
        }
    }

    /// Looks once. Gives how many partitions the topics have together, if that is known.
    fn look(&self) -> Option<i32> {
        let mut total = Some(0);
        for topic in &self.topics {
            match self.look_at(topic) {
                Ok(partitions) => {
                    self.health.clear("topic_missing", topic);
                    total = total.map(|total| total + partitions);
                }
                Err(LookupError::NoTopic(_)) => {
                    let detail = format!(
                        "there is no topic {topic}: make it, or correct kafka.topics; it is looked for every ten seconds"
                    );
                    self.health.raise("topic_missing", topic.clone(), detail);
                    total = None;
                }
                Err(error) => {
                    tracing::debug!(%error, topic, "a topic could not be looked at");
                    total = None;
                }
            }
        }
        total
    }

    fn look_at(&self, topic: &str) -> Result<i32, LookupError> {
        let count = partition_count(&*self.consumer, topic)?;
        if !self.ownership.owns(topic, 0) {
            // Whoever owns partition 0 reports for the group.
            for partition in 0..count {
                let _ = self.metrics.group_lag.remove_label_values(&[topic, &partition.to_string()]);
            }
            return Ok(count);
        }
        let offsets = committed(&*self.consumer, topic, count)?;
        for (partition, offset) in (0..count).zip(offsets) {
            let name = TopicPartition::new(topic, partition);
            let (low, high) = limits(&*self.consumer, &name)?;
            let from = offset.unwrap_or(low).max(low);
            Metrics::of_partition(&self.metrics.group_lag, &name).set((high.0 - from.0).max(0));
        }
        Ok(count)
    }
}
