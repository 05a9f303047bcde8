//! Dead letters to a Kafka topic: sent once, in order, to all replicas, and acknowledged before the
//! offset of the record may be committed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{DeadLetters, Envelope, Letter};
use crate::azure::TokenCache;
use crate::config::{Kafka, Oversize};
use crate::kafka::{self, Contact, Context, SetupError, rights};
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::sink::Backoff;
use crate::source::statistics;

/// How long an acknowledgement may take before it is worth mentioning.
const WORTH_MENTIONING: Duration = Duration::from_secs(5);

/// How often it is looked whether the producer has to be replaced.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the client tries to deliver one record before it gives it back to us.
const DELIVERY_MILLIS: &str = "30000";

/// The largest record that librdkafka takes; what the topic takes is the broker's to say.
pub(super) const LARGEST_RECORD: &str = "1000000000";

/// What the producer holds at most. A letter larger than that would wait for room for ever, so it counts
/// as one that the topic does not take.
const QUEUE_KIB: usize = 64 << 10;

/// A topic for dead letters.
pub struct KafkaDeadLetters {
    client: Arc<Client>,
    waiting: Mutex<usize>,
    health: Health,
    metrics: Metrics,
    _watching: AbortOnDropHandle<()>,
}

/// The producer there is at present: one that is broken, or refused although the sign-in has changed,
/// is replaced.
struct Client {
    settings: Settings,
    contact: Arc<Contact>,
    producer: Mutex<Arc<Producer>>,
}

/// A letter that the topic does not take. When the last one is taken or given up (its partition went
/// to another owner), the condition is over.
struct Waiting<'a>(Option<&'a KafkaDeadLetters>);

type Producer = FutureProducer<Context>;

/// Which topic, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to connect.
    pub kafka: Kafka,
    /// Tokens to sign in with, if Kafka wants them.
    pub tokens: Option<TokenCache>,
    /// The topic.
    pub topic: String,
    /// What to do with a letter that the topic does not take for its size.
    pub oversize: Oversize,
}

/// Why there is no producer.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// Something of the configuration cannot be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The client cannot be made.
    #[error("the Kafka client for dead letters cannot be made: {0}")]
    Kafka(#[from] KafkaError),
}

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Asking again may help.
    Passing,
    /// The record is too large for the topic.
    TooLarge,
    /// The client is broken; a new one may do better.
    ClientBroken,
    /// Somebody has to repair something.
    Permanent,
}

impl Client {
    fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another letter may have replaced it already; whoever comes second keeps that one.
    fn replace(&self, unfit: &Arc<Producer>) {
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, unfit) {
            return;
        }
        match producer(&self.settings, &self.contact) {
            Ok(new) => *current = Arc::new(new),
            Err(error) => tracing::error!(%error, "the producer of dead letters cannot be replaced yet"),
        }
    }

    /// A letter may be long in coming: a producer that is refused does not wait for one.
    async fn watch(client: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if client.contact.is_outdated() {
                let client = Arc::clone(&client);
                // Ending the old one takes a moment.
                let _ = tokio::task::spawn_blocking(move || client.replace(&client.producer())).await;
            }
        }
    }
}

impl KafkaDeadLetters {
    /// Makes the producer. Nothing is asked of Kafka yet. Needs a tokio runtime.
    pub fn new(
        settings: Settings,
        contact: Contact,
        metrics: Metrics,
        health: Health,
    ) -> Result<Self, ProducerError> {
        let contact = Arc::new(contact);
        let producer = Mutex::new(Arc::new(producer(&settings, &contact)?));
        let client = Arc::new(Client { settings, contact, producer });
        let watching = AbortOnDropHandle::new(tokio::spawn(Client::watch(Arc::clone(&client))));
        Ok(Self { client, waiting: Mutex::default(), health, metrics, _watching: watching })
    }

    /// Sends once; says so while the answer is long in coming.
    async fn try_send<'a>(
        &'a self,
        producer: &Producer,
        envelope: &Envelope<'_>,
        waiting: &mut Waiting<'a>,
    ) -> Result<(), KafkaError> {
        if envelope.bytes() >= QUEUE_KIB << 10 {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge));
        }
        let mut headers = OwnedHeaders::new_with_capacity(envelope.headers.len());
        for (key, value) in &envelope.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let mut record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&self.client.settings.topic).headers(headers);
        record.key = envelope.key;
        record.payload = envelope.value;
        let mut sending = Box::pin(producer.send(record, Timeout::Never));
        let sent = if let Ok(sent) = tokio::time::timeout(WORTH_MENTIONING, &mut sending).await {
            sent
        } else {
            self.unavailable(waiting, "no acknowledgement for five seconds");
            sending.await
        };
        sent.map(|_| ()).map_err(|(error, _)| error)
    }

    fn unavailable<'a>(&'a self, waiting: &mut Waiting<'a>, what: &str) {
        if waiting.0.is_none() {
            *self.waiting() += 1;
            waiting.0 = Some(self);
        }
        let topic = &self.client.settings.topic;
        let detail =
            format!("the dead-letter topic {topic} takes nothing: {what}; what waits for it stays unsettled");
        self.health.raise("dead_letters_unavailable", "", detail);
    }

    fn waiting(&self) -> MutexGuard<'_, usize> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DeadLetters for KafkaDeadLetters {
    async fn send(&self, letter: &Letter<'_>) {
        let mut envelope = letter.envelope();
        let mut by_reference = false;
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let begun = Instant::now();
        let mut waiting = Waiting(None);
        loop {
            let producer = self.client.producer();
            let Err(error) = self.try_send(&producer, &envelope, &mut waiting).await else { break };
            self.metrics.dead_letter_failures.inc();
            let failure = meaning(&error);
            if failure == Failure::TooLarge
                && self.client.settings.oversize == Oversize::Reference
                && !by_reference
            {
                envelope = letter.reference();
                by_reference = true;
                continue;
            }
            if failure == Failure::ClientBroken {
                self.client.replace(&producer);
            }
            if failure != Failure::Passing || begun.elapsed() >= WORTH_MENTIONING {
                let place = format!("{} offset {}", letter.partition, letter.record.offset);
                let right = rights::missing_to_write(error.rdkafka_error_code(), &self.client.settings.topic);
                let advice = right.map_or_else(String::new, |right| format!(": {right}"));
                self.unavailable(&mut waiting, &format!("{error}{advice} (for {place})"));
            }
            tokio::time::sleep(backoff.next_delay()).await;
            // The topic may have been set right meanwhile, and then the value is not left out for nothing.
            envelope = letter.envelope();
            by_reference = false;
        }
        if by_reference {
            tracing::warn!(
                partition = %letter.partition,
                offset = %letter.record.offset,
                "the dead letter was too large for its topic and went without its value"
            );
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(letters) = self.0 else { return };
        let mut waiting = letters.waiting();
        *waiting -= 1;
        if *waiting == 0 {
            letters.health.clear("dead_letters_unavailable", "");
        }
    }
}

fn producer(settings: &Settings, contact: &Arc<Contact>) -> Result<Producer, ProducerError> {
    contact.begins();
    let mut config = kafka::producer(&settings.kafka, "dead-letters")?;
    config
        .set("message.max.bytes", LARGEST_RECORD)
        .set("message.timeout.ms", DELIVERY_MILLIS)
        .set("queue.buffering.max.kbytes", QUEUE_KIB.to_string())
        .set("linger.ms", "5")
        .set("statistics.interval.ms", statistics::INTERVAL_MILLIS.to_string());
    let context = Context::new("dead-letters", settings.tokens.clone()).reporting_to(Arc::clone(contact));
    Ok(config.create_with_context(context)?)
}

fn meaning(error: &KafkaError) -> Failure {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Failure::TooLarge,
        Some(
            Code::Fatal
            | Code::Fenced
            | Code::OutOfOrderSequenceNumber
            | Code::DuplicateSequenceNumber
            | Code::UnknownProducerId
            | Code::InvalidProducerEpoch
            | Code::ProducerFenced
            | Code::Inconsistent,
        ) => Failure::ClientBroken,
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::InvalidTopic
            | Code::InvalidRecord
            | Code::PolicyViolation,
        ) => Failure::Permanent,
        _ => Failure::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_condition_is_over_when_the_last_letter_that_waits_is_taken_or_given_up() {
        let kafka = toml::from_str(
            r#"bootstrap_servers = "127.0.0.1:9"
            topics = ["t"]
            group_id = "g""#,
        );
        let settings = Settings {
            kafka: kafka.unwrap(),
            tokens: None,
            topic: "t-dead-letters".into(),
            oversize: Oversize::Reference,
        };
        let metrics = Metrics::new().unwrap();
        let health = Health::new(metrics.clone());
        let contact = Contact::new(settings.kafka.clone(), "dead-letters", metrics.clone(), health.clone());
        let letters = KafkaDeadLetters::new(settings, contact, metrics, health.clone()).unwrap();
        let (mut first, mut second) = (Waiting(None), Waiting(None));
        letters.unavailable(&mut first, "no broker");
        letters.unavailable(&mut second, "no broker");
        letters.unavailable(&mut second, "no broker, still");
        drop(first);
        assert!(health.is_raised("dead_letters_unavailable", ""));
        drop(second);
        assert!(!health.is_raised("dead_letters_unavailable", ""));
    }

    #[test]
    fn only_a_refusal_by_size_leaves_out_the_value() {
        let failure = |code| meaning(&KafkaError::MessageProduction(code));
        assert_eq!(failure(RDKafkaErrorCode::MessageSizeTooLarge), Failure::TooLarge);
        assert_eq!(failure(RDKafkaErrorCode::MessageTimedOut), Failure::Passing);
        assert_eq!(failure(RDKafkaErrorCode::TopicAuthorizationFailed), Failure::Permanent);
        assert_eq!(failure(RDKafkaErrorCode::Fatal), Failure::ClientBroken);
    }
}
