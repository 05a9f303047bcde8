//! Lanes that do not get on. What lasts is raised as a condition of the Kafka partition; it is
//! cleared when the last lane in that trouble gets on or is abandoned.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::health::Health;

/// Trouble shorter than this is nobody's business: retries are part of the day.
pub(super) const WORTH_MENTIONING: Duration = Duration::from_secs(5);

/// The troubles of one micro-batch.
#[derive(Debug)]
pub(super) struct Troubles<'a> {
    health: &'a Health,
    place: String,
    lanes: Mutex<BTreeMap<&'static str, usize>>,
}

/// One lane's trouble, if it has any.
#[derive(Debug)]
pub(super) struct Trouble<'a> {
    troubles: &'a Troubles<'a>,
    since: Option<Instant>,
    raised: Option<&'static str>,
}

impl<'a> Troubles<'a> {
    pub(super) fn new(health: &'a Health, place: String) -> Self {
        Self { health, place, lanes: Mutex::default() }
    }

    pub(super) fn lane(&'a self) -> Trouble<'a> {
        Trouble { troubles: self, since: None, raised: None }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trouble<'_> {
    /// The lane did not get on, again, and pauses before it tries once more. The trouble is mentioned
    /// when it has lasted long enough, be it in the middle of the pause.
    pub(super) async fn pause(
        &mut self,
        reason: &'static str,
        detail: &str,
        pause: impl Future<Output = ()>,
    ) {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.wait_from(since, reason, detail, pause).await;
    }

    /// The lane waits for its turn. That is mentioned when the wait itself has lasted long enough: it is no
    /// part of a trouble of another kind.
    pub(super) async fn wait<F: Future>(&mut self, reason: &'static str, detail: &str, turn: F) -> F::Output {
        self.wait_from(Instant::now(), reason, detail, turn).await
    }

    async fn wait_from<F: Future>(
        &mut self,
        since: Instant,
        reason: &'static str,
        detail: &str,
        waiting: F,
    ) -> F::Output {
        let mut waiting = pin!(waiting);
        tokio::select! {
            biased;
            done = &mut waiting => return done,
            () = tokio::time::sleep_until(since + WORTH_MENTIONING) => {}
        }
        self.holds(reason, detail);
        waiting.await
    }

    /// The lane is held by something that will not pass by itself.
    pub(super) fn holds(&mut self, reason: &'static str, detail: &str) {
        self.since.get_or_insert_with(Instant::now);
        if self.raised != Some(reason) {
            self.lower();
            *self.troubles.lock().entry(reason).or_default() += 1;
            self.raised = Some(reason);
        }
        self.troubles.health.raise(reason, self.troubles.place.clone(), detail);
    }

    /// The lane got on.
    pub(super) fn is_over(&mut self) {
        self.since = None;
        self.lower();
    }

    fn lower(&mut self) {
        let Some(reason) = self.raised.take() else { return };
        let mut lanes = self.troubles.lock();
        let left = lanes.get_mut(reason).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            self.troubles.health.clear(reason, &self.troubles.place);
        }
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        self.lower();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::observe::metrics::Metrics;

    #[test]
    fn a_condition_is_cleared_when_the_last_lane_gets_on() {
        let health = Health::new(Metrics::new().unwrap());
        let troubles = Troubles::new(&health, "t[0]".into());
        let (mut first, mut second) = (troubles.lane(), troubles.lane());
        first.holds("throttled", "429");
        second.holds("throttled", "429");
        first.is_over();
        assert!(health.is_raised("throttled", "t[0]"));
        drop(second);
        assert!(!health.is_raised("throttled", "t[0]"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_wait_for_a_turn_is_no_part_of_a_long_trouble() {
        let health = Health::new(Metrics::new().unwrap());
        let troubles = Troubles::new(&health, "t[0]".into());
        let mut lane = troubles.lane();
        lane.pause("timeout", "408", sleep(Duration::from_secs(10))).await;
        lane.wait("throttled", "waits", sleep(Duration::from_secs(4))).await;
        assert!(health.is_raised("timeout", "t[0]") && !health.is_raised("throttled", "t[0]"));
        lane.wait("throttled", "waits", sleep(Duration::from_secs(6))).await;
        assert!(health.is_raised("throttled", "t[0]"));
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_mentioned_after_five_seconds_whatever_the_pauses_are() {
        let health = Health::new(Metrics::new().unwrap());
        let troubles = Troubles::new(&health, "t[0]".into());
        let mut lane = troubles.lane();
        lane.pause("timeout", "408", sleep(Duration::from_millis(4_999))).await;
        assert_eq!(health.conditions(), [], "short trouble is nobody's business");
        let begun = Instant::now();
        tokio::select! {
            () = lane.pause("timeout", "408", sleep(Duration::from_mins(1))) => unreachable!(),
            () = sleep(Duration::from_millis(2)) => {}
        }
        assert!(health.is_raised("timeout", "t[0]") && begun.elapsed() < Duration::from_secs(1));
        lane.is_over();
        assert_eq!(health.conditions(), []);
    }
}
