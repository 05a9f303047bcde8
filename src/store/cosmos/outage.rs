//! When nobody takes the writes for long, another region may do so by now.
//!
//! Microsoft's client (`azure_data_cosmos_driver` 1.0) asks the account again when a region answers that it takes no
//! writes (403/3), but not when it cannot be reached (`driver/pipeline/retry_evaluation.rs`): it goes on trying that region
//! until it reads the account in its own time, every five minutes. And after the wall clock was set back it does not ask
//! for so long either, as it measures by that clock how long ago it did. A new connection knows the account of now.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::core::write::verdict::Status;

/// How long it may go on before a new connection is tried, and how long that may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// When to look next, if nobody takes the writes, and when that was seen last.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<(Instant, Instant)>>);

impl Outage {
    /// Takes note of an answer; gives whether it is time to connect anew.
    pub(super) fn is_long(&self, status: Status, now: Instant) -> bool {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_nobody(status) {
            *due = None;
            return false;
        }
        // One failure of long ago and one of now are no outage.
        let going_on = due.filter(|(_, seen)| now < *seen + 4 * PATIENCE);
        let at = going_on.map_or(now + PATIENCE, |(at, _)| at);
        let is_due = at <= now;
        // The attempt, and then as long again.
        *due = Some((if is_due { now + 2 * PATIENCE } else { at }, now));
        is_due
    }
}

/// No answer at all, or that of a region that takes no writes. Substatuses of 20000 and more are the client's.
fn is_nobody(status: Status) -> bool {
    matches!((status.code, status.substatus), (408 | 503, 20_000..) | (403, 3 | 1008))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_when_nobody_has_taken_writes_for_long_and_then_now_and_again() {
        let outage = Outage::default();
        let begun = Instant::now();
        let long = |code, substatus, seconds| {
            outage.is_long(Status::new(code, substatus), begun + Duration::from_secs(seconds))
        };
        assert!(!long(503, 20_003, 0));
        assert!(!long(408, 20_008, 4));
        assert!(long(403, 3, 5));
        assert!(!long(503, 20_003, 6), "it is being tried");
        assert!(!long(503, 20_003, 14));
        assert!(long(503, 20_003, 15));
        assert!(!long(503, 20_003, 100), "that is another one");
    }

    #[test]
    fn whoever_answers_is_somebody() {
        let outage = Outage::default();
        let begun = Instant::now();
        for status in [Status::new(201, 0), Status::new(429, 3200), Status::new(503, 0), Status::new(401, 0)]
        {
            assert!(!outage.is_long(Status::new(503, 20_003), begun));
            assert!(!outage.is_long(status, begun + PATIENCE));
            assert!(
                !outage.is_long(Status::new(503, 20_003), begun + PATIENCE),
                "{status} has begun it anew"
            );
            outage.is_long(status, begun);
        }
    }
}
