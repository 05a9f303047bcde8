//! Kafka's logs: the records of each partition, what of them is deleted or cannot be read, and which
//! offsets the group has committed.

use std::collections::{BTreeMap, BTreeSet};

use streamproc::core::kafka::{Offset, TopicPartition};
use streamproc::core::worker::{Finding, Stretch};

use super::events::Number;

/// The partitions of all topics.
pub(crate) struct Kafka {
    logs: BTreeMap<TopicPartition, Log>,
    /// Until this is over, the group's coordinator keeps no commit, or keeps it and does not say so.
    pub(crate) commits_fail: bool,
}

/// One partition.
#[derive(Default)]
pub(crate) struct Log {
    records: BTreeMap<i64, Number>,
    /// What is below is deleted.
    low: i64,
    unreadable: BTreeSet<i64>,
    /// What a probe has found to be unreadable, and policy may leave out.
    found_unreadable: BTreeSet<i64>,
    /// What the group has committed.
    pub(crate) committed: Option<i64>,
}

/// What comes next when a partition is read.
pub(crate) enum Next {
    Record(i64, Number),
    Unreadable(i64),
    /// The offset does not exist any more.
    Gone,
    End,
}

impl Kafka {
    pub(crate) fn new(partitions: &[TopicPartition]) -> Self {
        let logs = partitions.iter().map(|name| (name.clone(), Log::default()));
        Self { logs: logs.collect(), commits_fail: false }
    }

    pub(crate) fn log(&self, name: &TopicPartition) -> &Log {
        &self.logs[name]
    }

    pub(crate) fn log_mut(&mut self, name: &TopicPartition) -> &mut Log {
        self.logs.get_mut(name).expect("a partition of this world")
    }

    /// What the group has committed of each partition of a topic, in order.
    pub(crate) fn committed(&self, topic: &str) -> Vec<Option<Offset>> {
        let of_topic = self.logs.iter().filter(|(name, _)| *name.topic == *topic);
        of_topic.map(|(_, log)| log.committed.map(Offset)).collect()
    }

    /// Broken replicas are repaired.
    pub(crate) fn repair(&mut self) {
        self.logs.values_mut().for_each(|log| log.unreadable.clear());
    }

    /// Partitions of which something is left to be done, and how far the group has got there.
    pub(crate) fn lagging(&self) -> Vec<(&TopicPartition, Option<i64>, i64)> {
        let lagging = self.logs.iter().filter(|(_, log)| log.is_lagging());
        lagging.map(|(name, log)| (name, log.committed, log.end())).collect()
    }
}

impl Log {
    /// Where a record would go that leaves so many offsets free.
    pub(crate) fn next_offset(&self, gap: i64) -> i64 {
        self.end() + gap
    }

    pub(crate) fn append(&mut self, offset: i64, number: Number, is_readable: bool) {
        self.records.insert(offset, number);
        if !is_readable {
            self.unreadable.insert(offset);
        }
    }

    pub(crate) fn low(&self) -> i64 {
        self.low
    }

    pub(crate) fn end(&self) -> i64 {
        self.records.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    pub(crate) fn next(&self, position: i64) -> Next {
        if position < self.low {
            return Next::Gone;
        }
        match self.records.range(position..).next() {
            None => Next::End,
            Some((offset, _)) if self.unreadable.contains(offset) => Next::Unreadable(*offset),
            Some((offset, number)) => Next::Record(*offset, *number),
        }
    }

    /// Time has passed, or space is short.
    pub(crate) fn delete_below(&mut self, low: i64) {
        self.low = self.low.max(low.min(self.end()));
    }

    /// Whether the group's offset does not exist in the topic.
    pub(crate) fn is_out_of_range(&self) -> bool {
        self.committed.is_some_and(|at| !(self.low..=self.end()).contains(&at))
    }

    fn is_lagging(&self) -> bool {
        self.records.range(self.committed.unwrap_or(0).max(self.low)..).next().is_some()
    }

    /// Reads a stretch, as a probe does.
    pub(crate) fn probe(&mut self, stretch: Stretch) -> Finding {
        let mut at = stretch.from.0;
        loop {
            match self.next(at) {
                Next::Gone if at == stretch.from.0 => return Finding::Gone,
                Next::Gone => return Finding::Unknown,
                Next::Record(offset, _) if offset >= stretch.to.0 => return Finding::Readable,
                Next::Record(offset, _) => at = offset + 1,
                Next::End => return Finding::Readable,
                Next::Unreadable(first) => {
                    let is_readable = |offset: &&i64| !self.unreadable.contains(offset);
                    let resumes_at = self.records.range(first..).map(|(offset, _)| offset).find(is_readable);
                    let resumes_at = resumes_at.copied();
                    self.found_unreadable.extend(self.unreadable.range(first..resumes_at.unwrap_or(first)));
                    return Finding::Unreadable { at: Offset(at), resumes_at: resumes_at.map(Offset) };
                }
            }
        }
    }

    /// What a probe has found to be unreadable is left out by policy: the records' numbers.
    pub(crate) fn leave_out(&mut self) -> Vec<Number> {
        let left_out = std::mem::take(&mut self.found_unreadable);
        left_out.into_iter().filter_map(|offset| self.records.get(&offset).copied()).collect()
    }
}
