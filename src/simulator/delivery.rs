//! What Kafka says of each record that was sent.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};

use super::Progress;
use super::hold_back::HoldBack;
use crate::kafka::Inquirer;

/// Counts acknowledgements and failures, on the thread that polls the producer.
pub(super) struct Deliveries {
    inquirer: Inquirer,
    progress: Arc<Progress>,
    outcome: Mutex<Outcome>,
}

/// What is more than a counter.
#[derive(Default)]
pub(super) struct Outcome {
    /// Why the first record failed that did.
    pub(super) first_failure: Option<String>,
    /// When the last record was acknowledged.
    pub(super) last_acknowledged: Option<Instant>,
    /// On an embedded Kafka: how far ahead of the reader we are.
    pub(super) hold_back: Option<HoldBack>,
}

impl Deliveries {
    pub(super) fn new(inquirer: Inquirer, progress: Arc<Progress>, hold_back: Option<HoldBack>) -> Self {
        Self { inquirer, progress, outcome: Mutex::new(Outcome { hold_back, ..Outcome::default() }) }
    }

    pub(super) fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last thing that went wrong with the connection.
    pub(super) fn last_error(&self) -> Option<String> {
        self.inquirer.last_error()
    }
}

impl ClientContext for Deliveries {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn error(&self, error: KafkaError, reason: &str) {
        self.inquirer.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.inquirer.generate_oauth_token(config)
    }
}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut outcome = self.outcome();
        match result {
            Ok(message) => {
                self.progress.acknowledged.fetch_add(1, Ordering::Relaxed);
                outcome.last_acknowledged = Some(Instant::now());
                if let Some(hold_back) = &mut outcome.hold_back {
                    hold_back.delivered(message.partition(), message.offset(), size(message));
                }
            }
            Err((error, message)) => {
                self.progress.failed.fetch_add(1, Ordering::Relaxed);
                outcome.first_failure.get_or_insert_with(|| reason(error, self.last_error()));
                if let Some(hold_back) = &mut outcome.hold_back {
                    hold_back.failed(size(message));
                }
            }
        }
    }
}

fn size(message: &impl Message) -> usize {
    message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len)
}

/// The refusal in Kafka's words; with what the connection says, when the refusal is that time ran out.
fn reason(error: &KafkaError, last_error: Option<String>) -> String {
    let code = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
    match last_error {
        Some(last_error) => format!("{code} ({last_error})"),
        None => code,
    }
}
