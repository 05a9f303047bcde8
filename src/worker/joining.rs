//! When the workers of a process join the group.
//!
//! A group without members waits for more of them before it gives out partitions
//! (`group.initial.rebalance.delay.ms` of the broker, three seconds by default), and begins to wait anew for each
//! one that joins meanwhile ([KIP-134]). So where the group has no members, one worker joins, and the others when
//! it has been answered: the first event is stored a delay earlier, and the partitions that then move do so while
//! the others are read on. Where it has members they join together, for one rebalance instead of two.
//!
//! [KIP-134]: https://cwiki.apache.org/confluence/display/KAFKA/KIP-134%3A+Delay+initial+consumer+group+rebalance

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After so long the others join even if the first has not been answered: something else is the matter.
const LONGEST: Duration = Duration::from_secs(15);

/// From when on workers may join.
#[derive(Debug)]
pub struct Joining {
    others_from: Mutex<Instant>,
}

impl Joining {
    /// All at once.
    pub fn together(now: Instant) -> Self {
        Self { others_from: Mutex::new(now) }
    }

    /// One first, and the others when it is answered.
    pub fn one_first(now: Instant) -> Self {
        Self { others_from: Mutex::new(now + LONGEST) }
    }

    /// Whether a worker may join by now.
    pub(super) fn may(&self, worker: usize, now: Instant) -> bool {
        worker == 0 || now >= *self.others_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group has answered a worker.
    pub(super) fn is_answered(&self, now: Instant) {
        let mut from = self.others_from.lock().unwrap_or_else(PoisonError::into_inner);
        *from = now.min(*from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_joins_first_and_the_others_when_it_is_answered_or_after_a_while() {
        let now = Instant::now();
        let joining = Joining::one_first(now);
        assert_eq!([0, 1, 2].map(|worker| joining.may(worker, now)), [true, false, false]);
        let later = now + Duration::from_secs(3);
        joining.is_answered(later);
        assert!(joining.may(1, later) && !joining.may(1, now));
        joining.is_answered(now + LONGEST);
        assert!(joining.may(1, later), "it stays so");
        assert!(Joining::one_first(now).may(1, now + LONGEST));
    }

    #[test]
    fn all_join_together_where_there_are_members() {
        let now = Instant::now();
        assert!(Joining::together(now).may(1, now));
    }
}
