//! The gate that all writes pass. It closes when nothing can be written at all (a wrong key, a
//! missing container), so that not every lane keeps asking; while it is closed, one lane at a time
//! tries again, with growing pauses in between.
//!
//! Whether it is closed and what `/readyz` says about it change together: an answer that is long in
//! coming must not leave a condition behind that nobody will clear. Neither must a micro-batch that is
//! abandoned: when the last one is gone nobody tries any more, and nothing is held.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify};

use super::backoff::Backoff;
use crate::observe::health::Health;
use crate::store::Obstacle;

/// Open, or closed for a reason.
#[derive(Debug)]
pub(super) struct Gate {
    health: Health,
    state: std::sync::Mutex<State>,
    /// Wakes those who wait in the order in which they came. (A watch channel would wake them by chance, and
    /// no run could be repeated.)
    opened: Notify,
    probing: Mutex<Backoff>,
    was_opened: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Why, if it is.
    closed: Option<&'static str>,
    /// Micro-batches that are being written.
    batches: usize,
}

/// A micro-batch is being written, until this is dropped.
pub(super) struct Entered<'a>(&'a Gate);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.batches -= 1;
        if state.batches == 0 {
            self.0.open_locked(&mut state);
        }
    }
}

/// The right to send one request.
pub(super) enum Turn<'a> {
    /// The gate is open.
    Open,
    /// The gate is closed; this request tries whether it may open. Others wait until this is dropped.
    Probe(#[allow(dead_code, reason = "held, not read")] MutexGuard<'a, Backoff>),
}

impl Gate {
    pub(super) fn new(backoff: Backoff, health: Health) -> Self {
        let (state, opened) = (std::sync::Mutex::default(), Notify::new());
        Self { health, state, opened, probing: Mutex::new(backoff), was_opened: AtomicBool::new(false) }
    }

    /// A micro-batch comes. Whatever closed the gate before the last one went away is found out anew.
    pub(super) fn enter(&self) -> Entered<'_> {
        self.lock().batches += 1;
        Entered(self)
    }

    /// Waits for a turn. Whoever waits goes on as soon as the gate is opened, by whomever.
    pub(super) async fn turn(&self) -> Turn<'_> {
        tokio::select! {
            biased;
            () = self.until_open() => Turn::Open,
            turn = self.next_probe() => turn,
        }
    }

    async fn until_open(&self) {
        loop {
            // Made before the look, so that an opening in between is heard.
            let opened = self.opened.notified();
            if !self.is_closed() {
                return;
            }
            opened.await;
        }
    }

    async fn next_probe(&self) -> Turn<'_> {
        let mut backoff = self.probing.lock().await;
        if self.was_opened.swap(false, Ordering::Relaxed) {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next_delay()).await;
        Turn::Probe(backoff)
    }

    /// Nothing can be written.
    pub(super) fn close(&self, obstacle: Obstacle) {
        self.set(&mut self.lock(), obstacle);
    }

    /// Nothing could be written when it was tried. If something was written meanwhile, that is over.
    pub(super) fn keep_closed(&self, obstacle: Obstacle) {
        let mut state = self.lock();
        if state.closed.is_some() {
            self.set(&mut state, obstacle);
        }
    }

    fn set(&self, state: &mut State, obstacle: Obstacle) {
        if let Some(before) = state.closed.replace(obstacle.reason)
            && before != obstacle.reason
        {
            self.health.clear(before, "");
        }
        self.health.raise(obstacle.reason, "", obstacle.detail);
    }

    /// Something was written.
    pub(super) fn open(&self) {
        self.open_locked(&mut self.lock());
    }

    fn open_locked(&self, state: &mut State) {
        if let Some(reason) = state.closed.take() {
            self.health.clear(reason, "");
            self.was_opened.store(true, Ordering::Relaxed);
            self.opened.notify_waiters();
        }
    }

    /// Whether nothing can be written at present, as far as known.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed.is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pauses between two tries while the gate is closed.
pub(super) fn probe_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(8))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::join_all;

    use super::*;
    use crate::observe::metrics::Metrics;

    fn gate() -> Gate {
        Gate::new(probe_backoff(), Health::new(Metrics::new().unwrap()))
    }

    fn obstacle(reason: &'static str) -> Obstacle {
        Obstacle { reason, detail: format!("{reason}, seen") }
    }

    fn reasons(gate: &Gate) -> Vec<&'static str> {
        gate.health.conditions().iter().map(|condition| condition.reason).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_gate_is_closed_one_lane_at_a_time_tries() {
        let gate = gate();
        let (at_once, most, tries) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        gate.close(obstacle("sign_in"));
        let lanes = (0..50).map(|_| async {
            loop {
                let turn = gate.turn().await;
                if matches!(turn, Turn::Open) {
                    return;
                }
                let now = at_once.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                let count = tries.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
                at_once.fetch_sub(1, Ordering::Relaxed);
                if count == 5 {
                    assert_eq!(reasons(&gate), ["sign_in"]);
                    gate.open();
                    assert_eq!(reasons(&gate), [""; 0]);
                }
            }
        });
        join_all(lanes).await;
        assert_eq!((most.into_inner(), tries.into_inner()), (1, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_gives_up_while_trying_leaves_its_turn_to_another() {
        let gate = gate();
        gate.close(obstacle("forbidden"));
        let turn = gate.turn().await;
        assert!(matches!(turn, Turn::Probe(..)));
        drop(turn);
        assert!(matches!(gate.turn().await, Turn::Probe(..)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_after_the_gate_was_opened_closes_nothing() {
        let gate = gate();
        gate.close(obstacle("sign_in"));
        let probe = gate.turn().await;
        assert!(matches!(probe, Turn::Probe(..)));
        gate.open();
        gate.keep_closed(obstacle("store_unreachable"));
        assert!(!gate.is_closed());
        assert_eq!(reasons(&gate), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_probe_finds_takes_the_place_of_what_was_the_matter_before() {
        let gate = gate();
        gate.close(obstacle("partition_key_mismatch"));
        gate.keep_closed(obstacle("container_missing"));
        assert_eq!(reasons(&gate), ["container_missing"]);
        gate.open();
        assert_eq!(reasons(&gate), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_goes_on_as_soon_as_another_opens_the_gate() {
        let gate = gate();
        for _ in 0..8 {
            // The pauses grow to eight seconds.
            gate.close(obstacle("sign_in"));
            drop(gate.turn().await);
        }
        let begun = tokio::time::Instant::now();
        let opening = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            gate.open();
        };
        let (first, second, ()) = tokio::join!(gate.turn(), gate.turn(), opening);
        assert!(matches!((first, second), (Turn::Open, Turn::Open)));
        assert_eq!(begun.elapsed(), Duration::from_millis(10));
        gate.close(obstacle("sign_in"));
        assert!(matches!(gate.turn().await, Turn::Probe(..)));
        assert!(begun.elapsed() < Duration::from_secs(3), "the pauses begin anew");
    }
}
