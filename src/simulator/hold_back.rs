//! How far the simulator may run ahead of its reader on an embedded Kafka.
//!
//! librdkafka's mock cluster keeps at most 5 MB or 100,000 message sets of a partition and drops
//! the oldest beyond that without a word (`rd_kafka_mock_msgset_new` in librdkafka 2.12.1). What
//! the reader has not committed by then is lost, and no count at the end could tell why. So on
//! such a cluster at most 4 MB and 80,000 records a partition stand uncommitted.
//!
//! Pure: told what was sent, what was delivered and what is committed, it answers whether there is
//! room. Two things are taken at their worst, so that the limit holds whatever happens: records in
//! flight count against every partition, because which one they go to is known only afterwards; and
//! a message set is as small as one record.

use std::collections::{BTreeMap, VecDeque};

const MAX_BYTES: u64 = 4_000_000;
const MAX_RECORDS: u64 = 80_000;

/// What a record costs beside its key and value: the header of a batch (61 bytes) and of a record,
/// should it travel alone.
const FRAMING: u64 = 80;

/// The uncommitted records of every partition.
#[derive(Debug, Default)]
pub(super) struct HoldBack {
    in_flight: Amount,
    partitions: BTreeMap<i32, Backlog>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Amount {
    records: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Backlog {
    committed: i64,
    total: Amount,
    /// Offset and size of each record, in the order of the offsets.
    uncommitted: VecDeque<(i64, Amount)>,
}

impl HoldBack {
    /// What a record of so many bytes of key and value costs.
    fn record(bytes: usize) -> Amount {
        Amount { records: 1, bytes: bytes as u64 + FRAMING }
    }

    /// A record was handed to the producer.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.in_flight.add(Self::record(bytes));
    }

    /// A record is no longer in flight and is in no partition.
    pub(super) fn failed(&mut self, bytes: usize) {
        self.in_flight.subtract(Self::record(bytes));
    }

    /// A record stands in a partition.
    pub(super) fn delivered(&mut self, partition: i32, offset: i64, bytes: usize) {
        let record = Self::record(bytes);
        self.in_flight.subtract(record);
        self.partitions.entry(partition).or_default().push(offset, record);
    }

    /// Records that stood in a partition before we came: the last one's offset, how many, and how
    /// large one of them is.
    pub(super) fn found(&mut self, partition: i32, last: i64, records: u64, bytes_each: u64) {
        let amount = Amount { records, bytes: records * (bytes_each + FRAMING) };
        self.partitions.entry(partition).or_default().push(last, amount);
    }

    /// The reader will read on from this offset.
    pub(super) fn committed(&mut self, partition: i32, next: i64) {
        let backlog = self.partitions.entry(partition).or_default();
        backlog.committed = backlog.committed.max(next);
        while let Some(&(offset, amount)) = backlog.uncommitted.front() {
            if offset >= backlog.committed {
                break;
            }
            backlog.uncommitted.pop_front();
            backlog.total.subtract(amount);
        }
    }

    /// How full the fullest partition may be: 1 and more means there is no room.
    pub(super) fn fullness(&self) -> f64 {
        let none = Amount::default();
        let fullest = self.partitions.values().map(|backlog| backlog.total).chain([none]).map(|amount| {
            let bytes = (amount.bytes + self.in_flight.bytes) as f64 / MAX_BYTES as f64;
            let records = (amount.records + self.in_flight.records) as f64 / MAX_RECORDS as f64;
            bytes.max(records)
        });
        fullest.fold(0.0, f64::max)
    }
}

impl Backlog {
    fn push(&mut self, offset: i64, amount: Amount) {
        if offset >= self.committed {
            self.uncommitted.push_back((offset, amount));
            self.total.add(amount);
        }
    }
}

impl Amount {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, other: Self) {
        self.records = self.records.saturating_sub(other.records);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sends and delivers records of 1,000 bytes until there is no room, to one partition.
    fn fill(hold_back: &mut HoldBack, partition: i32) -> u64 {
        let mut records = 0;
        while hold_back.fullness() < 1.0 {
            hold_back.sent(1000);
            hold_back.delivered(partition, records, 1000);
            records += 1;
        }
        records as u64
    }

    #[test]
    fn nobody_reads_and_four_megabytes_are_the_end() {
        let records = fill(&mut HoldBack::default(), 0);
        assert_eq!(records, 4_000_000_u64.div_ceil(1000 + FRAMING));
    }

    #[test]
    fn small_records_end_at_eighty_thousand_of_them_at_the_latest() {
        let mut hold_back = HoldBack::default();
        hold_back.found(0, 79_998, 79_999, 0);
        // 79,999 empty records are over 4 MB with their framing; take the bytes away to see the count.
        hold_back.partitions.get_mut(&0).unwrap_or(&mut Backlog::default()).total.bytes = 0;
        assert!(hold_back.fullness() < 1.0);
        hold_back.sent(0);
        assert!(hold_back.fullness() >= 1.0);
    }

    #[test]
    fn a_commit_makes_room_up_to_its_offset() {
        let mut hold_back = HoldBack::default();
        let records = fill(&mut hold_back, 3);
        hold_back.committed(3, 1);
        assert!(hold_back.fullness() < 1.0, "one record of room");
        hold_back.committed(3, records as i64);
        assert!(hold_back.fullness().abs() < f64::EPSILON);
    }

    #[test]
    fn one_full_partition_is_enough_to_wait() {
        let mut hold_back = HoldBack::default();
        fill(&mut hold_back, 1);
        hold_back.delivered(0, 0, 10);
        hold_back.committed(0, 1);
        assert!(hold_back.fullness() >= 1.0);
    }

    #[test]
    fn records_in_flight_count_against_every_partition() {
        let mut hold_back = HoldBack::default();
        for _ in 0..4000 {
            hold_back.sent(1000);
        }
        assert!(hold_back.fullness() >= 1.0);
        for _ in 0..4000 {
            hold_back.failed(1000);
        }
        assert!(hold_back.fullness().abs() < f64::EPSILON);
    }

    #[test]
    fn what_stood_there_before_counts_until_all_of_it_is_committed() {
        let mut hold_back = HoldBack::default();
        hold_back.found(0, 4999, 5000, 1000);
        assert!(hold_back.fullness() >= 1.0);
        hold_back.committed(0, 4999);
        assert!(hold_back.fullness() >= 1.0);
        hold_back.committed(0, 5000);
        assert!(hold_back.fullness() < 1.0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Send,
        Deliver(u8),
        Commit(u8, u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Send),
            (0..3_u8).prop_map(Step::Deliver),
            (0..3_u8, 0..20_u8).prop_map(|(partition, next)| Step::Commit(partition, next)),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against lists of records kept whole: the fullest partition is the one with the most
        /// bytes at or after the highest offset committed, and all that is in flight.
        #[test]
        fn fullness_is_what_counting_every_record_gives(steps in steps()) {
            let mut hold_back = HoldBack::default();
            let (mut in_flight, mut logs, mut committed) = (0_u64, [0_i64; 3], [0_i64; 3]);
            for step in steps {
                match step {
                    Step::Send => { hold_back.sent(920); in_flight += 1; }
                    Step::Deliver(partition) => if in_flight > 0 {
                        in_flight -= 1;
                        hold_back.delivered(i32::from(partition), logs[usize::from(partition)], 920);
                        logs[usize::from(partition)] += 1;
                    },
                    Step::Commit(partition, next) => {
                        hold_back.committed(i32::from(partition), i64::from(next));
                        let highest = &mut committed[usize::from(partition)];
                        *highest = (*highest).max(i64::from(next));
                    }
                }
                let uncommitted = (0..3).map(|p| (committed[p]..logs[p]).count() as u64).max().unwrap_or(0);
                let expected = ((uncommitted + in_flight) * 1000) as f64 / 4_000_000.0;
                prop_assert!((hold_back.fullness() - expected).abs() < 1e-9);
            }
        }
    }
}
