//! Watching the token that Kafka is signed in to with: when there is none, the stream cannot go on
//! for long, and says so.

use std::time::Duration;

use crate::azure::TokenCache;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;

/// A token is there within a moment, unless something is wrong.
const WORTH_MENTIONING: Duration = Duration::from_secs(3);

/// How often it is looked whether the token has expired.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches until dropped. A fetch that failed is counted even while the last token holds.
pub(super) async fn watch(tokens: TokenCache, metrics: Metrics, health: Health) {
    const REASON: &str = "kafka_sign_in";
    tokio::time::sleep(WORTH_MENTIONING).await;
    let mut state = tokens.watch();
    let mut counted = 0;
    loop {
        let failures = state.borrow_and_update().failures;
        metrics.auth_failures.with_label_values(&["kafka"]).inc_by(failures - counted);
        counted = failures;
        match tokens.current() {
            Ok(_) => health.clear(REASON, ""),
            Err(none) => {
                let detail = format!(
                    "no sign-in to Kafka: {none}. Look at kafka.auth and at the pod's workload identity; \
                     it is tried again and again"
                );
                health.raise(REASON, "", detail);
            }
        }
        // The fetching does not end as long as this holds its cache.
        let _ = tokio::time::timeout(LOOK_EVERY, state.changed()).await;
    }
}
