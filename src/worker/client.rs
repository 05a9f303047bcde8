//! A worker's Kafka client: what the effects mean in librdkafka's words.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::commits::Commits;
use super::jobs::Jobs;
use crate::core::kafka::{Offset, TopicPartition};
use crate::source::consumer::WorkerConsumer;
use crate::source::context::assigned_of;

/// How long a client may take to leave its group and end.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// A consumer and the threads that ask and commit through it.
pub(super) struct Client {
    pub(super) consumer: Arc<WorkerConsumer>,
    pub(super) jobs: Jobs,
    pub(super) commits: Commits,
}

impl Client {
    /// Answers an assignment: an empty one is an answer too.
    pub(super) fn accept(&self) -> KafkaResult<()> {
        self.consumer.context().answered();
        self.consumer.incremental_assign(&TopicPartitionList::new())
    }

    /// Begins to read partitions.
    pub(super) fn assign(&self, partitions: &[(TopicPartition, Offset)]) -> KafkaResult<()> {
        if self.consumer.assignment_lost() {
            // The revocation is on its way. To assign now would make it look like an ordinary one.
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (name, offset) in partitions {
            list.add_partition_offset(&name.topic, name.partition, KafkaOffset::Offset(offset.0))?;
        }
        self.consumer.incremental_assign(&list)?;
        // librdkafka keeps a partition paused that was paused when this client had it last.
        self.consumer.resume(&list)
    }

    /// Gives partitions back to the group.
    pub(super) fn unassign(&self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.consumer.context().answered();
        self.consumer.incremental_unassign(&assigned_of(&self.consumer, &list_of(partitions))?)
    }

    pub(super) fn pause(&self, partition: &TopicPartition) -> KafkaResult<()> {
        self.consumer.pause(&list_of([partition]))
    }

    pub(super) fn resume(&self, partition: &TopicPartition) -> KafkaResult<()> {
        self.consumer.resume(&list_of([partition]))
    }

    /// Reads a partition from another place, without waiting for the client to have done so.
    pub(super) fn seek_and_resume(&self, partition: &TopicPartition, to: Offset) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&partition.topic, partition.partition, KafkaOffset::Offset(to.0))?;
        self.consumer.seek_partitions(list, Duration::ZERO)?;
        self.resume(partition)
    }

    /// Leaves the group and ends the client, within a time limit: a broker that does not answer must
    /// not keep the process from ending.
    pub(super) fn close(self) {
        let Self { consumer, jobs, commits } = self;
        consumer.context().close(&consumer);
        let (ended, wait) = mpsc::channel::<()>();
        let closing = std::thread::Builder::new().name("kafka-close".into()).spawn(move || {
            // The client ends with the last that holds it, and that has to be this thread: nobody
            // would wait for another.
            jobs.end();
            commits.end();
            drop(consumer);
            drop(ended);
        });
        if closing.is_ok() && wait.recv_timeout(CLOSE_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!(
                "the Kafka client did not end within {CLOSE_LIMIT:?}; its group will notice by itself"
            );
        }
    }
}

fn list_of<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for name in partitions {
        list.add_partition(&name.topic, name.partition);
    }
    list
}
