//! When store refusals are so many that something else must be wrong.
//!
//! A container with another unique key, or documents of another kind, would turn a whole stream into
//! dead letters within minutes. Above a fraction of the last 1,000 events the stream pauses instead.

use std::collections::VecDeque;

/// Over how many events the fraction is taken.
const WINDOW: usize = 1_000;

/// The last 1,000 outcomes of the store.
#[derive(Debug)]
pub struct Refusals {
    most: usize,
    window: VecDeque<bool>,
    refused: usize,
}

impl Refusals {
    /// Allows this fraction, from 0 (every refusal pauses) to 1 (none does).
    pub fn new(max_fraction: f64) -> Self {
        Self { most: (max_fraction * WINDOW as f64).floor() as usize, window: VecDeque::new(), refused: 0 }
    }

    /// Events were stored.
    pub fn stored(&mut self, events: usize) {
        for _ in 0..events.min(WINDOW) {
            self.push(false);
        }
    }

    /// Asks whether one more event may become a dead letter because the store refuses it, and counts
    /// it if so.
    pub fn allow(&mut self) -> bool {
        let leaves = self.window.len() >= WINDOW && self.window.front() == Some(&true);
        if self.refused - usize::from(leaves) >= self.most {
            return false;
        }
        self.push(true);
        true
    }

    fn push(&mut self, refused: bool) {
        if self.window.len() >= WINDOW && self.window.pop_front() == Some(true) {
            self.refused -= 1;
        }
        self.window.push_back(refused);
        self.refused += usize::from(refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_is_of_a_thousand_from_the_start() {
        let mut refusals = Refusals::new(0.1);
        assert_eq!((0..1_000).filter(|_| refusals.allow()).count(), 100);
        refusals.stored(899);
        assert!(!refusals.allow(), "the first refusals are still among the last thousand");
        refusals.stored(2);
        assert!(refusals.allow());
    }

    #[test]
    fn nothing_pauses_with_a_fraction_of_one_and_everything_with_none() {
        let mut all = Refusals::new(1.0);
        assert_eq!((0..5_000).filter(|_| all.allow()).count(), 5_000);
        assert!(!Refusals::new(0.0).allow());
    }
}
