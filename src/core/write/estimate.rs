//! What a request will cost, from what others have cost.

/// What Cosmos DB charges for an event of a kilobyte with the few indexed paths of the sample: 7 to 8.
const FIRST_GUESS: f64 = 7.5 / 1024.0;

/// What one answer counts for in the mean.
const WEIGHT: f64 = 1.0 / 16.0;

/// Request units a byte of the body, as lately seen.
#[derive(Debug)]
pub struct Estimate {
    per_byte: f64,
}

impl Default for Estimate {
    fn default() -> Self {
        Self { per_byte: FIRST_GUESS }
    }
}

impl Estimate {
    /// What a body of so many bytes will cost, about.
    pub fn of(&self, bytes: usize) -> f64 {
        self.per_byte * bytes as f64
    }

    /// A body of so many bytes has cost this.
    pub fn learn(&mut self, bytes: usize, request_units: f64) {
        if bytes > 0 && request_units > 0.0 {
            self.per_byte += WEIGHT * (request_units / bytes as f64 - self.per_byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_charged() {
        let mut estimate = Estimate::default();
        assert!((7.0..=8.0).contains(&estimate.of(1_024)));
        for _ in 0..100 {
            estimate.learn(2_000, 30.0);
        }
        assert!((14.9..=15.1).contains(&estimate.of(1_000)), "{}", estimate.of(1_000));
        estimate.learn(2_000, 0.0);
        assert!(estimate.of(1_000) > 14.0, "a refused request says nothing");
    }
}
