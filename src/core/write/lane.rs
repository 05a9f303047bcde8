//! The writes of one partition key within one micro-batch: one request in flight, the next when the
//! outcome of the one before is known.
//!
//! Every record that goes in comes out exactly once: settled as stored or superseded, or refused
//! with the older version in its place.

use std::collections::VecDeque;
use std::time::Duration;

use super::plan::Versions;
use super::verdict::{Pause, Retry, Scope, Status, Verdict, classify};
use crate::core::mutant::{self, Mutant};
use crate::core::reason::Reason;

/// After so many timeouts in a row a batch is halved: Cosmos DB gives a batch five seconds, and a
/// large one may never make it.
const TIMEOUTS_BEFORE_SPLIT: u32 = 3;

const PARTITION_KEY_MISMATCH: Status = Status::new(400, 1001);

/// What the store answered to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status of the whole request.
    pub status: Status,
    /// For a batch of which some operation was refused: each operation's status.
    pub operations: Vec<Status>,
    /// The request units charged.
    pub request_units: f64,
    /// When the service wants to be asked again.
    pub retry_after: Option<Duration>,
    /// What the service said, for people.
    pub message: String,
}

impl Answer {
    /// Whether it says that the partition key is not the one at the container's paths.
    pub fn is_mismatch(&self) -> bool {
        self.status == PARTITION_KEY_MISMATCH || self.operations.contains(&PARTITION_KEY_MISMATCH)
    }

    /// The same answer, when it is known that the container has the partition key paths that it
    /// should have: then a mismatch (400/1001) is the document's own, and refuses it.
    #[must_use]
    pub fn with_container_in_order(mut self) -> Self {
        let own = |status: &mut Status| {
            if *status == PARTITION_KEY_MISMATCH {
                *status = Status::new(400, 0);
            }
        };
        own(&mut self.status);
        self.operations.iter_mut().for_each(own);
        self
    }

    /// Whether it was too much at the time.
    pub fn is_throttled(&self) -> bool {
        self.status.code == 429 || self.operations.iter().any(|status| status.code == 429)
    }

    /// It was done.
    pub fn stored(request_units: f64) -> Self {
        let status = Status::new(200, 0);
        Self { status, operations: Vec::new(), request_units, retry_after: None, message: String::new() }
    }
}

/// What an answer means for the lane.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// These documents are stored, and their older versions with them.
    Stored(Vec<Versions>),
    /// The next request is another one: the last was split.
    Split,
    /// The same request again, after a backoff.
    Retry(Retry),
    /// The same request again, not before that time.
    Throttled(Option<Duration>),
    /// This record is refused for good: dead-letter it and call [`Lane::give_up`], or hold it back and
    /// ask again.
    Refused(Refusal),
    /// The same request again, once something is repaired.
    Paused(Pause, Status),
}

/// A record that the store refuses for good.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The index of the record in the micro-batch.
    pub record: usize,
    /// Under which reason it becomes a dead letter.
    pub reason: Reason,
    /// The store's status.
    pub status: Status,
    /// What the store said.
    pub message: String,
}

/// The documents of one partition key still to be written.
#[derive(Debug)]
pub struct Lane {
    groups: VecDeque<Vec<Versions>>,
    timeouts: u32,
}

impl Lane {
    /// A lane of requests, each a group of documents.
    pub fn new(groups: Vec<Vec<Versions>>) -> Self {
        Self { groups: groups.into(), timeouts: 0 }
    }

    /// The documents of the next request: one is a point, more are a batch. None: all is done.
    pub fn request(&self) -> Option<&[Versions]> {
        self.groups.front().map(Vec::as_slice)
    }

    /// Takes in the answer to the request.
    pub fn answer(&mut self, answer: &Answer) -> Step {
        let Some(group) = self.groups.front() else { return Step::Split };
        if group.len() == 1 {
            return self.answer_to_point(answer);
        }
        // Of a refused batch one operation is guilty; the rest say 424. The guilty one decides.
        if answer.status.code == 207 && mutant::is(Mutant::IgnoresRefusedOperations) {
            return self.stored();
        }
        if answer.operations.len() == group.len() && answer.status.code == 207 {
            let guilty = (0..group.len()).find(|index| {
                let verdict = classify(answer.operations[*index], Scope::Operation);
                !matches!(verdict, Verdict::Stored | Verdict::Innocent)
            });
            return match guilty {
                Some(index) => self.answer_to_operation(index, answer),
                // Nothing was refused, and nothing was done: that cannot be, so ask in parts.
                None if answer.operations.iter().any(|status| !status.is_success()) => self.halve(),
                None => self.stored(),
            };
        }
        if answer.status.code == 207 {
            // Operations that cannot be told apart: ask in parts.
            return self.halve();
        }
        match classify(answer.status, Scope::Batch) {
            Verdict::Stored => self.stored(),
            Verdict::Split | Verdict::Innocent | Verdict::Reject(_) => self.halve(),
            Verdict::Retry(Retry::Timeout) => {
                self.timeouts += 1;
                if self.timeouts >= TIMEOUTS_BEFORE_SPLIT {
                    self.halve()
                } else {
                    Step::Retry(Retry::Timeout)
                }
            }
            Verdict::Retry(retry) => Step::Retry(retry),
            Verdict::Throttled => Step::Throttled(answer.retry_after),
            Verdict::Pause(pause) => Step::Paused(pause, answer.status),
        }
    }

    /// The refused record is a dead letter: its older version, if there is one, is written in its
    /// place.
    pub fn give_up(&mut self) {
        let Some(group) = self.groups.front_mut() else { return };
        let Some(versions) = group.first_mut() else { return };
        if versions.older.is_empty() {
            self.next_group();
        } else {
            versions.newest = versions.older.remove(0);
        }
    }

    /// Forgets the older versions of the first document, as [`Mutant::ForgetsSuperseded`] does.
    pub fn forget_older(&mut self) -> Vec<usize> {
        let first = self.groups.front_mut().and_then(|group| group.first_mut());
        first.map(|versions| std::mem::take(&mut versions.older)).unwrap_or_default()
    }

    /// What is left, for the plan's tests.
    #[cfg(test)]
    pub(super) fn into_groups(self) -> Vec<Vec<Versions>> {
        self.groups.into()
    }

    fn answer_to_point(&mut self, answer: &Answer) -> Step {
        match classify(answer.status, Scope::Point) {
            Verdict::Stored => self.stored(),
            Verdict::Reject(reason) => self.refused(reason, answer),
            Verdict::Retry(retry) => Step::Retry(retry),
            Verdict::Throttled => Step::Throttled(answer.retry_after),
            Verdict::Pause(pause) => Step::Paused(pause, answer.status),
            // A point cannot be split, and nobody else can be guilty.
            Verdict::Split | Verdict::Innocent => Step::Paused(Pause::UnknownAnswer, answer.status),
        }
    }

    fn answer_to_operation(&mut self, index: usize, answer: &Answer) -> Step {
        let status = answer.operations[index];
        match classify(status, Scope::Operation) {
            Verdict::Retry(retry) => Step::Retry(retry),
            Verdict::Throttled => Step::Throttled(answer.retry_after),
            Verdict::Pause(pause) => Step::Paused(pause, status),
            Verdict::Split | Verdict::Reject(_) | Verdict::Stored | Verdict::Innocent => {
                self.single_out(index)
            }
        }
    }

    fn refused(&self, reason: Reason, answer: &Answer) -> Step {
        match self.request() {
            Some([versions, ..]) => Step::Refused(Refusal {
                record: versions.newest,
                reason,
                status: answer.status,
                message: answer.message.clone(),
            }),
            _ => Step::Split,
        }
    }

    fn stored(&mut self) -> Step {
        Step::Stored(self.next_group().unwrap_or_default())
    }

    fn next_group(&mut self) -> Option<Vec<Versions>> {
        self.timeouts = 0;
        self.groups.pop_front()
    }

    /// Asks for what is before the guilty document, for it alone, and for what is behind it: in the
    /// order of the offsets.
    fn single_out(&mut self, index: usize) -> Step {
        if let Some(mut before) = self.next_group() {
            let mut guilty = before.split_off(index);
            let behind = guilty.split_off(1);
            for group in [behind, guilty, before] {
                if !group.is_empty() {
                    self.groups.push_front(group);
                }
            }
        }
        Step::Split
    }

    fn halve(&mut self) -> Step {
        if let Some(mut first) = self.next_group() {
            let second = first.split_off(first.len() / 2);
            self.groups.push_front(second);
            self.groups.push_front(first);
        }
        Step::Split
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn single(newest: usize) -> Versions {
        Versions { newest, older: Vec::new(), length: 10 }
    }

    fn lane(count: usize) -> Lane {
        Lane::new(vec![(0..count).map(single).collect()])
    }

    fn status(code: u16) -> Answer {
        Answer { status: Status::new(code, 0), message: format!("said {code}"), ..Answer::stored(1.0) }
    }

    fn refused_operation(count: usize, guilty: usize, code: u16) -> Answer {
        let operations =
            (0..count).map(|index| Status::new(if index == guilty { code } else { 424 }, 0)).collect();
        Answer { operations, ..status(207) }
    }

    fn waiting(lane: &Lane) -> Vec<Vec<usize>> {
        lane.groups.iter().map(|group| group.iter().map(|versions| versions.newest).collect()).collect()
    }

    #[test]
    fn the_guilty_operation_is_asked_alone_and_the_others_together_in_order() {
        let mut lane = lane(5);
        assert_eq!(lane.answer(&refused_operation(5, 3, 409)), Step::Split);
        assert_eq!(waiting(&lane), [vec![0, 1, 2], vec![3], vec![4]]);
    }

    #[test]
    fn a_batch_refused_as_a_whole_is_halved_down_to_points() {
        let mut lane = lane(4);
        assert_eq!(lane.answer(&status(413)), Step::Split);
        assert_eq!(lane.answer(&status(413)), Step::Split);
        assert_eq!(waiting(&lane), [vec![0], vec![1], vec![2, 3]]);
    }

    #[test]
    fn a_throttled_operation_throttles_its_batch_and_refuses_nothing() {
        let mut lane = lane(3);
        assert_eq!(lane.answer(&refused_operation(3, 1, 429)), Step::Throttled(None));
        assert_eq!(waiting(&lane), [[0, 1, 2]]);
    }

    #[test]
    fn a_batch_that_always_times_out_is_halved() {
        let mut lane = lane(4);
        assert_eq!(lane.answer(&status(408)), Step::Retry(Retry::Timeout));
        assert_eq!(lane.answer(&status(408)), Step::Retry(Retry::Timeout));
        assert_eq!(lane.answer(&status(408)), Step::Split);
        assert_eq!(waiting(&lane), [[0, 1], [2, 3]]);
    }

    #[test]
    fn an_older_version_is_written_when_the_newest_is_refused() {
        let versions = Versions { newest: 9, older: vec![4, 2], length: 10 };
        let mut lane = Lane::new(vec![vec![versions]]);
        let Step::Refused(refusal) = lane.answer(&status(409)) else { panic!() };
        assert_eq!((refusal.record, refusal.reason), (9, Reason::RejectedByStore));
        lane.give_up();
        let Step::Stored(stored) = lane.answer(&Answer::stored(1.0)) else { panic!() };
        assert_eq!((stored[0].newest, stored[0].older.as_slice()), (4, [2].as_slice()));
        assert_eq!(lane.request(), None);
    }

    #[test]
    fn a_refused_document_without_an_older_version_is_left_behind() {
        let mut lane = lane(2);
        lane.answer(&refused_operation(2, 0, 400));
        assert!(matches!(lane.answer(&status(400)), Step::Refused(_)));
        lane.give_up();
        assert_eq!(waiting(&lane), [[1]]);
    }

    #[test]
    fn a_key_mismatch_refuses_the_document_only_when_the_container_is_known_to_be_in_order() {
        let mismatch = Answer { status: Status::new(400, 1001), ..status(400) };
        let mut lane = lane(1);
        assert!(matches!(lane.answer(&mismatch), Step::Paused(Pause::PartitionKeyMismatch, _)));
        assert!(matches!(lane.answer(&mismatch.with_container_in_order()), Step::Refused(_)));
    }

    #[test]
    fn what_would_stop_every_write_keeps_the_request() {
        for (code, pause) in
            [(401, Pause::SignIn), (404, Pause::ContainerMissing), (418, Pause::UnknownAnswer)]
        {
            let mut lane = lane(2);
            assert_eq!(lane.answer(&status(code)), Step::Paused(pause, Status::new(code, 0)));
            assert_eq!(waiting(&lane), [[0, 1]]);
        }
    }

    /// A store that refuses some records for good, and fails in other ways for a while.
    struct Store {
        refuses: BTreeSet<usize>,
        faults: Vec<u16>,
    }

    impl Store {
        fn write(&mut self, group: &[Versions]) -> Answer {
            // 413 of a point would be a refusal, not a fault.
            if let Some(code) = self.faults.pop().filter(|code| *code != 413 || group.len() > 1) {
                return status(code);
            }
            let guilty = group.iter().position(|versions| self.refuses.contains(&versions.newest));
            match guilty {
                None => Answer::stored(1.0),
                Some(_) if group.len() == 1 => status(409),
                // Sometimes the service names the guilty operation, sometimes it refuses the whole.
                Some(index) if index % 2 == 0 => refused_operation(group.len(), index, 409),
                Some(_) => status(400),
            }
        }
    }

    proptest! {
        #[test]
        fn every_record_ends_once_and_the_newest_that_is_taken_wins(
            sizes in prop::collection::vec(1..4usize, 1..30),
            refused in prop::collection::btree_set(0..90usize, 0..20),
            faults in prop::collection::vec(prop::sample::select(vec![408, 413, 429, 449, 503, 401]), 0..12),
        ) {
            let mut next = 0;
            let mut group = Vec::new();
            for size in sizes {
                let records: Vec<usize> = (next..next + size).rev().collect();
                next += size;
                group.push(Versions { newest: records[0], older: records[1..].to_vec(), length: 1 });
            }
            let documents = group.clone();
            let mut lane = Lane::new(vec![group]);
            let mut store = Store { refuses: refused.clone(), faults };
            let mut ended: BTreeMap<usize, &str> = BTreeMap::new();
            let mut requests = 0;
            while let Some(request) = lane.request() {
                requests += 1;
                prop_assert!(requests < 3_000, "it never ends");
                let answer = store.write(request);
                match lane.answer(&answer) {
                    Step::Stored(stored) => for versions in stored {
                        prop_assert_eq!(ended.insert(versions.newest, "stored"), None);
                        for older in versions.older {
                            prop_assert_eq!(ended.insert(older, "superseded"), None);
                        }
                    },
                    Step::Refused(refusal) => {
                        prop_assert_eq!(ended.insert(refusal.record, "refused"), None);
                        lane.give_up();
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(ended.len(), next);
            for document in documents {
                let versions = std::iter::once(document.newest).chain(document.older);
                let mut taken = false;
                for record in versions {
                    let expected = match (refused.contains(&record), taken) {
                        (_, true) => "superseded",
                        (true, false) => "refused",
                        (false, false) => "stored",
                    };
                    taken |= expected == "stored";
                    prop_assert_eq!(ended[&record], expected);
                }
            }
        }
    }
}
