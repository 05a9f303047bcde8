//! What a write costs, and the limit of request units a second.
//!
//! The emulator's own accounting does not serve here: it never throttles a transactional batch, bills
//! each of its operations a flat 1.24 RU, and divides the throughput by all its partitions, of which the
//! sandbox has hundreds where the service has one per 10,000 RU/s.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ranges::range_of;

const SECOND: Duration = Duration::from_secs(1);

/// Request units for writing a document of so many bytes of JSON.
///
/// A rough line through what is published and measured: about 7.5 RU for an event of 1 KiB with the
/// sample's three indexed paths, and half as much again when a document of that id was there before.
pub(super) fn write_charge(bytes: usize, replaced: bool) -> f64 {
    let charge = 5.0 + 2.5 * bytes as f64 / 1024.0;
    if replaced { charge * 1.5 } else { charge }
}

/// The request units a container may spend, divided evenly over the key ranges that it is shown as. Like a
/// physical partition of the service, a range serves requests until its second's share is spent, so that the
/// last one may overdraw it.
pub(super) struct Throughput {
    ranges: u32,
    /// Request units a second of each range.
    share: Mutex<f64>,
    spent: Mutex<HashMap<(String, u32), Window>>,
}

struct Window {
    start: Instant,
    request_units: f64,
}

impl Throughput {
    /// So many request units a second for each container, which is shown as so many ranges.
    pub(super) fn new(request_units_per_second: u64, ranges: u32) -> Self {
        let throughput = Self { ranges, share: Mutex::default(), spent: Mutex::default() };
        throughput.set(request_units_per_second);
        throughput
    }

    /// Gives each container so many from now on. It keeps its ranges.
    pub(super) fn set(&self, request_units_per_second: u64) {
        let share = request_units_per_second as f64 / f64::from(self.ranges);
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = share;
    }

    /// Whether a request to this container and partition key is served now, or how long to wait.
    pub(super) fn admit(&self, container: &str, key: &str, now: Instant) -> Result<(), Duration> {
        let share = *self.share.lock().unwrap_or_else(PoisonError::into_inner);
        self.with_window(container, key, now, |window| {
            if window.request_units < share {
                Ok(())
            } else {
                Err((window.start + SECOND).saturating_duration_since(now).max(Duration::from_millis(1)))
            }
        })
    }

    /// Books what a served request has cost.
    pub(super) fn spend(&self, container: &str, key: &str, request_units: f64, now: Instant) {
        self.with_window(container, key, now, |window| window.request_units += request_units);
    }

    fn with_window<R>(
        &self,
        container: &str,
        key: &str,
        now: Instant,
        act: impl FnOnce(&mut Window) -> R,
    ) -> R {
        let range = range_of(key, self.ranges);
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let window =
            spent.entry((container.to_owned(), range)).or_insert(Window { start: now, request_units: 0.0 });
        let passed = now.saturating_duration_since(window.start);
        if passed >= SECOND {
            *window = Window { start: now, request_units: 0.0 };
        }
        act(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTAINER: &str = "dbs/a/colls/b";

    #[test]
    fn an_event_of_one_kibibyte_costs_as_much_as_the_sample_measured() {
        let charge = write_charge(1024, false);
        assert!((7.0..=8.0).contains(&charge), "{charge}");
        assert!(write_charge(1024, true) > charge);
    }

    #[test]
    fn a_container_is_throttled_when_its_second_is_spent_and_served_again_in_the_next() {
        let throughput = Throughput::new(400, 1);
        let start = Instant::now();
        throughput.spend(CONTAINER, "x", 399.0, start);
        assert_eq!(throughput.admit(CONTAINER, "x", start), Ok(()));
        throughput.spend(CONTAINER, "x", 20.0, start);
        let wait = throughput.admit(CONTAINER, "x", start + Duration::from_millis(300));
        assert_eq!(wait, Err(Duration::from_millis(700)));
        assert_eq!(throughput.admit("dbs/a/colls/other", "x", start), Ok(()));
        assert_eq!(throughput.admit(CONTAINER, "x", start + SECOND), Ok(()));
    }

    #[test]
    fn a_hot_partition_key_gets_the_share_of_one_physical_partition() {
        let throughput = Throughput::new(100_000, 10);
        let now = Instant::now();
        throughput.spend(CONTAINER, r#"["hot"]"#, 10_000.0, now);
        assert!(throughput.admit(CONTAINER, r#"["hot"]"#, now).is_err());
        let served =
            (0..100).filter(|key| throughput.admit(CONTAINER, &format!("[{key}]"), now).is_ok()).count();
        assert!(served > 50, "only {served} of 100 other keys were served");
    }
}
