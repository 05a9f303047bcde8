//! What Kafka holds, and what became of it.

use std::collections::BTreeSet;

use super::super::{Finding, Instant, Offset, OutOfRangePolicy, Stretch};

/// One partition, with everything that ever was in it.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Offsets of records, those deleted included; there are gaps.
    records: BTreeSet<i64>,
    unreadable: BTreeSet<i64>,
    /// What is below is deleted.
    pub(super) low: i64,
    /// What the group has committed.
    pub(super) committed: i64,
    stored: BTreeSet<i64>,
    /// Read by the worker and not ended.
    in_hand: BTreeSet<i64>,
    /// What may be missing: deleted before anybody had read it, or left out by policy.
    excused: BTreeSet<i64>,
    /// Where policy would have the worker go on, when it asked last.
    jump_to: i64,
    /// Unreadable places that a probe has found.
    found_unreadable: BTreeSet<i64>,
}

/// The client's view of a partition.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) position: i64,
    pub(super) paused: bool,
    /// The offset to read does not exist: the client has stopped, and waits to be told where to read.
    pub(super) stopped: bool,
}

impl Reader {
    pub(super) fn at(position: i64) -> Self {
        Self { position, paused: false, stopped: false }
    }
}

/// A rebalance that waits for the worker's answer.
#[derive(Debug)]
pub(super) enum Open {
    Give,
    Revoke { partitions: BTreeSet<i32>, since: Instant },
}

/// What comes next when a partition is read.
pub(super) enum Next {
    Record(i64),
    Unreadable(i64),
    Deleted,
    End,
}

impl Log {
    pub(super) fn high(&self) -> i64 {
        self.records.last().map_or(0, |last| last + 1)
    }

    pub(super) fn produce(&mut self, gap: i64, is_readable: bool) {
        let offset = self.records.last().map_or(0, |last| last + gap);
        self.records.insert(offset);
        if !is_readable {
            self.unreadable.insert(offset);
        }
    }

    pub(super) fn next(&self, position: i64) -> Next {
        if position < self.low {
            return Next::Deleted;
        }
        match self.records.range(position..).next() {
            None => Next::End,
            Some(offset) if self.unreadable.contains(offset) => Next::Unreadable(*offset),
            Some(offset) => Next::Record(*offset),
        }
    }

    pub(super) fn taken(&mut self, offset: i64) {
        self.in_hand.insert(offset);
    }

    pub(super) fn settled(&mut self, offset: i64) {
        self.in_hand.remove(&offset);
        self.stored.insert(offset);
    }

    /// Time passes, or space is short. What somebody has in hand is not excused.
    pub(super) fn delete_below(&mut self, low: i64) {
        self.low = self.low.max(low.min(self.high()));
        self.excuse_deleted();
    }

    /// Records that do not fit are not in hand any more.
    pub(super) fn let_go(&mut self, keep: impl Fn(i64) -> bool) {
        self.in_hand.retain(|offset| keep(*offset));
        self.excuse_deleted();
    }

    fn excuse_deleted(&mut self) {
        let deleted = self.records.range(..self.low).filter(|offset| !self.in_hand.contains(offset));
        self.excused.extend(deleted.copied().collect::<Vec<_>>());
    }

    /// The worker looks where the partition begins and ends.
    pub(super) fn limits(&mut self, policy: OutOfRangePolicy) -> (Offset, Offset) {
        self.jump_to = if policy == OutOfRangePolicy::Latest { self.high() } else { self.low };
        (Offset(self.low), Offset(self.high()))
    }

    /// The worker has said that it goes on elsewhere by policy.
    pub(super) fn jumped(&mut self) {
        let passed = self.records.range(..self.jump_to).filter(|offset| !self.in_hand.contains(offset));
        self.excused.extend(passed.copied().collect::<Vec<_>>());
    }

    /// The worker has said that it leaves out what cannot be read.
    pub(super) fn left_out(&mut self) {
        self.excused.append(&mut self.found_unreadable);
    }

    /// Reads a stretch, as a probe does.
    pub(super) fn probe(&mut self, stretch: Stretch) -> Finding {
        let mut at = stretch.from.0;
        loop {
            match self.next(at) {
                Next::Deleted if at == stretch.from.0 => return Finding::Gone,
                Next::Deleted => return Finding::Unknown,
                Next::Record(offset) if offset >= stretch.to.0 => return Finding::Readable,
                Next::Record(offset) => at = offset + 1,
                Next::End => return Finding::Readable,
                Next::Unreadable(first) => {
                    let readable = |offset: &&i64| !self.unreadable.contains(offset);
                    let resumes_at = self.records.range(first..).find(readable).copied();
                    let end = resumes_at.unwrap_or(first);
                    self.found_unreadable.extend(self.unreadable.range(first..end));
                    return Finding::Unreadable { at: Offset(at), resumes_at: resumes_at.map(Offset) };
                }
            }
        }
    }

    pub(super) fn repair(&mut self) {
        self.unreadable.pop_first();
    }

    pub(super) fn heal(&mut self) {
        self.unreadable.clear();
    }

    /// Another member of the group stores and commits some records.
    pub(super) fn others_go_on(&mut self, count: usize) {
        for _ in 0..count {
            match self.next(self.committed.max(self.low)) {
                Next::Record(offset) => {
                    self.stored.insert(offset);
                    self.committed = offset + 1;
                }
                Next::Unreadable(_) | Next::Deleted | Next::End => return,
            }
        }
    }

    /// An operator decides where the group goes on.
    pub(super) fn set_offset(&mut self) {
        self.committed = self.low;
        self.excused.extend(self.records.range(..self.low).copied().collect::<Vec<_>>());
    }

    /// Records below the offset that are neither stored nor excused.
    pub(super) fn lost_below(&self, offset: i64) -> impl Iterator<Item = i64> {
        let ended = |record: &&i64| self.stored.contains(record) || self.excused.contains(record);
        self.records.range(..offset).filter(move |record| !ended(record)).copied()
    }

    /// Whether everything that can be read is committed.
    pub(super) fn is_done(&self) -> bool {
        self.records.range(self.committed.max(self.low)..).next().is_none()
    }
}
