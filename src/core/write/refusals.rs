//! When store refusals are so many that something else must be wrong.
//!
//! A container with another unique key, or documents of another kind, would turn a whole stream into
//! dead letters within minutes. Above a fraction of the last 1,000 events the stream pauses instead.
//!
//! Of a micro-batch what is refused comes last and in a row: it is asked for one by one, and what is stored by the
//! hundred. So while a larger one is written nothing of it leaves the window. Else a few refusals in a hundred would
//! look like too many, and nothing would come behind them to show that they are not.

use std::collections::VecDeque;

/// Over how many events the fraction is taken.
const WINDOW: usize = 1_000;

/// The last 1,000 outcomes of the store, or as many as there are events being written.
#[derive(Debug)]
pub struct Refusals {
    max_fraction: f64,
    /// How many events the micro-batches have that are being written.
    writing: usize,
    window: VecDeque<bool>,
    refused: usize,
}

impl Refusals {
    /// Allows this fraction, from 0 (every refusal pauses) to 1 (none does).
    pub fn new(max_fraction: f64) -> Self {
        Self { max_fraction, writing: 0, window: VecDeque::new(), refused: 0 }
    }

    /// A micro-batch of so many events is being written from now on.
    pub fn begin(&mut self, events: usize) {
        self.writing += events;
    }

    /// It is written, or was abandoned.
    pub fn end(&mut self, events: usize) {
        self.writing -= events;
    }

    /// Events were stored.
    pub fn stored(&mut self, events: usize) {
        for _ in 0..events.min(self.length()) {
            self.push(false);
        }
    }

    /// Asks whether one more event may become a dead letter because the store refuses it, and counts
    /// it if so.
    pub fn allow(&mut self) -> bool {
        self.make_room();
        let outcomes = WINDOW.max(self.window.len() + 1);
        let most = (self.max_fraction * outcomes as f64).floor() as usize;
        if self.refused >= most {
            return false;
        }
        self.push(true);
        true
    }

    fn length(&self) -> usize {
        WINDOW.max(self.writing)
    }

    /// The oldest outcomes go.
    fn make_room(&mut self) {
        while self.window.len() >= self.length() {
            self.refused -= usize::from(self.window.pop_front() == Some(true));
        }
    }

    fn push(&mut self, refused: bool) {
        self.make_room();
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
    fn the_last_tenth_of_a_large_micro_batch_may_be_refused_and_no_more() {
        let mut refusals = Refusals::new(0.1);
        refusals.begin(10_000);
        refusals.stored(9_000);
        assert_eq!((0..2_000).filter(|_| refusals.allow()).count(), 1_000);
        refusals.end(10_000);
        refusals.stored(1_000);
        assert_eq!((0..1_000).filter(|_| refusals.allow()).count(), 100, "afterwards a thousand count again");
    }

    #[test]
    fn a_large_micro_batch_that_is_refused_from_its_beginning_pauses_as_early_as_a_small_one() {
        let mut refusals = Refusals::new(0.1);
        refusals.begin(10_000);
        assert_eq!((0..10_000).filter(|_| refusals.allow()).count(), 100);
    }

    #[test]
    fn nothing_pauses_with_a_fraction_of_one_and_everything_with_none() {
        let mut all = Refusals::new(1.0);
        all.begin(3_000);
        assert_eq!((0..5_000).filter(|_| all.allow()).count(), 5_000);
        assert!(!Refusals::new(0.0).allow());
    }
}
