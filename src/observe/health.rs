//! What keeps the stream, or a part of it, from going on: for `/readyz`, the metrics and the log.
//!
//! A condition has a reason (a word of this program), a place (a partition, a worker, or the whole
//! process) and a detail for people. It is raised as often as it is met with, and logged once; it
//! is cleared, and logged once more, when things go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::metrics::Metrics;
use crate::core::shown;

/// The conditions of the process.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    conditions: Mutex<Conditions>,
    metrics: Metrics,
}

type Conditions = BTreeMap<(&'static str, String), Raised>;

#[derive(Debug)]
struct Raised {
    condition: Condition,
    logged: SystemTime,
}

/// Something that holds the stream or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Why, in one word.
    pub reason: &'static str,
    /// Where: a partition, a worker, or empty for the whole process.
    #[serde(rename = "where")]
    pub place: String,
    /// For people, on one line: what was seen and what to do.
    pub detail: String,
    /// Since when, RFC 3339.
    #[serde(serialize_with = "as_rfc3339")]
    pub since: SystemTime,
}

fn as_rfc3339<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(*time))
}

/// A condition that lasts is logged again no more often than this.
const REMIND_EVERY: Duration = Duration::from_mins(1);

impl Health {
    /// Nothing is wrong.
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner { conditions: Mutex::default(), metrics }))
    }

    /// Something holds the stream at a place. Raised again, it keeps its time and takes the new detail, in
    /// which Kafka and Cosmos DB are quoted: what they say is shown and does nothing else.
    pub fn raise(&self, reason: &'static str, place: impl Into<String>, detail: impl Into<String>) {
        let (place, detail) = (place.into(), shown::text(&detail.into()).into_owned());
        let mut conditions = self.lock();
        let now = SystemTime::now();
        if let Some(raised) = conditions.get_mut(&(reason, place.clone())) {
            raised.condition.detail = detail;
            if now.duration_since(raised.logged).is_ok_and(|passed| passed >= REMIND_EVERY) {
                raised.logged = now;
                let seconds = now.duration_since(raised.condition.since).unwrap_or_default().as_secs();
                tracing::warn!(reason, place, detail = raised.condition.detail, seconds, "still held");
            }
            return;
        }
        tracing::warn!(reason, place, detail, "held");
        self.0.metrics.paused.with_label_values(&[reason]).inc();
        let condition = Condition { reason, place: place.clone(), detail, since: now };
        conditions.insert((reason, place), Raised { condition, logged: now });
    }

    /// It goes on.
    pub fn clear(&self, reason: &'static str, place: &str) {
        let removed = self.lock().remove(&(reason, place.to_owned()));
        if let Some(raised) = removed {
            let seconds = raised.condition.since.elapsed().unwrap_or_default().as_secs();
            tracing::info!(reason, place, seconds, "goes on");
            self.0.metrics.paused.with_label_values(&[reason]).dec();
        }
    }

    /// Nothing holds this place any more, for whatever reason.
    pub fn clear_place(&self, place: &str) {
        let reasons: Vec<_> =
            self.lock().keys().filter(|(_, at)| at == place).map(|(reason, _)| *reason).collect();
        for reason in reasons {
            self.clear(reason, place);
        }
    }

    /// Whether this is raised for this place.
    pub fn is_raised(&self, reason: &'static str, place: &str) -> bool {
        self.lock().contains_key(&(reason, place.to_owned()))
    }

    /// Everything that holds something.
    pub fn conditions(&self) -> Vec<Condition> {
        self.lock().values().map(|raised| raised.condition.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Conditions> {
        self.0.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_and_takes_the_newest_detail() {
        let metrics = Metrics::new().unwrap();
        let health = Health::new(metrics.clone());
        health.raise("sign_in", "", "401");
        let since = health.conditions()[0].since;
        health.raise("sign_in", "", "401 again");
        let conditions = health.conditions();
        assert_eq!((conditions.len(), conditions[0].detail.as_str()), (1, "401 again"));
        assert_eq!(conditions[0].since, since);
        assert_eq!(metrics.paused.with_label_values(&["sign_in"]).get(), 1);
        health.clear("sign_in", "");
        assert_eq!(health.conditions(), []);
        assert_eq!(metrics.paused.with_label_values(&["sign_in"]).get(), 0);
    }

    #[test]
    fn what_a_stranger_has_said_stays_on_its_line_and_moves_no_terminal() {
        let health = Health::new(Metrics::new().unwrap());
        health.raise(
            "kafka_sign_in",
            "worker-0",
            "refused\nERROR made up \u{1b}[2J\u{9b}31m \u{202e}dne eht",
        );
        let detail = &health.conditions()[0].detail;
        assert_eq!(detail, r"refused\nERROR made up \u{1b}[2J\u{9b}31m \u{202e}dne eht");
    }

    #[test]
    fn the_metric_counts_places() {
        let metrics = Metrics::new().unwrap();
        let health = Health::new(metrics.clone());
        health.raise("out_of_range", "t[0]", "a");
        health.raise("out_of_range", "t[1]", "b");
        assert_eq!(metrics.paused.with_label_values(&["out_of_range"]).get(), 2);
        health.clear_place("t[0]");
        health.clear_place("t[7]");
        assert_eq!(metrics.paused.with_label_values(&["out_of_range"]).get(), 1);
    }
}
