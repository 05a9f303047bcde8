//! Which right (ACL) a refusal asks for.
//!
//! Kafka says only on what kind of thing a right is missing. Reading events takes READ on the topics
//! and on the group, dead letters take WRITE on theirs; each of these includes DESCRIBE.

use rdkafka::error::RDKafkaErrorCode;

use crate::config::Kafka;

/// What to give the user so that events can be read, if the code says that a right is missing.
pub fn missing_to_read(code: Option<RDKafkaErrorCode>, kafka: &Kafka) -> Option<String> {
    match code? {
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            let topics = kafka.topics.join(", ");
            Some(format!("give this user the right (ACL) READ on the topic {topics}"))
        }
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            Some(format!("give this user the right (ACL) READ on the group {}", kafka.group_id))
        }
        _ => None,
    }
}

/// What to give the user so that dead letters can be written, if the code says that a right is missing.
pub fn missing_to_write(code: Option<RDKafkaErrorCode>, topic: &str) -> Option<String> {
    match code? {
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            Some(format!("give this user the right (ACL) WRITE on the topic {topic}"))
        }
        // Writing idempotently takes WRITE on any topic; brokers older than 2.8 want a right of its own.
        RDKafkaErrorCode::ClusterAuthorizationFailed => Some(format!(
            "give this user the right (ACL) WRITE on the topic {topic} (before Kafka 2.8 also IDEMPOTENT_WRITE on \
             the cluster)"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_the_right_and_the_thing() {
        let kafka = Kafka { group_id: "g".into(), ..Kafka::new("a:9", ["t", "u"]) };
        let read = |code| missing_to_read(Some(code), &kafka);
        let write = |code| missing_to_write(Some(code), "dead");
        assert!(
            read(RDKafkaErrorCode::TopicAuthorizationFailed)
                .is_some_and(|it| it.ends_with("READ on the topic t, u"))
        );
        assert!(
            read(RDKafkaErrorCode::GroupAuthorizationFailed)
                .is_some_and(|it| it.ends_with("READ on the group g"))
        );
        assert!(
            write(RDKafkaErrorCode::TopicAuthorizationFailed)
                .is_some_and(|it| it.ends_with("WRITE on the topic dead"))
        );
        assert!(
            write(RDKafkaErrorCode::ClusterAuthorizationFailed)
                .is_some_and(|it| it.contains("IDEMPOTENT_WRITE"))
        );
        assert_eq!(read(RDKafkaErrorCode::RequestTimedOut), None);
        assert_eq!(missing_to_write(None, "dead"), None);
    }
}
