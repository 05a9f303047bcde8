//! What every client does with the library's log, its errors and its wish for a token.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::contact::{Contact, Reach};
use super::repeats::Repeats;
use crate::azure::TokenCache;

/// The context of a client: its log goes to tracing (target `librdkafka`), its errors to the log and
/// to its [`Contact`], and its tokens come from a [`TokenCache`], at once.
///
/// A client that needs more callbacks holds one of these and passes the calls of [`ClientContext`] on
/// to it, [`ClientContext::ENABLE_REFRESH_OAUTH_TOKEN`] included; that the token is asked for on the
/// thread which polls, and never waits there, is what keeps a slow token endpoint from stopping it.
pub struct Context {
    purpose: String,
    tokens: Option<TokenCache>,
    contact: Option<Arc<Contact>>,
    repeats: Mutex<Repeats>,
}

impl Context {
    /// The context of a client of this purpose; see [`super::base`]. With the method
    /// `workload_identity` the caller waits for [`TokenCache::ready`] before it makes the client:
    /// librdkafka, told that there is no token, asks again only after ten seconds.
    pub fn new(purpose: impl Into<String>, tokens: Option<TokenCache>) -> Self {
        Self { purpose: purpose.into(), tokens, contact: None, repeats: Mutex::default() }
    }

    /// Tells this contact of errors and of statistics, which the client has to be asked for
    /// (`statistics.interval.ms`).
    #[must_use]
    pub fn reporting_to(mut self, contact: Arc<Contact>) -> Self {
        self.contact = Some(contact);
        self
    }

    /// How many messages like this were held back, or nothing when this one is to be.
    fn hear(&self, message: &str) -> Option<u64> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner).hear(message, Instant::now())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = self.purpose.as_str();
        if let RDKafkaLogLevel::Debug = level {
            tracing::debug!(target: "librdkafka", client, facility, "{message}");
            return;
        }
        let Some(repeats) = self.hear(message) else { return };
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", client, facility, repeats, "{message}");
            }
            RDKafkaLogLevel::Warning => {
                tracing::warn!(target: "librdkafka", client, facility, repeats, "{message}");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::info!(target: "librdkafka", client, facility, repeats, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.contact.as_ref().is_some_and(|contact| contact.failed(&error, reason).is_some()) {
            return;
        }
        if let Some(repeats) = self.hear(reason) {
            let client = self.purpose.as_str();
            tracing::warn!(target: "librdkafka", client, repeats, %error, "{reason}");
        }
    }

    fn stats_raw(&self, json: &[u8]) {
        let Some(contact) = &self.contact else { return };
        match Reach::parse(json) {
            Ok(reach) => contact.seen(reach),
            Err(error) => tracing::debug!(%error, "the Kafka client's statistics cannot be read"),
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let tokens = self.tokens.as_ref().ok_or("this client was given no source of tokens")?;
        let token = tokens.current()?;
        let lifetime = token.expires.duration_since(SystemTime::UNIX_EPOCH)?;
        Ok(OAuthToken {
            token: token.secret.secret().to_owned(),
            principal_name: token.principal,
            lifetime_ms: i64::try_from(lifetime.as_millis())?,
        })
    }
}

/// For the clients of commands, which read metadata and offsets and join no group.
impl ConsumerContext for Context {}
