//! When each event is due.
//!
//! Due times are counted from the start, never from the event before: a slice that is late is
//! caught up by the next, and an asked rate does not drift however long the run.

use std::time::Duration;

/// An asked rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: u64,
}

impl Pace {
    /// So many events a second; 0 is as fast as it goes, and is no pace.
    pub(super) fn new(per_second: u64) -> Option<Self> {
        (per_second > 0).then_some(Self { per_second })
    }

    /// How many events are due so long after the start.
    pub(super) fn due(self, elapsed: Duration) -> u64 {
        let due = elapsed.as_nanos() * u128::from(self.per_second) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// How long after the start this many events are due.
    pub(super) fn time_of(self, events: u64) -> Duration {
        let per_second = u128::from(self.per_second);
        let nanos = (u128::from(events) * 1_000_000_000).div_ceil(per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How late we are when only so many have been sent so long after the start.
    pub(super) fn behind(self, elapsed: Duration, sent: u64) -> Duration {
        elapsed.saturating_sub(self.time_of(sent + 1))
    }

    /// Whether so many events in so long are within 1% of what was asked.
    pub(super) fn held(self, elapsed: Duration, sent: u64) -> bool {
        let due = self.due(elapsed);
        // One event of grace, for runs of a few.
        sent + due / 100 + 1 >= due
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_rate_is_no_pace() {
        assert!(Pace::new(0).is_none());
    }

    #[test]
    fn a_thousand_a_second_is_one_a_millisecond() {
        let pace = Pace::new(1000).unwrap();
        assert_eq!(pace.due(Duration::ZERO), 0);
        assert_eq!(pace.due(Duration::from_micros(999)), 0);
        assert_eq!(pace.due(Duration::from_millis(1)), 1);
        assert_eq!(pace.due(Duration::from_hours(1)), 3_600_000);
        assert_eq!(pace.time_of(3_600_000), Duration::from_hours(1));
    }

    #[test]
    fn late_is_counted_from_when_the_next_event_was_due() {
        let pace = Pace::new(10).unwrap();
        assert_eq!(pace.behind(Duration::from_millis(100), 0), Duration::ZERO);
        assert_eq!(pace.behind(Duration::from_millis(150), 0), Duration::from_millis(50));
        assert_eq!(pace.behind(Duration::from_secs(2), 10), Duration::from_millis(900));
    }

    #[test]
    fn a_rate_is_held_within_one_percent() {
        let pace = Pace::new(1000).unwrap();
        assert!(pace.held(Duration::from_secs(10), 10_000));
        assert!(pace.held(Duration::from_secs(10), 9_900));
        assert!(!pace.held(Duration::from_secs(10), 9_890));
    }

    proptest! {
        /// An event is due at its time and not a nanosecond before.
        #[test]
        fn time_of_is_the_first_moment_an_event_is_due(rate in 1_u64..1_000_000, events in 1_u64..1_000_000_000) {
            let pace = Pace::new(rate).unwrap();
            let time = pace.time_of(events);
            prop_assert!(pace.due(time) >= events);
            prop_assert!(pace.due(time.saturating_sub(Duration::from_nanos(1))) < events);
        }
    }
}
