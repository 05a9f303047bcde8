//! What a worker has read and not written yet. Kafka may have deleted it by now, so that nobody else can
//! make up for it: it has to be written before the worker commits past it, or reads on behind it.

use std::collections::{BTreeMap, BTreeSet};

use streamproc::core::kafka::{Epoch, Offset, TopicPartition};
use streamproc::core::settled::Settlement;

/// The records in hand, by the epoch in which they were read.
#[derive(Default)]
pub(crate) struct Hand(BTreeMap<TopicPartition, BTreeMap<Epoch, BTreeSet<Offset>>>);

impl Hand {
    pub(crate) fn takes(&mut self, name: &TopicPartition, epoch: Epoch, offset: Offset) {
        self.0.entry(name.clone()).or_default().entry(epoch).or_default().insert(offset);
    }

    pub(crate) fn ended(&mut self, name: &TopicPartition, epoch: Epoch, settlements: &[Settlement]) {
        if let Some(offsets) = self.0.get_mut(name).and_then(|epochs| epochs.get_mut(&epoch)) {
            for settlement in settlements {
                offsets.remove(&settlement.offset);
            }
        }
    }

    /// It has the partition no more.
    pub(crate) fn lets_go(&mut self, name: &TopicPartition) {
        self.0.remove(name);
    }

    /// It reads the partition in this epoch. Gives the oldest of what it had from earlier ones.
    pub(crate) fn lets_go_before(&mut self, name: &TopicPartition, epoch: Epoch) -> Option<Offset> {
        let earlier = self.0.get_mut(name)?.extract_if(..epoch, |_, _| true);
        earlier.filter_map(|(_, offsets)| offsets.first().copied()).min()
    }

    /// The oldest of a partition.
    pub(crate) fn first(&self, name: &TopicPartition) -> Option<Offset> {
        self.0.get(name)?.values().filter_map(|offsets| offsets.first().copied()).min()
    }
}
