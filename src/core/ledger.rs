//! Which records of one partition are done with, and how far the commit may go.
//!
//! Invariants, each held by a test against a slow model below:
//! - the frontier is never above a record that is not settled (nothing is lost);
//! - the frontier never goes backwards;
//! - the frontier never passes the barrier, while there is one.

use std::collections::VecDeque;

use super::kafka::Offset;
use super::mutant::{self, Mutant};
use super::settled::Settlement;

/// The records of one assignment of one partition that are not done with, in offset order.
#[derive(Debug)]
pub struct Ledger {
    /// From the oldest unsettled record on.
    open: VecDeque<Entry>,
    unsettled: usize,
    /// The next offset to read: one after the last observed record.
    position: Offset,
    barrier: Option<Offset>,
}

#[derive(Debug)]
struct Entry {
    offset: Offset,
    timestamp_millis: Option<i64>,
    settled: bool,
}

/// A record came with an offset that was read before. After a seek the Kafka client can deliver a
/// few records from before it; they are to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset} was read before: the next one is {position}")]
pub struct ReadBefore {
    /// The record's offset.
    pub offset: Offset,
    /// Where reading had got to.
    pub position: Offset,
}

impl Ledger {
    /// An assignment that begins to read at `start`.
    pub fn new(start: Offset) -> Self {
        Self { open: VecDeque::new(), unsettled: 0, position: start, barrier: None }
    }

    /// Notes that a record was read. Gaps are no loss: compaction and transactions leave them.
    pub fn observe(&mut self, offset: Offset, timestamp_millis: Option<i64>) -> Result<(), ReadBefore> {
        if offset < self.position {
            return Err(ReadBefore { offset, position: self.position });
        }
        self.open.push_back(Entry { offset, timestamp_millis, settled: false });
        self.unsettled += 1;
        self.position = offset.next();
        Ok(())
    }

    /// Notes how records ended. One that is not open (settled before, or never observed) is ignored.
    pub fn settle(&mut self, settlements: &[Settlement]) {
        for settlement in settlements {
            let found = self.open.binary_search_by_key(&settlement.offset, |entry| entry.offset);
            if let Ok(index) = found
                && !self.open[index].settled
            {
                self.open[index].settled = true;
                self.unsettled -= 1;
            }
        }
        while self.open.front().is_some_and(|entry| entry.settled) {
            self.open.pop_front();
        }
    }

    /// Everything below this offset is done with: what may be committed.
    pub fn frontier(&self) -> Offset {
        if mutant::is(Mutant::CommitsBeforeWrites) {
            return self.position;
        }
        if mutant::is(Mutant::CommitsPastGaps)
            && let Some(last) = self.open.iter().rev().find(|entry| entry.settled)
        {
            return last.offset.next();
        }
        let contiguous = self.open.front().map_or(self.position, |entry| entry.offset);
        self.barrier.map_or(contiguous, |barrier| barrier.min(contiguous))
    }

    /// The next offset to read.
    pub fn position(&self) -> Offset {
        self.position
    }

    /// How many records are not settled.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Keeps the frontier at or below a place, because the Kafka client may have passed over records
    /// there; none lifts it.
    pub fn set_barrier(&mut self, barrier: Option<Offset>) {
        self.barrier = barrier;
    }

    /// The offset of the oldest record that is not settled.
    pub fn oldest_unsettled(&self) -> Option<Offset> {
        self.open.front().map(|entry| entry.offset)
    }

    /// The timestamp of the oldest record that is not settled, in milliseconds since 1970.
    pub fn oldest_timestamp_millis(&self) -> Option<i64> {
        self.open.front().and_then(|entry| entry.timestamp_millis)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::core::settled::Settled;

    fn stored(offset: i64) -> Settlement {
        Settlement { offset: Offset(offset), outcome: Settled::Stored }
    }

    #[test]
    fn the_frontier_stops_at_the_first_unsettled_record() {
        let mut ledger = Ledger::new(Offset(10));
        for offset in [10, 11, 14] {
            ledger.observe(Offset(offset), None).unwrap();
        }
        ledger.settle(&[stored(11), stored(14)]);
        assert_eq!(ledger.frontier(), Offset(10));
        ledger.settle(&[stored(10)]);
        assert_eq!(ledger.frontier(), Offset(15));
        assert_eq!(ledger.unsettled(), 0);
    }

    #[test]
    fn a_gap_is_no_loss() {
        let mut ledger = Ledger::new(Offset(0));
        ledger.observe(Offset(5), None).unwrap();
        assert_eq!(ledger.frontier(), Offset(5));
        ledger.observe(Offset(90), None).unwrap();
        ledger.settle(&[stored(5)]);
        assert_eq!(ledger.frontier(), Offset(90));
    }

    #[test]
    fn a_record_from_before_a_seek_is_refused() {
        let mut ledger = Ledger::new(Offset(10));
        ledger.observe(Offset(12), None).unwrap();
        let refused = ReadBefore { offset: Offset(12), position: Offset(13) };
        assert_eq!(ledger.observe(Offset(12), None), Err(refused));
        assert_eq!(ledger.unsettled(), 1);
    }

    #[test]
    fn the_barrier_holds_the_frontier_until_it_is_lifted() {
        let mut ledger = Ledger::new(Offset(0));
        ledger.observe(Offset(0), None).unwrap();
        ledger.set_barrier(Some(Offset(1)));
        ledger.observe(Offset(7), None).unwrap();
        ledger.settle(&[stored(0), stored(7)]);
        assert_eq!(ledger.frontier(), Offset(1));
        ledger.set_barrier(None);
        assert_eq!(ledger.frontier(), Offset(8));
    }

    #[test]
    fn the_oldest_timestamp_is_that_of_the_first_unsettled_record() {
        let mut ledger = Ledger::new(Offset(0));
        ledger.observe(Offset(0), Some(100)).unwrap();
        ledger.observe(Offset(1), Some(200)).unwrap();
        assert_eq!(ledger.oldest_timestamp_millis(), Some(100));
        ledger.settle(&[stored(0)]);
        assert_eq!(ledger.oldest_timestamp_millis(), Some(200));
        ledger.settle(&[stored(1)]);
        assert_eq!(ledger.oldest_timestamp_millis(), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Observe(i64),
        Settle(Vec<i64>),
        Raise,
        Lift,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4i64).prop_map(Step::Observe),
            4 => prop::collection::vec(0..60i64, 0..6).prop_map(Step::Settle),
            1 => Just(Step::Raise),
            1 => Just(Step::Lift),
        ]
    }

    proptest! {
        /// The model keeps every record that ever was and scans all of them.
        #[test]
        fn the_ledger_agrees_with_a_slow_model(steps in prop::collection::vec(step(), 1..120)) {
            let mut ledger = Ledger::new(Offset(3));
            let mut model: BTreeMap<i64, bool> = BTreeMap::new();
            let mut position = 3;
            let mut barrier: Option<i64> = None;
            let mut before = Offset(3);
            for step in steps {
                match step {
                    Step::Observe(gap) => {
                        let offset = position + gap;
                        ledger.observe(Offset(offset), None).unwrap();
                        model.insert(offset, false);
                        position = offset + 1;
                    }
                    Step::Settle(offsets) => {
                        ledger.settle(&offsets.iter().copied().map(stored).collect::<Vec<_>>());
                        for offset in offsets {
                            if let Some(settled) = model.get_mut(&offset) {
                                *settled = true;
                            }
                        }
                    }
                    Step::Raise => {
                        barrier = barrier.or(Some(position));
                        ledger.set_barrier(barrier.map(Offset));
                    }
                    Step::Lift => {
                        ledger.set_barrier(None);
                        barrier = None;
                    }
                }
                let open = model.iter().find(|(_, settled)| !**settled).map_or(position, |(offset, _)| *offset);
                let expected = barrier.map_or(open, |barrier| barrier.min(open));
                prop_assert_eq!(ledger.frontier(), Offset(expected));
                prop_assert_eq!(ledger.unsettled(), model.values().filter(|settled| !**settled).count());
                prop_assert!(ledger.frontier() >= before, "the frontier went backwards");
                before = ledger.frontier();
            }
        }
    }
}
