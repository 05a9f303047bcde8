//! How a micro-batch is told to end before it is done.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Tells one micro-batch to end, gently or at once.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    winding_down: CancellationToken,
    abandoned: CancellationToken,
}

impl Stop {
    /// The partition is asked back: what gets on may go on, what only waits (for a throttled key, a
    /// store that is not well, a dead-letter topic) ends now and leaves its records unsettled, to be
    /// read again by the next owner.
    pub fn wind_down(&self) {
        self.winding_down.cancel();
    }

    /// Everything ends at once. Requests in flight are let go, whatever becomes of them.
    pub fn abandon(&self) {
        self.abandoned.cancel();
    }

    pub(super) async fn abandoned(&self) {
        self.abandoned.cancelled().await;
    }

    /// Waits for something; none if the batch has to wind down before it is there.
    ///
    /// It is pinned where it was made: what is passed on by value stands several times in the state of a
    /// task, and there is a task for each lane.
    pub(super) async fn wait_for<F: Future + Unpin>(&self, awaited: F) -> Option<F::Output> {
        self.wait_with_grace(Duration::ZERO, awaited).await
    }

    /// Like [`Stop::wait_for`], but goes on waiting for so long while the batch winds down.
    pub(super) async fn wait_with_grace<F: Future + Unpin>(
        &self,
        grace: Duration,
        awaited: F,
    ) -> Option<F::Output> {
        let over = async {
            self.winding_down.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            biased;
            output = awaited => Some(output),
            () = over => None,
        }
    }
}
