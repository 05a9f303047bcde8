//! A worker's Kafka client: what the effects mean in librdkafka's words.
//!
//! To read on at another place, a partition is unassigned and assigned again. A seek would not do:
//! once an offset was out of range, librdkafka (2.12) has stopped fetching the partition, and takes
//! neither a seek nor a resume for a reason to begin again (`rd_kafka_toppar_seek`). While the group
//! waits for the answer to a rebalance, either call would be taken for that answer; so this waits
//! until no rebalance is open, and nothing is in the client's queue that could be one.
//!
//! While the assignment counts as lost, nothing new is assigned either: the revocation is on its way,
//! and would look like an ordinary one. But when a topic is deleted, librdkafka revokes only what it had
//! of that. So what was to be assigned is kept until the revocation has been answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

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

/// How long to wait for an empty queue before a partition reads on elsewhere all the same.
const QUIET_LIMIT: Duration = Duration::from_secs(1);

/// A consumer and the threads that ask and commit through it.
pub(super) struct Client {
    pub(super) consumer: Arc<WorkerConsumer>,
    pub(super) jobs: Jobs,
    pub(super) commits: Commits,
    moves: Moves,
}

/// Partitions that are to be read from a place when the client can be told so.
#[derive(Default)]
struct Moves {
    to: BTreeMap<TopicPartition, Move>,
    since: Option<Instant>,
}

/// Where to read on. A partition that is paused meanwhile is not moved before it is resumed: to assign
/// it makes the client fetch.
#[derive(Clone, Copy)]
struct Move {
    to: Offset,
    is_paused: bool,
}

impl Moves {
    fn begin(&mut self, partition: &TopicPartition, to: Offset) {
        self.to.insert(partition.clone(), Move { to, is_paused: false });
        self.since.get_or_insert_with(Instant::now);
    }

    /// Gives whether there is one that waits.
    fn set_paused(&mut self, partition: &TopicPartition, is_paused: bool) -> bool {
        let Some(waiting) = self.to.get_mut(partition) else { return false };
        waiting.is_paused = is_paused;
        if !is_paused {
            self.since.get_or_insert_with(Instant::now);
        }
        true
    }

    /// Takes out all that may be done now.
    fn take(&mut self) -> Vec<(TopicPartition, Offset)> {
        self.since = None;
        self.to
            .extract_if(.., |_, waiting| !waiting.is_paused)
            .map(|(name, waiting)| (name, waiting.to))
            .collect()
    }
}

impl Client {
    pub(super) fn new(consumer: Arc<WorkerConsumer>, jobs: Jobs, commits: Commits) -> Self {
        Self { consumer, jobs, commits, moves: Moves::default() }
    }

    /// Answers an assignment: an empty one is an answer too.
    pub(super) fn accept(&mut self) -> KafkaResult<()> {
        self.consumer.context().answered();
        self.consumer.incremental_assign(&TopicPartitionList::new())
    }

    /// Begins to read partitions.
    pub(super) fn assign(&mut self, partitions: &[(TopicPartition, Offset)]) -> KafkaResult<()> {
        if self.consumer.assignment_lost() {
            for (name, offset) in partitions {
                self.moves.begin(name, *offset);
            }
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
    pub(super) fn unassign(&mut self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.moves.to.retain(|name, _| !partitions.contains(name));
        self.consumer.context().answered();
        self.consumer.incremental_unassign(&assigned_of(&self.consumer, &list_of(partitions))?)
    }

    pub(super) fn pause(&mut self, partition: &TopicPartition) -> KafkaResult<()> {
        self.moves.set_paused(partition, true);
        self.consumer.pause(&list_of([partition]))
    }

    pub(super) fn resume(&mut self, partition: &TopicPartition) -> KafkaResult<()> {
        if self.moves.set_paused(partition, false) {
            return Ok(());
        }
        self.consumer.resume(&list_of([partition]))
    }

    /// Reads a partition from another place, before long. Nothing comes of it until then: a pause
    /// makes the client drop what it has fetched, at once.
    pub(super) fn read_from(&mut self, partition: &TopicPartition, to: Offset) -> KafkaResult<()> {
        self.pause(partition)?;
        self.moves.begin(partition, to);
        Ok(())
    }

    /// Does that, if now is a time for it. `is_quiet` says that the client's queue was just empty.
    pub(super) fn move_on(&mut self, is_quiet: bool) -> KafkaResult<()> {
        let Some(since) = self.moves.since else { return Ok(()) };
        if self.consumer.context().is_rebalancing()
            || self.consumer.assignment_lost()
            || (!is_quiet && since.elapsed() < QUIET_LIMIT)
        {
            return Ok(());
        }
        let (mut before, mut list) = (TopicPartitionList::new(), TopicPartitionList::new());
        let present = self.consumer.assignment()?;
        for (name, to) in self.moves.take() {
            list.add_partition_offset(&name.topic, name.partition, KafkaOffset::Offset(to.0))?;
            if present.find_partition(&name.topic, name.partition).is_some() {
                before.add_partition(&name.topic, name.partition);
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.consumer.incremental_unassign(&before)?;
        self.consumer.incremental_assign(&list)?;
        self.consumer.resume(&list)
    }

    /// Leaves the group and ends the client, within a time limit: a broker that does not answer must
    /// not keep the process from ending.
    pub(super) fn close(self) {
        let Self { consumer, jobs, commits, moves: _ } = self;
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
