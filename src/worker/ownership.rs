//! Which partitions the workers of this process own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::core::kafka::TopicPartition;

/// Which partitions the workers of this process own.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    by_worker: Arc<Mutex<BTreeMap<usize, Vec<TopicPartition>>>>,
    count: Arc<AtomicUsize>,
    changed: Arc<Notify>,
}

impl Ownership {
    /// Nobody owns anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many partitions are owned, kept up to date.
    pub fn count(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.count)
    }

    /// Whether some worker owns this partition.
    pub fn owns(&self, topic: &str, partition: i32) -> bool {
        let by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        by_worker.values().flatten().any(|name| name.partition == partition && *name.topic == *topic)
    }

    /// Whether a worker beside this one owns this partition: when one has lost it and not noticed yet,
    /// another may have it already.
    pub(super) fn owns_beside(&self, worker: usize, name: &TopicPartition) -> bool {
        let by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        by_worker.iter().any(|(other, owned)| *other != worker && owned.contains(name))
    }

    /// Tells the one who waits that what depends on it has changed.
    pub fn tell_changed(&self) {
        self.changed.notify_one();
    }

    /// Waits until something is owned or no longer owned since the last time. For one who waits.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn set(&self, worker: usize, owned: Vec<TopicPartition>) {
        let mut by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        by_worker.insert(worker, owned);
        self.count.store(by_worker.values().map(Vec::len).sum(), Ordering::Relaxed);
        self.changed.notify_one();
    }
}
