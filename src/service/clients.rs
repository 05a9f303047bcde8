//! The Kafka clients beside the workers' own: the one for questions, the one for dead letters.

use super::questions::Questions;
use crate::azure::TokenCache;
use crate::config::Config;
use crate::dead_letter::kafka::{KafkaDeadLetters, ProducerError, Settings as LetterSettings};
use crate::dead_letter::topic::{self, Findings, TopicError};
use crate::kafka::Contact;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::source::consumer::ConsumerError;

/// The clients.
pub(super) struct Clients {
    pub(super) questions: Questions,
    pub(super) dead_letters: KafkaDeadLetters,
    letter_settings: LetterSettings,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// The one for questions.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The one for dead letters.
    #[error(transparent)]
    Producer(#[from] ProducerError),
}

impl Clients {
    /// Makes them. If they sign in with tokens, there has to be one: librdkafka, told that there is
    /// none, asks again only after ten seconds.
    pub(super) fn new(
        config: &Config,
        tokens: Option<TokenCache>,
        metrics: &Metrics,
        health: &Health,
    ) -> Result<Self, ClientsError> {
        let contact = |place| Contact::new(config.kafka.clone(), place, metrics.clone(), health.clone());
        let questions = Questions::start(config.kafka.clone(), tokens.clone(), contact("questions"))?;
        let letter_settings = LetterSettings {
            kafka: config.kafka.clone(),
            tokens,
            topic: config.dead_letter.topic.clone(),
            oversize: config.dead_letter.oversize,
        };
        let dead_letters = KafkaDeadLetters::new(
            letter_settings.clone(),
            contact("dead-letters"),
            metrics.clone(),
            health.clone(),
        )?;
        Ok(Self { questions, dead_letters, letter_settings })
    }

    /// Looks at the dead-letter topic.
    pub(super) async fn look_at_dead_letters(&self) -> Result<Findings, TopicError> {
        topic::verify(&self.letter_settings, self.questions.client.current()).await
    }
}
