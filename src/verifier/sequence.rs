//! What one device's stored events say about gaps and order.
//!
//! Kept as *runs*: consecutive sequence numbers stored in the same second, in the order they were
//! read. A run takes 16 bytes, whether it holds one event or a thousand.

/// Consecutive sequence numbers, both ends included.
pub(super) type Numbers = (u64, u64);

/// The stored events of one device.
#[derive(Debug, Default)]
pub(super) struct DeviceLog {
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    /// How many follow the first.
    more: u32,
    /// When they were stored, in seconds since 1970.
    stored_at: u32,
}

impl Run {
    fn last(self) -> u64 {
        self.first + u64::from(self.more)
    }
}

impl DeviceLog {
    /// An event with this number was stored in this second.
    pub(super) fn push(&mut self, number: u64, stored_at: u32) {
        if let Some(run) = self.runs.last_mut()
            && run.stored_at == stored_at
            && run.more < u32::MAX
            && run.last().checked_add(1) == Some(number)
        {
            run.more += 1;
            return;
        }
        self.runs.push(Run { first: number, more: 0, stored_at });
    }

    /// Every number from 0 to the highest that is not there.
    pub(super) fn missing_of_all(&self) -> Vec<Numbers> {
        let present = self.present();
        let highest = present.last().map_or(0, |last| last.1);
        gaps(&present, 0, highest)
    }

    /// The numbers that are not there between the middle ones, as the sample counts them: of the
    /// numbers present, in order, the first and the last tenth are left out, because at the time of
    /// asking their neighbours may still be on the way.
    pub(super) fn missing_of_middle(&self) -> Vec<Numbers> {
        let present = self.present();
        let count: u64 = present.iter().map(|(first, last)| last - first + 1).sum();
        // The sample keeps row r of n, from 1, where 0.1 <= r / n <= 0.9.
        let (lowest, highest) = (count.div_ceil(10), count * 9 / 10);
        match (nth(&present, lowest), nth(&present, highest)) {
            (Some(from), Some(to)) if from < to => gaps(&present, from, to),
            _ => Vec::new(),
        }
    }

    /// The events that were stored after an event of a higher number. Stored times have whole
    /// seconds: what changed places within one second cannot be seen.
    pub(super) fn out_of_sequence(&self) -> Vec<Numbers> {
        let mut by_time = self.runs.clone();
        by_time.sort_unstable_by_key(|run| (run.stored_at, run.first));
        // The highest number of all seconds before, and of this second too.
        let (mut before, mut so_far) = (None::<u64>, None::<u64>);
        let mut out = Vec::new();
        let mut second = None;
        for run in by_time {
            if second != Some(run.stored_at) {
                (before, second) = (so_far, Some(run.stored_at));
            }
            if let Some(before) = before.filter(|before| run.first < *before) {
                out.push((run.first, run.last().min(before - 1)));
            }
            so_far = so_far.max(Some(run.last()));
        }
        out
    }

    /// How many events there are, each copy of a number counted.
    pub(super) fn events(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.more) + 1).sum()
    }

    /// The numbers that are there, each once, as ranges in order with a gap between any two.
    fn present(&self) -> Vec<Numbers> {
        let mut runs: Vec<Numbers> = self.runs.iter().map(|run| (run.first, run.last())).collect();
        runs.sort_unstable();
        let mut present: Vec<Numbers> = Vec::new();
        for (first, last) in runs {
            match present.last_mut() {
                Some(range) if first <= range.1.saturating_add(1) => range.1 = range.1.max(last),
                _ => present.push((first, last)),
            }
        }
        present
    }
}

/// The nth number present, from 1.
fn nth(present: &[Numbers], nth: u64) -> Option<u64> {
    let mut left = nth.checked_sub(1)?;
    for &(first, last) in present {
        let count = last - first + 1;
        if left < count {
            return Some(first + left);
        }
        left -= count;
    }
    None
}

/// What is not present from one number to another.
fn gaps(present: &[Numbers], from: u64, to: u64) -> Vec<Numbers> {
    let mut gaps = Vec::new();
    let mut next = from;
    for &(first, last) in present {
        if first > to {
            break;
        }
        if first > next {
            gaps.push((next, first - 1));
        }
        next = next.max(last.saturating_add(1));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn log(events: &[(u64, u32)]) -> DeviceLog {
        let mut log = DeviceLog::default();
        for &(number, stored_at) in events {
            log.push(number, stored_at);
        }
        log
    }

    fn numbered(numbers: impl IntoIterator<Item = u64>) -> DeviceLog {
        log(&numbers.into_iter().map(|number| (number, 7)).collect::<Vec<_>>())
    }

    fn flat(ranges: &[Numbers]) -> Vec<u64> {
        let mut numbers: Vec<_> = ranges.iter().flat_map(|&(first, last)| first..=last).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn consecutive_events_of_a_second_are_one_run() {
        assert_eq!(numbered(0..1000).runs.len(), 1);
        assert_eq!(log(&[(0, 1), (1, 1), (2, 2), (3, 2)]).runs.len(), 2);
        assert_eq!(size_of::<Run>(), 16);
    }

    #[test]
    fn of_all_numbers_the_first_count_too() {
        assert_eq!(numbered([2, 3, 6]).missing_of_all(), [(0, 1), (4, 5)]);
        assert_eq!(numbered([]).missing_of_all(), []);
    }

    #[test]
    fn the_first_and_the_last_tenth_may_have_gaps() {
        // 0 is far from the rest, 90 too; the middle is whole.
        assert_eq!(numbered([0].into_iter().chain(30..48).chain([90])).missing_of_middle(), []);
        // 30 of them: three at each end. The gap after the fourth counts.
        let gap = numbered((0..4).chain(6..32));
        assert_eq!(gap.missing_of_middle(), [(4, 5)]);
        let gap = numbered((0..2).chain(4..32));
        assert_eq!(gap.missing_of_middle(), []);
        assert_eq!(gap.missing_of_all(), [(2, 3)]);
    }

    #[test]
    fn a_later_second_with_a_lower_number_is_out_of_sequence() {
        assert_eq!(log(&[(0, 1), (1, 2), (2, 3)]).out_of_sequence(), []);
        assert_eq!(log(&[(0, 1), (2, 2), (1, 3)]).out_of_sequence(), [(1, 1)]);
        // Within a second the order cannot be seen.
        assert_eq!(log(&[(0, 1), (2, 2), (1, 2)]).out_of_sequence(), []);
    }

    #[test]
    fn the_largest_number_there_is_does_no_harm() {
        let log = numbered([u64::MAX, 0, u64::MAX]);
        assert_eq!(log.missing_of_all(), [(1, u64::MAX - 1)]);
        assert_eq!(log.events(), 3);
    }

    proptest! {
        /// Against the definitions, spelled out over every pair of events.
        #[test]
        fn runs_answer_as_lists_of_every_event_do(
            events in prop::collection::vec((0_u64..60, 0_u32..8), 0..80),
            in_order: bool,
        ) {
            let mut events = events;
            if in_order {
                events.sort_unstable();
            }
            let log = log(&events);
            prop_assert_eq!(log.events(), events.len() as u64);

            let present: BTreeSet<u64> = events.iter().map(|event| event.0).collect();
            let all: Vec<u64> = (0..present.last().copied().unwrap_or(0)).filter(|n| !present.contains(n)).collect();
            prop_assert_eq!(flat(&log.missing_of_all()), all);

            let rows: Vec<u64> = present.iter().copied().collect();
            let kept: Vec<u64> = (1..).zip(&rows)
                .filter(|(row, _)| 10 * row >= rows.len() && 10 * row <= 9 * rows.len())
                .map(|(_, number)| *number).collect();
            let between = kept.windows(2).flat_map(|pair| pair[0] + 1..pair[1]).collect::<Vec<u64>>();
            prop_assert_eq!(flat(&log.missing_of_middle()), between);

            let mut out: Vec<u64> = events.iter()
                .filter(|(number, at)| events.iter().any(|(other, before)| other > number && before < at))
                .map(|(number, _)| *number).collect();
            out.sort_unstable();
            prop_assert_eq!(flat(&log.out_of_sequence()), out);
        }
    }
}
