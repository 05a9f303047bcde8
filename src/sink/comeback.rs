//! The end of a time in which nothing could be written.
//!
//! The pauses between a lane's tries grow to seconds, and lanes know nothing of each other. When Cosmos DB was
//! away for all of them, the first that is answered again wakes the others, so that none sleeps on while it is
//! well. One that fails by itself, while others succeed, is woken by nobody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A time without a success that is shorter than this has made no pauses worth ending.
const OUTAGE: Duration = Duration::from_secs(1);

/// Whether everything fails at present, and who waits for the end of that.
#[derive(Debug, Default)]
pub(super) struct Comeback {
    /// When the first request failed after which none has succeeded.
    failing_since: Mutex<Option<Instant>>,
    is_back: Notify,
}

impl Comeback {
    /// A request failed in a way that may pass.
    pub(super) fn failed(&self) {
        self.lock().get_or_insert_with(Instant::now);
    }

    /// A request succeeded.
    pub(super) fn succeeded(&self) {
        let since = self.lock().take();
        if since.is_some_and(|since| since.elapsed() >= OUTAGE) {
            self.is_back.notify_waiters();
        }
    }

    /// Waits so long, or until Cosmos DB is back.
    pub(super) async fn pause(&self, length: Duration) {
        tokio::select! {
            biased;
            () = self.is_back.notified() => {}
            () = tokio::time::sleep(length) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failing_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    /// How long a pause of a minute takes, when something succeeds in the middle of it.
    async fn paused(comeback: &Comeback) -> Duration {
        let begun = Instant::now();
        tokio::join!(comeback.pause(LONG), async {
            tokio::time::sleep(LONG / 2).await;
            comeback.succeeded();
        });
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_pauses_goes_on_when_another_succeeds_after_an_outage() {
        let comeback = Comeback::default();
        comeback.failed();
        assert_eq!(paused(&comeback).await, LONG / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_while_others_succeed_pauses_to_the_end() {
        let comeback = Comeback::default();
        assert_eq!(paused(&comeback).await, LONG);
        let begun = Instant::now();
        tokio::join!(comeback.pause(LONG), async {
            for _ in 0..1_000 {
                comeback.failed();
                tokio::time::sleep(OUTAGE / 10).await;
                comeback.succeeded();
            }
        });
        assert!(begun.elapsed() >= LONG);
    }
}
