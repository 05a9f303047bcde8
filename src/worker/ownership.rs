//! Which partitions the workers of this process own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::kafka::TopicPartition;

/// Which partitions the workers of this process own.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    by_worker: Arc<Mutex<BTreeMap<usize, Vec<TopicPartition>>>>,
    count: Arc<AtomicUsize>,
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

    pub(super) fn set(&self, worker: usize, owned: Vec<TopicPartition>) {
        let mut by_worker = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        by_worker.insert(worker, owned);
        self.count.store(by_worker.values().map(Vec::len).sum(), Ordering::Relaxed);
    }
}
