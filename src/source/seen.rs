//! What this process has seen the group have: the offsets committed last.
//!
//! Kafka deletes a group's offsets with a topic. A topic that was made anew then looks like one that the
//! group is new to, and `kafka.start` would pass over its records without a word. Whoever has seen an
//! offset knows better, also after it has lost the partition and got it back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::core::kafka::{Offset, TopicPartition};

/// The offsets that the group had when it was last asked or told, shared by the workers of a process.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<BTreeMap<TopicPartition, Offset>>>);

impl Seen {
    /// The group has this offset.
    pub fn note(&self, partition: &TopicPartition, offset: Offset) {
        self.lock().insert(partition.clone(), offset);
    }

    /// The offset that the group had of a partition, if it ever had one.
    pub fn of(&self, partition: &TopicPartition) -> Option<Offset> {
        self.lock().get(partition).copied()
    }

    /// Whether the group ever had an offset of a topic.
    pub fn knows(&self, topic: &str) -> bool {
        self.lock().keys().any(|partition| *partition.topic == *topic)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Offset>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
