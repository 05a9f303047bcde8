//! Chance. Whatever the service does not decide is decided here, by the seed.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The dice of one world, for whoever has to throw them.
#[derive(Clone)]
pub(crate) struct Dice(Arc<Mutex<ChaCha8Rng>>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// A number of the range.
    pub(crate) fn pick(&self, range: Range<usize>) -> usize {
        self.lock().random_range(range)
    }

    /// Whether something happens that has this probability.
    pub(crate) fn chance(&self, probability: f64) -> bool {
        self.lock().random_bool(probability)
    }

    /// A time of so many milliseconds.
    pub(crate) fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.lock().random_range(range))
    }

    /// One of several.
    pub(crate) fn one_of<T: Copy>(&self, of: &[T]) -> T {
        of[self.pick(0..of.len())]
    }

    /// One of several, each of which has a weight.
    pub(crate) fn weighted<T: Copy>(&self, of: &[(u32, T)]) -> T {
        let all: u32 = of.iter().map(|(weight, _)| weight).sum();
        let mut at = self.lock().random_range(0..all);
        for (weight, it) in of {
            match at.checked_sub(*weight) {
                Some(left) => at = left,
                None => return *it,
            }
        }
        unreachable!("the weights add up")
    }

    fn lock(&self) -> MutexGuard<'_, ChaCha8Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
