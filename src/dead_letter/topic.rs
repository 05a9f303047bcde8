//! Looking at the dead-letter topic before anything is read: is it there, may we write to it, how
//! large may a letter be, how long are letters kept.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;

use super::kafka::{LARGEST_RECORD, Settings};
use crate::config::KafkaAuthMethod;
use crate::kafka::{self, Context, rights};
use crate::source::lookup::{LookupError, partition_count};

const TIME_LIMIT: Duration = Duration::from_secs(8);

const FORBIDDEN: RDKafkaErrorCode = RDKafkaErrorCode::TopicAuthorizationFailed;

/// Rights are proved by a record one byte larger than the topic takes, which is refused after the
/// rights were looked at and leaves nothing behind; above this size that would be no small thing to ask.
const LARGEST_PROOF: usize = 4 << 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The topic's partitions.
    pub partitions: i32,
    /// The largest record the topic takes, in bytes, if Kafka told.
    pub largest_record: Option<usize>,
    /// How long records are kept, in milliseconds; -1 is for ever.
    pub retention_millis: Option<i64>,
    /// Whether it is proved that we may write.
    pub writable: bool,
}

/// Why the topic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// It is not there.
    #[error("there is no dead-letter topic {0}: make it, or correct dead_letter.topic")]
    Missing(String),
    /// We may not see it, or not write to it.
    #[error("we may not {verb} the dead-letter topic {topic}: {right}")]
    Forbidden {
        /// What we may not do with it.
        verb: &'static str,
        /// The topic.
        topic: String,
        /// What to do about it.
        right: String,
    },
    /// Kafka does not tell.
    #[error("the dead-letter topic {topic} cannot be looked at: {problem}")]
    Unknown {
        /// The topic.
        topic: String,
        /// What was seen.
        problem: String,
    },
}

/// Looks at the topic. `questions` is a consumer that somebody polls.
pub async fn verify(
    settings: &Settings,
    questions: Arc<BaseConsumer<Context>>,
) -> Result<Findings, TopicError> {
    let topic = settings.topic.clone();
    let unknown = |problem: String| TopicError::Unknown { topic: settings.topic.clone(), problem };
    let asked = Arc::clone(&questions);
    let count = tokio::task::spawn_blocking(move || partition_count(&*asked, &topic))
        .await
        .map_err(|error| unknown(error.to_string()))?;
    let partitions = match count {
        Ok(count) => count,
        Err(LookupError::NoTopic(topic)) => return Err(TopicError::Missing(topic)),
        Err(LookupError::Kafka { error, .. }) if error.rdkafka_error_code() == Some(FORBIDDEN) => {
            return Err(forbidden(settings, "see", FORBIDDEN));
        }
        Err(error) => return Err(unknown(error.to_string())),
    };
    let mut findings = Findings { partitions, ..Findings::default() };
    // librdkafka's admin client never gets to renew a token, and the embedded Kafka knows no such
    // questions: there the topic's settings stay unknown, which is said and is no failure.
    let cluster = questions.client().fetch_cluster_id(TIME_LIMIT).unwrap_or_default();
    if settings.kafka.auth.method == KafkaAuthMethod::WorkloadIdentity || kafka::is_embedded(&cluster) {
        return Ok(findings);
    }
    match describe(settings).await {
        Ok((largest_record, retention_millis)) => {
            findings.largest_record = largest_record;
            findings.retention_millis = retention_millis;
        }
        Err(error) => tracing::info!(%error, "the settings of the dead-letter topic may not be read"),
    }
    if let Some(largest) = findings.largest_record.filter(|largest| *largest <= LARGEST_PROOF) {
        findings.writable = prove_writable(settings, largest).await?;
    }
    Ok(findings)
}

fn forbidden(settings: &Settings, verb: &'static str, code: RDKafkaErrorCode) -> TopicError {
    let topic = settings.topic.clone();
    let right = rights::missing_to_write(Some(code), &topic).unwrap_or_default();
    TopicError::Forbidden { verb, topic, right }
}

async fn describe(settings: &Settings) -> Result<(Option<usize>, Option<i64>), String> {
    let config = kafka::base(&settings.kafka, "dead-letters-admin").map_err(|error| error.to_string())?;
    let admin: AdminClient<Context> = config
        .create_with_context(Context::new("dead-letters-admin", settings.tokens.clone()))
        .map_err(|error| error.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(TIME_LIMIT)).operation_timeout(Some(TIME_LIMIT));
    let resource = ResourceSpecifier::Topic(&settings.topic);
    let answers = admin.describe_configs([&resource], &options).await.map_err(|error| error.to_string())?;
    let config = answers.into_iter().next().ok_or("no answer")?.map_err(|code| code.to_string())?;
    if config.entries.is_empty() {
        // rdkafka (0.39) makes an answer without settings of the refusal.
        return Err(format!(
            "give this user the right (ACL) DESCRIBE_CONFIGS on the topic {}, and it is proved at the start that it \
             may be written to",
            settings.topic
        ));
    }
    let value = |name: &str| {
        let entry = config.entries.iter().find(|entry| entry.name == name)?;
        entry.value.clone()
    };
    let largest = value("max.message.bytes").and_then(|text| text.parse().ok());
    let retention = value("retention.ms").and_then(|text| text.parse().ok());
    Ok((largest, retention))
}

async fn prove_writable(settings: &Settings, largest: usize) -> Result<bool, TopicError> {
    let unknown = |problem: String| TopicError::Unknown { topic: settings.topic.clone(), problem };
    let mut config =
        kafka::base(&settings.kafka, "dead-letters-proof").map_err(|error| unknown(error.to_string()))?;
    config
        .set("message.max.bytes", LARGEST_RECORD)
        .set("message.timeout.ms", "8000")
        .set("compression.type", "none")
        .set("acks", "all");
    let producer: FutureProducer<Context> = config
        .create_with_context(Context::new("dead-letters-proof", settings.tokens.clone()))
        .map_err(|error| unknown(error.to_string()))?;
    let value = vec![0_u8; largest + 1];
    let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&settings.topic).payload(&value);
    let Err((error, _)) = producer.send(record, Timeout::After(TIME_LIMIT)).await else {
        // Not what its settings promised; but we may write.
        tracing::warn!(
            topic = settings.topic,
            "the dead-letter topic took a record above its max.message.bytes"
        );
        return Ok(true);
    };
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => Ok(true),
        Some(code @ (FORBIDDEN | RDKafkaErrorCode::ClusterAuthorizationFailed)) => {
            Err(forbidden(settings, "write to", code))
        }
        _ => Err(unknown(error.to_string())),
    }
}
