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

/// How long a client may take to leave its group and end.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// A consumer and the threads that ask and commit through it.
pub(super) struct Client {
    pub(super) consumer: Arc<WorkerConsumer>,
    pub(super) jobs: Jobs,
    pub(super) commits: Commits,
}

impl Client {
    /// Answers an assignment. Partitions without an offset are assigned too, because the group
    /// counts on it, but nothing is fetched of them.
    pub(super) fn assign(&self, partitions: &[(TopicPartition, Option<Offset>)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (name, offset) in partitions {
            let at = offset.map_or(KafkaOffset::End, |offset| KafkaOffset::Offset(offset.0));
            list.add_partition_offset(&name.topic, name.partition, at)?;
        }
        self.consumer.context().answered();
        self.consumer.incremental_assign(&list)?;
        let idle: Vec<_> =
            partitions.iter().filter(|(_, offset)| offset.is_none()).map(|(name, _)| name).collect();
        if idle.is_empty() { Ok(()) } else { self.consumer.pause(&list_of(idle)) }
    }

    /// Gives partitions back to the group.
    pub(super) fn unassign(&self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.consumer.context().answered();
        self.consumer.incremental_unassign(&list_of(partitions))
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
        drop((jobs, commits));
        let (ended, wait) = mpsc::channel::<()>();
        let closing = std::thread::Builder::new().name("kafka-close".into()).spawn(move || {
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
