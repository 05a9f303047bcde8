//! A limit on request units.
//!
//! A balance fills at the limit's rate. A request may start while it is not negative, and takes what it is
//! expected to cost; its answer, which says what it has cost, puts that right. So the limit is kept to within
//! one request and what the balance may hold.

use std::time::{Duration, Instant};

/// How far the balance may fill: a pause is not made up for by a burst of more than this.
const BURST: Duration = Duration::from_millis(200);

/// How long anybody waits before the balance is looked at again: the limit may have been raised.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The shortest wait. What is missing may be so little that it would be no time at all, and asking again at
/// once would give the same answer until the clock moves.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A balance of request units.
#[derive(Debug)]
pub struct Governor {
    /// Request units a second; none is no limit.
    limit: Option<f64>,
    balance: f64,
    updated: Instant,
}

impl Governor {
    /// A governor without a limit.
    pub fn new(now: Instant) -> Self {
        Self { limit: None, balance: 0.0, updated: now }
    }

    /// Sets the limit in request units a second; none lifts it.
    pub fn set_limit(&mut self, limit: Option<f64>, now: Instant) {
        self.refill(now);
        self.limit = limit;
    }

    /// Takes what a request will cost, or has cost beyond that; gives back what is negative.
    pub fn charge(&mut self, request_units: f64, now: Instant) {
        self.refill(now);
        if self.limit.is_some() {
            self.balance -= request_units;
        }
    }

    /// How long a request has to wait before it asks again; nothing if it may start.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        self.refill(now);
        match self.limit {
            Some(limit) if self.balance < 0.0 => {
                let wait = Duration::try_from_secs_f64(-self.balance / limit).unwrap_or(LONGEST_WAIT);
                Some(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT))
            }
            _ => None,
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.updated);
        self.updated = now;
        match self.limit {
            Some(limit) => {
                let most = limit * BURST.as_secs_f64();
                self.balance = (self.balance + limit * passed.as_secs_f64()).min(most);
            }
            None => self.balance = 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_nothing_waits() {
        let now = Instant::now();
        let mut governor = Governor::new(now);
        governor.charge(1e9, now);
        assert_eq!(governor.wait(now), None);
    }

    #[test]
    fn ten_seconds_of_work_cost_ten_seconds_of_the_limit() {
        let start = Instant::now();
        let mut now = start;
        let mut governor = Governor::new(now);
        governor.set_limit(Some(1_000.0), now);
        let mut spent = 0.0;
        while now.duration_since(start) < Duration::from_secs(10) {
            if let Some(wait) = governor.wait(now) {
                now += wait;
            } else {
                governor.charge(70.0, now);
                spent += 70.0;
                now += Duration::from_millis(1);
            }
        }
        assert!((9_500.0..=10_500.0).contains(&spent), "{spent}");
    }

    #[test]
    fn nobody_waits_long_for_a_limit_that_may_be_raised() {
        let now = Instant::now();
        let mut governor = Governor::new(now);
        governor.set_limit(Some(0.0), now);
        governor.charge(10.0, now);
        assert!(governor.wait(now).is_some_and(|wait| wait <= LONGEST_WAIT));
        governor.set_limit(Some(1_000.0), now);
        assert_eq!(governor.wait(now), Some(Duration::from_millis(10)));
    }

    #[test]
    fn whoever_has_to_wait_waits_until_the_clock_has_moved() {
        let now = Instant::now();
        let mut governor = Governor::new(now);
        governor.set_limit(Some(100.0), now);
        governor.charge(1e-12, now);
        assert!(governor.wait(now) >= Some(SHORTEST_WAIT), "{:?}", governor.wait(now));
    }

    #[test]
    fn a_pause_is_not_made_up_for_by_a_burst() {
        let mut now = Instant::now();
        let mut governor = Governor::new(now);
        governor.set_limit(Some(1_000.0), now);
        now += Duration::from_hours(1);
        let mut burst = 0.0;
        while governor.wait(now).is_none() {
            governor.charge(10.0, now);
            burst += 10.0;
        }
        assert!(burst <= 220.0, "{burst}");
    }
}
