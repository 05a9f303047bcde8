//! Clients with which a command asks a cluster, and joins no group.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::Context;
use crate::azure::TokenCache;

/// How long to look through what the client reports of itself; a look ends early with an error.
pub const EVENTS: Duration = Duration::from_millis(100);

/// Signs in as every client does, and remembers what went wrong last: a question that fails says only that
/// nobody answered.
pub struct Inquirer {
    base: Context,
    needs_token: bool,
    last_error: Mutex<Option<String>>,
}

impl Inquirer {
    /// The context of a client of this purpose; see [`Context::new`].
    pub fn new(purpose: impl Into<String>, tokens: Option<TokenCache>) -> Self {
        let needs_token = tokens.is_some();
        Self { base: Context::new(purpose, tokens), needs_token, last_error: Mutex::default() }
    }

    /// The last thing that went wrong with the connection.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Inquirer {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.base.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client reports an error");
        // That all brokers are down follows from each being down, and says less.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.base.generate_oauth_token(config)
    }
}

impl ConsumerContext for Inquirer {}

/// Asks the first question: for a topic, or for all.
///
/// # Errors
/// Why nobody has answered within the limit.
pub fn reach(
    consumer: &BaseConsumer<Inquirer>,
    topic: Option<&str>,
    limit: Duration,
) -> Result<Metadata, String> {
    if consumer.context().needs_token {
        // A token is fetched when the client is polled, and without one no broker answers.
        drop(consumer.poll(EVENTS));
    }
    consumer.fetch_metadata(topic, limit).map_err(|error| {
        // Why nobody answered waits in the queue, behind what else went wrong.
        let looks = (0..3).map(|_| {
            drop(consumer.poll(EVENTS));
            consumer.context().last_error()
        });
        looks.flatten().next().unwrap_or_else(|| error.to_string())
    })
}

/// Whether the cluster of this id is an embedded Kafka, which lacks much of what a real one does.
///
/// The mock calls itself `mockCluster` and a number (`rd_kafka_mock_cluster_new` in `rdkafka_mock.c`);
/// Kafka's own ids are 22 characters of base64.
pub fn is_embedded(cluster_id: &str) -> bool {
    cluster_id.starts_with("mockCluster")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_kafka_is_known_by_its_id() {
        assert!(is_embedded("mockCluster7f3a5c00"));
        assert!(!is_embedded("4L6g3nShT-eMCtK--X86sw"));
        assert!(!is_embedded(""));
    }
}
