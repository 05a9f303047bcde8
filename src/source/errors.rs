//! What the Kafka client's errors mean for a worker.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::core::worker::CommitOutcome;

/// What an error of the client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Something could not be read and was passed over.
    Unreadable,
    /// An offset to read does not exist.
    OffsetGone,
    /// The client is broken beyond repair.
    Fatal,
    /// We may not be a member of the group.
    GroupForbidden,
    /// We may not read a topic.
    TopicForbidden,
    /// A topic is not there.
    TopicMissing,
    /// The group took our partitions because the worker did not poll: a defect here, or a machine
    /// that stood still.
    PolledTooLate,
    /// It passes, or somebody else says what it means: of connections, [`crate::kafka::Contact`].
    Passing,
}

impl Meaning {
    /// What an error that the client returned from polling means.
    pub fn of(error: &KafkaError) -> Self {
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Self::Fatal;
        }
        match error.rdkafka_error_code() {
            Some(code) => Self::of_code(code),
            None => Self::Passing,
        }
    }

    /// What an error code means.
    pub fn of_code(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::MessageSizeTooLarge
            | Code::UnsupportedCompressionType
            | Code::NotImplemented => Self::Unreadable,
            Code::AutoOffsetReset | Code::OffsetOutOfRange => Self::OffsetGone,
            Code::Fatal => Self::Fatal,
            Code::GroupAuthorizationFailed => Self::GroupForbidden,
            Code::TopicAuthorizationFailed => Self::TopicForbidden,
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => Self::TopicMissing,
            Code::PollExceeded => Self::PolledTooLate,
            _ => Self::Passing,
        }
    }
}

/// Whether an offset is gone because the broker has lost records that were read from it: by then there
/// may be others at the same offsets. Only the text says so.
pub fn is_truncation(reason: &str) -> bool {
    reason.contains("log truncation detected") || reason.contains("No epoch found less or equal")
}

/// How a commit ended.
pub fn commit_outcome(error: Option<RDKafkaErrorCode>) -> CommitOutcome {
    use RDKafkaErrorCode as Code;
    match error {
        None => CommitOutcome::Kept,
        Some(
            Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::AssignmentLost
            | Code::Fenced,
        ) => CommitOutcome::Refused,
        Some(_) => CommitOutcome::TryAgain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_over_is_never_taken_for_something_that_passes() {
        for code in
            [RDKafkaErrorCode::BadMessage, RDKafkaErrorCode::BadCompression, RDKafkaErrorCode::NotImplemented]
        {
            assert_eq!(Meaning::of(&KafkaError::MessageConsumption(code)), Meaning::Unreadable, "{code:?}");
        }
    }

    #[test]
    fn a_log_that_was_cut_off_is_told_from_an_offset_that_has_expired() {
        let cut_off = "Partition log truncation detected at offset 20 (leader epoch 3): broker end offset is 12 \
                       (offset leader epoch 3). Reset to INVALID.";
        assert!(is_truncation(cut_off));
        let expired = "fetch failed due to requested offset not available on the broker";
        assert!(!is_truncation(expired));
    }

    #[test]
    fn a_commit_of_another_generation_is_refused_and_one_without_an_answer_is_tried_again() {
        assert_eq!(commit_outcome(None), CommitOutcome::Kept);
        assert_eq!(commit_outcome(Some(RDKafkaErrorCode::IllegalGeneration)), CommitOutcome::Refused);
        assert_eq!(commit_outcome(Some(RDKafkaErrorCode::RequestTimedOut)), CommitOutcome::TryAgain);
    }
}
