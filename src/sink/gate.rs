//! The gate that all writes pass. It closes when nothing can be written at all (a wrong key, a
//! missing container), so that not every lane keeps asking; while it is closed, one lane at a time
//! tries again, with growing pauses in between.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::MutexGuard;

use super::backoff::Backoff;
use crate::core::write::verdict::Pause;

/// Open, or closed for a reason.
#[derive(Debug)]
pub(super) struct Gate {
    closed: Mutex<Option<Pause>>,
    probe: tokio::sync::Mutex<Backoff>,
}

/// The right to send one request.
pub(super) enum Turn<'a> {
    /// The gate is open.
    Open,
    /// The gate is closed; this request tries whether it may open. Others wait until this is dropped.
    Probe(Pause, #[allow(dead_code, reason = "held, not read")] MutexGuard<'a, Backoff>),
}

impl Gate {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { closed: Mutex::new(None), probe: tokio::sync::Mutex::new(backoff) }
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Turn<'_> {
        if self.closed().is_none() {
            return Turn::Open;
        }
        let mut backoff = self.probe.lock().await;
        match self.closed() {
            None => Turn::Open,
            Some(pause) => {
                let wait = backoff.next_delay();
                tokio::time::sleep(wait).await;
                Turn::Probe(pause, backoff)
            }
        }
    }

    /// Nothing can be written. Gives why it was closed before, if that was another reason.
    pub(super) fn close(&self, pause: Pause) -> Option<Pause> {
        self.lock().replace(pause).filter(|before| *before != pause)
    }

    /// Something was written. Gives why it was closed, if it was.
    pub(super) fn open(&self, turn: &mut Turn<'_>) -> Option<Pause> {
        if let Turn::Probe(_, backoff) = turn {
            backoff.reset();
        }
        self.lock().take()
    }

    /// Whether nothing can be written at present, as far as known.
    pub(super) fn is_closed(&self) -> bool {
        self.closed().is_some()
    }

    fn closed(&self) -> Option<Pause> {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pause>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pauses between two tries while the gate is closed.
pub(super) fn probe_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn while_the_gate_is_closed_one_lane_at_a_time_tries() {
        let gate = Gate::new(probe_backoff());
        let (at_once, most, tries) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        gate.close(Pause::SignIn);
        let lanes = (0..50).map(|_| async {
            loop {
                let mut turn = gate.turn().await;
                let now = at_once.fetch_add(1, Ordering::Relaxed) + 1;
                if matches!(turn, Turn::Probe(..)) {
                    most.fetch_max(now, Ordering::Relaxed);
                    let count = tries.fetch_add(1, Ordering::Relaxed) + 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    if count == 5 {
                        assert_eq!(gate.open(&mut turn), Some(Pause::SignIn));
                    }
                }
                at_once.fetch_sub(1, Ordering::Relaxed);
                if matches!(turn, Turn::Open) || tries.load(Ordering::Relaxed) >= 5 {
                    return;
                }
            }
        });
        join_all(lanes).await;
        assert_eq!((most.into_inner(), tries.into_inner()), (1, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_gives_up_while_trying_leaves_its_turn_to_another() {
        let gate = Gate::new(probe_backoff());
        gate.close(Pause::Forbidden);
        let turn = gate.turn().await;
        assert!(matches!(turn, Turn::Probe(Pause::Forbidden, _)));
        drop(turn);
        assert!(matches!(gate.turn().await, Turn::Probe(..)));
    }
}
