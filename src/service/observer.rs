//! Looking at the whole group now and then: are the topics there, how far behind are all of their
//! partitions, what part of the request units is ours.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// How many partitions each topic had when it was last looked at.
    pub(super) partitions: Mutex<BTreeMap<String, i32>>,
}

impl Observer {
    /// Looks until stopped, now and then and whenever it is told to. `share` is told which part of
    /// all partitions this process owns, as soon as that changes.
    pub(super) async fn run(self, stop: CancellationToken, look_again: Arc<Notify>, share: impl Fn(f64)) {
        let observer = Arc::new(self);
        let looking = observer.look_now_and_then(&stop, &look_again);
        let sharing = async {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = observer.ownership.changed() => {}
                }
                observer.share().into_iter().for_each(&share);
            }
        };
        tokio::join!(looking, sharing);
    }

    /// Which part of all partitions this process owns; none while it owns nothing, and so writes nothing.
    /// A topic that could not be looked at yet is read by nobody.
    fn share(&self) -> Option<f64> {
        let own = self.ownership.count().load(Ordering::Relaxed);
        let known: i32 = self.known().values().sum();
        (own > 0).then(|| own as f64 / f64::from(known).max(own as f64))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, i32>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_now_and_then(self: &Arc<Self>, stop: &CancellationToken, look_again: &Notify) {
        loop {
            let looking = Arc::clone(self);
            if let Err(error) = tokio::task::spawn_blocking(move || looking.look()).await {
                tracing::error!(%error, "the group could not be looked at");
            }
            self.ownership.tell_changed();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
                () = look_again.notified() => tokio::time::sleep(SOON).await,
            }
        }
    }

    /// Looks once.
    fn look(&self) {
        let consumer = self.questions.current();
        for topic in &self.kafka.topics {
            let looked = self.look_at(&consumer, topic);
            match &looked {
                Ok(()) => TROUBLES.iter().for_each(|reason| self.health.clear(reason, topic)),
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
        }
    }

    /// One of the two, and not the other.
    fn raise(&self, reason: &'static str, topic: &str, detail: String) {
        TROUBLES.iter().filter(|other| **other != reason).for_each(|other| self.health.clear(other, topic));
        self.health.raise(reason, topic, detail);
    }

    fn look_at(&self, consumer: &BaseConsumer<Context>, topic: &str) -> Result<(), LookupError> {
        let count = partition_count(consumer, topic)?;
        self.known().insert(topic.to_owned(), count);
        if !self.ownership.owns(topic, 0) {
            // Whoever owns partition 0 reports for the group.
            for partition in 0..count {
                let _ = self.metrics.group_lag.remove_label_values(&[topic, &partition.to_string()]);
            }
            return Ok(());
        }
        let offsets = committed(consumer, topic, count)?;
        for (partition, offset) in (0..count).zip(offsets) {
            let name = TopicPartition::new(topic, partition);
            let (low, high) = limits(consumer, &name)?;
            let from = offset.offset().unwrap_or(low).max(low);
            Metrics::of_partition(&self.metrics.group_lag, &name).set((high.0 - from.0).max(0));
        }
        Ok(())
    }
}
