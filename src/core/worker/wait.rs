//! What becomes of full partitions.
//!
//! The records of all partitions come through one queue of the client, so a full one at its head keeps the
//! others from theirs. Pausing it throws away what the client has prefetched of it, to be fetched again. So:
//!
//! - while nobody starves, because the others write what they have, everybody waits; that is so while Cosmos
//!   DB is slow for all;
//! - now and then a record is taken all the same: what the group wants comes by the same queue;
//! - if another has nothing left to write, it waits for about as long as its own writing takes of late, though not
//!   for ever, and at least for a moment, and then the full one is paused. So who is quick waits for a moment, and not
//!   at all for one that was slow before; and while Cosmos DB is slow for all, the full one's batch ends before, and
//!   little is fetched twice.

use std::time::{Duration, Instant};

use super::settings::Appetite;

/// How many bytes are taken while everybody is full. It is beside the budget, and small.
const TAKEN_WHILE_FULL: usize = 512 << 10;

/// How long anybody starves for one that is full. After an outage the last writing took as long as that did, and
/// who was ill with the others need not be well again with them.
const LONGEST: Duration = Duration::from_secs(5);

/// A partition that has no room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    pub(super) since: Instant,
    pub(super) slow: bool,
    pub(super) largest: usize,
}

/// How long it has been waited, and what was taken meanwhile.
#[derive(Debug, Default)]
pub(super) struct Wait {
    waits: Option<Waits>,
}

#[derive(Clone, Copy, Debug)]
struct Waits {
    starving_since: Option<Instant>,
    next_taken_at: Instant,
    taken: usize,
}

/// What to do.
#[derive(Debug)]
pub(super) struct Decision {
    /// Which of the full partitions to pause.
    pub(super) pause: Vec<bool>,
    pub(super) appetite: Appetite,
}

impl Wait {
    /// Decides about those that are full. `starving` is how long the least patient may starve of those that have
    /// nothing left to write, if any has; `patience` is a moment.
    pub(super) fn decide(
        &mut self,
        full: &[Full],
        starving: Option<Duration>,
        now: Instant,
        patience: Duration,
    ) -> Decision {
        if full.is_empty() {
            self.waits = None;
            return Decision { pause: Vec::new(), appetite: Appetite::Hungry };
        }
        let waits =
            self.waits.get_or_insert(Waits { starving_since: None, next_taken_at: now + patience, taken: 0 });
        waits.starving_since = starving.map(|_| waits.starving_since.unwrap_or(now));
        let is_quick = starving.is_none_or(|starving| starving <= patience);
        let limit = starving.map_or(patience, |starving| starving.min(LONGEST).max(patience));
        let largest = full.iter().map(|full| full.largest).max().unwrap_or(0);
        let may_take = waits.taken + largest <= TAKEN_WHILE_FULL;
        let may_wait = starving.is_none() && may_take;
        let mut appetite = Appetite::Hungry;
        let pause = full.iter().map(|full| {
            let since = waits.starving_since.map_or(full.since, |starving| starving.max(full.since));
            if may_wait {
                appetite = appetite.and_wait(waits.next_taken_at);
            } else if full.slow && is_quick || now >= since + limit {
                return true;
            } else {
                appetite = appetite.and_wait(since + limit);
                if may_take {
                    appetite = appetite.and_wait(waits.next_taken_at);
                }
            }
            false
        });
        let pause: Vec<bool> = pause.collect();
        let is_waited_for = pause.contains(&false);
        if is_waited_for && may_take && now >= waits.next_taken_at {
            waits.next_taken_at = now + patience;
            waits.taken += largest;
            appetite = Appetite::Hungry;
        }
        Decision { pause, appetite }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    fn full(since: Instant, slow: bool, largest: usize) -> Full {
        Full { since, slow, largest }
    }

    #[test]
    fn a_full_one_is_paused_a_moment_after_another_begins_to_starve() {
        let mut now = Instant::now();
        let (mut wait, full) = (Wait::default(), [full(now, false, 1_000)]);
        now += Duration::from_secs(5);
        let waiting = wait.decide(&full, None, now, PATIENCE);
        assert_eq!((waiting.pause, waiting.appetite), (vec![false], Appetite::Wait(now + PATIENCE)));
        let starving = wait.decide(&full, Some(PATIENCE), now, PATIENCE);
        assert_eq!((starving.pause, starving.appetite), (vec![false], Appetite::Wait(now + PATIENCE)));
        now += PATIENCE;
        let starved = wait.decide(&full, Some(PATIENCE), now, PATIENCE);
        assert_eq!((starved.pause, starved.appetite), (vec![true], Appetite::Hungry));
    }

    #[test]
    fn one_that_was_slow_is_paused_as_soon_as_another_starves() {
        let now = Instant::now();
        let mut wait = Wait::default();
        let full = [full(now, true, 1_000), full(now, false, 1_000)];
        assert_eq!(wait.decide(&full, None, now, PATIENCE).pause, [false, false]);
        assert_eq!(wait.decide(&full, Some(PATIENCE), now, PATIENCE).pause, [true, false]);
    }

    #[test]
    fn who_is_slow_waits_for_others_as_long_as_its_own_writing_takes() {
        let begun = Instant::now();
        let mut wait = Wait::default();
        let full = [full(begun, true, 1_000)];
        let own = Duration::from_secs(4);
        let mut pauses = |seconds| {
            wait.decide(&full, Some(own), begun + Duration::from_secs(seconds), PATIENCE).pause == [true]
        };
        assert_eq!([0, 1, 3, 4].map(&mut pauses), [false, false, false, true]);
    }

    #[test]
    fn after_an_outage_nobody_waits_as_long_as_that_was() {
        let begun = Instant::now();
        let mut wait = Wait::default();
        let full = [full(begun, true, 1_000)];
        let mut now = begun;
        let mut taken = 0;
        while let Decision { pause, appetite } =
            wait.decide(&full, Some(Duration::from_mins(20)), now, PATIENCE)
            && pause == [false]
        {
            match appetite {
                Appetite::Wait(until) => now = until,
                Appetite::Hungry => taken += 1,
            }
        }
        assert_eq!(now, begun + LONGEST);
        assert!(taken > 10, "what the group wants was looked for {taken} times");
    }

    #[test]
    fn large_records_are_not_taken_beside_the_budget() {
        let mut now = Instant::now();
        let (mut wait, full) = (Wait::default(), [full(now, false, 100_000)]);
        let mut taken = 0;
        loop {
            let Decision { pause, appetite } = wait.decide(&full, None, now, PATIENCE);
            match appetite {
                _ if pause == [true] => break,
                Appetite::Wait(until) => now = until,
                Appetite::Hungry => taken += 1,
            }
        }
        assert_eq!(taken, TAKEN_WHILE_FULL / 100_000);
    }
}
