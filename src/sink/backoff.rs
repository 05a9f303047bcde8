//! Growing, jittered pauses without end.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// The pauses between tries: from the first to the longest, doubling, each with jitter.
#[derive(Debug)]
pub(crate) struct Backoff {
    builder: ExponentialBuilder,
    delays: ExponentialBackoff,
    longest: Duration,
}

impl Backoff {
    /// Pauses from `first` to `longest`. The jitter is up to as much again as the pause without it.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay((longest / 2).max(first))
            .with_jitter()
            .without_max_times();
        Self { builder, delays: builder.build(), longest }
    }

    /// The next pause.
    pub(crate) fn next_delay(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.longest)
    }

    /// It went well: the next pause is the first again.
    pub(crate) fn reset(&mut self) {
        self.delays = self.builder.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_never_end() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let delays: Vec<_> = (0..1_000).map(|_| backoff.next_delay()).collect();
        assert!(
            delays[0] >= Duration::from_millis(100) && delays[0] <= Duration::from_millis(200),
            "{:?}",
            delays[0]
        );
        assert!(
            delays
                .iter()
                .skip(10)
                .all(|delay| *delay >= Duration::from_millis(2_500) && *delay <= Duration::from_secs(5))
        );
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(200));
    }
}
