//! The Kafka client of these commands.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::azure::TokenCache;
use crate::kafka::Context;

/// Signs in as every client does, and remembers what went wrong last: a question that fails says only that
/// nobody answered.
pub(super) struct Client {
    base: Context,
    last_error: Mutex<Option<String>>,
}

impl Client {
    pub(super) fn new(tokens: Option<TokenCache>) -> Self {
        Self { base: Context::new("offsets", tokens), last_error: Mutex::default() }
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Client {
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

impl ConsumerContext for Client {}
