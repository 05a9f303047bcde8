//! Commits, asked for beside the polling thread.
//!
//! librdkafka's asynchronous commit would need no thread, but rdkafka 0.39 never hands on its answer
//! (its event interface sets no callback, and librdkafka answers nothing else): a commit that Kafka
//! refused would go unnoticed. So each commit waits for its answer here.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::inbox::Outside;
use super::settings::Settings;
use crate::core::kafka::{Offset, TopicPartition};
use crate::core::worker::{CommitNumber, CommitOutcome, Input};
use crate::kafka::rights;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::source::consumer::WorkerConsumer;
use crate::source::errors::commit_outcome;
use crate::source::lookup::TIME_LIMIT;

/// Failures shorter than this are part of every rebalance.
const WORTH_MENTIONING: Duration = Duration::from_secs(10);

/// What to commit.
pub(super) type Offsets = Vec<(TopicPartition, Offset)>;

/// The thread that commits. Dropped, it ends by itself once Kafka has answered.
pub(super) struct Commits {
    sender: Sender<(CommitNumber, Offsets)>,
    thread: JoinHandle<()>,
}

impl Commits {
    pub(super) fn start(
        consumer: Arc<WorkerConsumer>,
        settings: Arc<Settings>,
        outside: Outside,
        metrics: Metrics,
        health: Health,
        place: String,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let committer =
            Committer { consumer, settings, outside, metrics, health, place, failing_since: None };
        let thread = std::thread::Builder::new()
            .name("kafka-commits".into())
            .spawn(move || committer.run(&receiver))?;
        Ok(Self { sender, thread })
    }

    pub(super) fn ask(&self, number: CommitNumber, offsets: Offsets) {
        // The thread ends only after this is dropped.
        let _ = self.sender.send((number, offsets));
    }

    /// Waits for the commit that is on its way, and ends.
    pub(super) fn end(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

struct Committer {
    consumer: Arc<WorkerConsumer>,
    settings: Arc<Settings>,
    outside: Outside,
    metrics: Metrics,
    health: Health,
    place: String,
    failing_since: Option<Instant>,
}

impl Committer {
    fn run(mut self, receiver: &Receiver<(CommitNumber, Offsets)>) {
        while let Ok((number, offsets)) = receiver.recv() {
            let answers = self.commit(&offsets);
            for (name, offset, outcome) in &answers {
                if *outcome == CommitOutcome::Kept {
                    Metrics::of_partition(&self.metrics.committed_offset, name).set(offset.0);
                    self.metrics.committed_now(name);
                } else {
                    self.metrics.commit_failures.inc();
                }
            }
            self.outside.tell(Input::Committed { number, answers });
        }
        self.health.clear("commits_failing", &self.place);
    }

    fn commit(&mut self, offsets: &Offsets) -> Vec<(TopicPartition, Offset, CommitOutcome)> {
        let answer = list_of(offsets).and_then(|list| self.consumer.commit(&list, CommitMode::Sync));
        let Err(error) = answer else {
            self.failing_since = None;
            self.health.clear("commits_failing", &self.place);
            return offsets
                .iter()
                .map(|(name, offset)| (name.clone(), *offset, CommitOutcome::Kept))
                .collect();
        };
        tracing::debug!(worker = self.place, %error, "a commit failed");
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= WORTH_MENTIONING {
            let mut detail = format!(
                "Kafka keeps no offsets: {error}; events are stored, but would be stored again after a restart"
            );
            if let Some(right) = rights::missing_to_read(error.rdkafka_error_code(), &self.settings.kafka) {
                detail = format!("{detail}. So {right}");
            }
            self.health.raise("commits_failing", self.place.clone(), detail);
        }
        // The error is that of one partition; the others may have been kept.
        let outcome = commit_outcome(error.rdkafka_error_code());
        let kept = self.committed(offsets);
        offsets
            .iter()
            .map(|(name, offset)| {
                let is_kept = kept.iter().any(|(kept, at)| kept == name && at >= offset);
                (name.clone(), *offset, if is_kept { CommitOutcome::Kept } else { outcome })
            })
            .collect()
    }

    fn committed(&self, offsets: &Offsets) -> Offsets {
        let answer = list_of(offsets).and_then(|list| self.consumer.committed_offsets(list, TIME_LIMIT));
        let Ok(list) = answer else { return Vec::new() };
        list.elements()
            .iter()
            .filter_map(|element| match element.offset() {
                KafkaOffset::Offset(offset) => {
                    Some((TopicPartition::new(element.topic(), element.partition()), Offset(offset)))
                }
                _ => None,
            })
            .collect()
    }
}

fn list_of(offsets: &Offsets) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (name, offset) in offsets {
        list.add_partition_offset(&name.topic, name.partition, KafkaOffset::Offset(offset.0))?;
    }
    Ok(list)
}
