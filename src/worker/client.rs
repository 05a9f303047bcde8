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

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;

use super::commits::Commits;
use super::jobs::Jobs;
use crate::core::kafka::{Offset, TopicPartition};
use crate::source::consumer::WorkerConsumer;
use crate::source::context::assigned_of;
use crate::source::lists;

/// How long a client may take to leave its group and end.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// How much of that is left to a rebalance which has to end before a member without partitions can leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

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
#[derive(Debug, Default)]
struct Moves {
    to: BTreeMap<TopicPartition, Move>,
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    to: Offset,
    /// Nothing is to be fetched there for now.
    paused: bool,
}

impl Moves {
    fn begin(&mut self, partition: &TopicPartition, to: Offset, now: Instant) {
        self.to.insert(partition.clone(), Move { to, paused: false });
        self.since.get_or_insert(now);
    }

    /// The partition is full, or is not any more. Gives whether it is about to move: then this counts
    /// once it has, and the client is not to fetch before.
    fn pause(&mut self, partition: &TopicPartition, paused: bool) -> bool {
        let found = self.to.get_mut(partition);
        found.map(|about_to_move| about_to_move.paused = paused).is_some()
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
                self.moves.begin(name, *offset, Instant::now());
            }
            return Ok(());
        }
        let list = lists::at(partitions.iter().map(|(name, offset)| (name, *offset)))?;
        self.consumer.incremental_assign(&list)?;
        // librdkafka keeps a partition paused that was paused when this client had it last.
        self.consumer.resume(&list)
    }

    /// Gives partitions back to the group.
    pub(super) fn unassign(&mut self, partitions: &[TopicPartition]) -> KafkaResult<()> {
        self.moves.to.retain(|name, _| !partitions.contains(name));
        self.commits.give_back(partitions);
        self.consumer.context().answered();
        self.consumer.incremental_unassign(&assigned_of(&self.consumer, &lists::of(partitions))?)
    }

    /// Fetches nothing of a partition for a while. It moves all the same: a partition that librdkafka
    /// has stopped fetching would stay so for ever.
    pub(super) fn pause(&mut self, partition: &TopicPartition) -> KafkaResult<()> {
        if self.moves.pause(partition, true) {
            return Ok(());
        }
        self.consumer.pause(&lists::of([partition]))
    }

    /// Fetches nothing of a partition until it is read from another place.
    pub(super) fn stop(&mut self, partition: &TopicPartition) -> KafkaResult<()> {
        self.moves.to.remove(partition);
        self.consumer.pause(&lists::of([partition]))
    }

    pub(super) fn resume(&mut self, partition: &TopicPartition) -> KafkaResult<()> {
        if self.moves.pause(partition, false) {
            return Ok(());
        }
        self.consumer.resume(&lists::of([partition]))
    }

    /// Reads a partition from another place, before long. Nothing comes of it until then: a pause
    /// makes the client drop what it has fetched, at once.
    pub(super) fn read_from(&mut self, partition: &TopicPartition, to: Offset) -> KafkaResult<()> {
        self.stop(partition)?;
        self.moves.begin(partition, to, Instant::now());
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
        let moves = std::mem::take(&mut self.moves).to;
        if moves.is_empty() {
            return Ok(());
        }
        let list = lists::at(moves.iter().map(|(name, about_to_move)| (name, about_to_move.to)))?;
        let of_those = |paused| moves.iter().filter(move |(_, it)| it.paused == paused).map(|(name, _)| name);
        let (full, hungry) = (lists::of(of_those(true)), lists::of(of_those(false)));
        let before = assigned_of(&self.consumer, &list)?;
        self.consumer.incremental_unassign(&before)?;
        self.consumer.incremental_assign(&list)?;
        self.consumer.pause(&full)?;
        self.consumer.resume(&hungry)
    }

    /// Leaves the group and ends the client, within a time limit: a broker that does not answer must
    /// not keep the process from ending.
    ///
    /// One that is broken for good and had partitions never ends, however their revocation is answered
    /// (librdkafka 2.12.1, `rd_kafka_cgrp_try_terminate`). Its thread, which takes a core, is left to the
    /// process. Only a static member is ever broken so, and the configuration refuses to be one.
    pub(super) fn close(self) {
        let Self { consumer, jobs, commits, moves: _ } = self;
        consumer.context().close(&consumer);
        let (ended, wait) = mpsc::channel::<()>();
        let closing = std::thread::Builder::new().name("kafka-close".into()).spawn(move || {
            // The client ends with the last that holds it, and that has to be this thread: nobody
            // would wait for another.
            jobs.end();
            commits.end();
            leave(&consumer);
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

/// Leaves the group if there is no partition. Where there are some, ending the client does; of a member
/// without any librdkafka (2.12) then tells the group nothing (`rd_kafka_cgrp_revoke_all_rejoin`), and
/// the others would wait for it until its session is over. To unsubscribe does tell, once no rebalance
/// is open.
fn leave(consumer: &WorkerConsumer) {
    if consumer.assignment().is_ok_and(|assignment| assignment.count() > 0) {
        return;
    }
    let until = Instant::now() + LEAVE_LIMIT;
    consumer.unsubscribe();
    while consumer.subscription().is_ok_and(|topics| topics.count() > 0) && Instant::now() < until {
        let _ = consumer.poll(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_fills_up_before_it_has_moved_moves_all_the_same() {
        let (name, other) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        let mut moves = Moves::default();
        moves.begin(&name, Offset(7), Instant::now());
        assert!(moves.pause(&name, true));
        assert_eq!(moves.to[&name], Move { to: Offset(7), paused: true });
        assert!(moves.pause(&name, false), "nothing is fetched before it has moved");
        assert_eq!(moves.to[&name], Move { to: Offset(7), paused: false });
        assert!(!moves.pause(&other, true));
    }
}
