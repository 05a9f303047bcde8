//! What a worker's client says is wrong, and when it is over.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;

use super::WorkerThread;
use crate::core::worker::{Input, Standing};
use crate::dead_letter::DeadLetters;
use crate::kafka::rights;
use crate::source::errors::{Meaning, is_truncation};
use crate::store::Store;

/// How long joining the group may take before it is worth mentioning.
const JOINING: Duration = Duration::from_secs(8);

impl<S: Store, D: DeadLetters> WorkerThread<S, D> {
    pub(super) fn client_error(&mut self, error: &KafkaError, reason: &str) {
        let now = Instant::now();
        match Meaning::of(error) {
            Meaning::Unreadable => {
                tracing::debug!(worker = self.place, %error, reason, "the Kafka client cannot read something");
                self.machine.apply(Input::Unreadable, now);
            }
            Meaning::OffsetGone => {
                if is_truncation(reason) {
                    tracing::error!(
                        worker = self.place,
                        reason,
                        "a broker has lost records that were read from it: others may have been written at their offsets"
                    );
                }
                self.machine.apply(Input::OffsetGone, now);
            }
            Meaning::Fatal => {
                let fatal = self.client.as_ref().and_then(|client| client.consumer.client().fatal_error());
                let why = fatal.map_or_else(|| reason.to_owned(), |(code, text)| format!("{code}: {text}"));
                tracing::error!(worker = self.place, why, "the Kafka client is broken and will be replaced");
                self.replace_client();
            }
            Meaning::GroupForbidden => self.forbidden("group_forbidden", error, reason),
            Meaning::TopicForbidden => {
                self.forbidden("topic_forbidden", error, reason);
                self.shared.look_again.notify_one();
            }
            Meaning::TopicMissing => {
                tracing::debug!(worker = self.place, reason, "a topic is missing");
                self.shared.look_again.notify_one();
                self.machine.apply(Input::TopicMissing, now);
            }
            Meaning::PolledTooLate => {
                tracing::error!(
                    worker = self.place,
                    reason,
                    "the group has taken our partitions: this worker stood still"
                );
            }
            Meaning::Passing => {
                tracing::debug!(worker = self.place, %error, reason, "the Kafka client reports an error");
            }
        }
    }

    fn forbidden(&self, why: &'static str, error: &KafkaError, reason: &str) {
        let right = rights::missing_to_read(error.rdkafka_error_code(), &self.shared.settings.kafka);
        let detail = format!("{}: {}", reason.trim_end_matches('.'), right.unwrap_or_default());
        self.shared.health.raise(why, self.place.clone(), detail);
    }

    /// Says when the group does not take this worker in, and when the group and the topics may be
    /// read again: neither is told otherwise.
    pub(super) fn report_membership(&mut self) {
        let health = &self.shared.health;
        if self.statistics.joining.is_none() {
            health.clear("group_forbidden", &self.place);
        }
        if self.machine.owned() == 0 {
            // There is nothing to commit and nothing to read that could tell that it is over. That a whole
            // topic is forbidden is said of the topic.
            health.clear("commits_failing", &self.place);
            health.clear("topic_forbidden", &self.place);
        }
        let standing_outside = self.statistics.joining.as_ref().filter(|_| self.machine.owned() == 0);
        if let Some(state) = standing_outside {
            let since = *self.joining_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= JOINING {
                let group = &self.shared.settings.kafka.group_id;
                let detail = format!("the group {group} has not taken this worker in (state {state})");
                health.raise("not_in_group", self.place.clone(), detail);
            }
        } else if self.joining_since.take().is_some() {
            health.clear("not_in_group", &self.place);
        }
        // A fetch that is refused tells no end of the partition, and is reported only once.
        let is_read = |standing: Standing<'_>| {
            let statistics = self.statistics.partitions.get(&standing.partition);
            statistics.is_some_and(|statistics| statistics.end.is_some())
        };
        let mut reading = self.machine.standing().filter(|standing| standing.hold.is_none()).peekable();
        if reading.peek().is_some() && reading.all(is_read) {
            health.clear("topic_forbidden", &self.place);
        }
    }
}
