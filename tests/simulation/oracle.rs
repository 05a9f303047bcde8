//! Knows everything that happens, and what must never happen.
//!
//! | rule | what must hold |
//! |------|----------------|
//! | A1   | every acknowledged event is stored or dead-lettered, unless Kafka deleted it before or policy left it out |
//! | A2   | a document holds the newest version that is no dead letter; a write that landed late may have overwritten it |
//! | A3   | everything below a committed offset is stored, dead-lettered, or an older version of what is stored; commits never go back, and come from who has the partition |
//! | A4   | the records in a process stay within its byte budget |
//! | A5   | when nothing goes wrong any more, everything is committed before long |
//! | A6   | a dead letter is a record that can never be stored, under its right reason, untouched |
//! | A7   | then, too, no sink says that something holds it |
//! | P4   | a writer has one request in flight for a partition key, and starts them in the order of the offsets |
//! | P8   | a process that is told to end does, within its time limit |
//! | -    | nothing panics |
//!
//! A write lands *late* when nobody waits for its answer any more (its time is over, or its writer has been
//! told to let go), or when the group has taken the partition from its writer meanwhile. Which is why the
//! store tells for each write whether it did.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use streamproc::core::kafka::{Epoch, TopicPartition};
use streamproc::core::reason::Reason;
use tokio::sync::Notify;

use super::events::{DocumentName, Events, Number};
use super::group::MemberId;

/// A rule does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

/// Whose request it is: one epoch of one partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Writer {
    /// Processes are counted; one that is started anew is another.
    pub(crate) process: usize,
    pub(crate) worker: usize,
    /// None: its membership was over before it began.
    pub(crate) member: Option<MemberId>,
    pub(crate) partition: TopicPartition,
    pub(crate) epoch: Epoch,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} {} in {}", self.process, self.worker, self.partition, self.epoch)
    }
}

/// Who watches.
pub(crate) struct Oracle {
    broken: Option<Broken>,
    bell: Arc<Notify>,
    records: BTreeMap<Number, Known>,
    /// What was written over what, the last at the end.
    documents: BTreeMap<DocumentName, Vec<Write>>,
    committed: BTreeMap<TopicPartition, i64>,
    lanes: BTreeMap<(Writer, String), Lane>,
    /// How often things happened, by their names.
    tally: BTreeMap<&'static str, u64>,
}

/// What is known of a record.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    stored: bool,
    dead_lettered: bool,
    refused: bool,
    /// It may be missing.
    excused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    number: Number,
    is_late: bool,
}

/// The requests of a writer for one partition key.
#[derive(Debug, Default)]
struct Lane {
    is_in_flight: bool,
    /// The lowest offset of the last one.
    from: i64,
}

impl Oracle {
    pub(crate) fn new(bell: Arc<Notify>) -> Self {
        Self {
            broken: None,
            bell,
            records: BTreeMap::new(),
            documents: BTreeMap::new(),
            committed: BTreeMap::new(),
            lanes: BTreeMap::new(),
            tally: BTreeMap::new(),
        }
    }

    /// The first rule that was found not to hold.
    pub(crate) fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    pub(crate) fn breaks(&mut self, rule: &'static str, what: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { rule, what: what() });
            self.bell.notify_waiters();
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub(crate) fn tally(&self) -> &BTreeMap<&'static str, u64> {
        &self.tally
    }

    fn known(&self, number: Number) -> Known {
        self.records.get(&number).copied().unwrap_or_default()
    }

    fn know(&mut self, number: Number) -> &mut Known {
        self.records.entry(number).or_default()
    }

    /// A request goes out.
    pub(crate) fn started(&mut self, events: &Events, writer: &Writer, key: &str, numbers: &[Number]) {
        let offsets: Vec<i64> = numbers.iter().map(|number| events.get(*number).offset).collect();
        let Some((from, first)) = offsets.first().copied().zip(numbers.first()) else { return };
        // When the newest version is refused, an older one is written in its place.
        let stands_in = numbers.len() == 1 && events.newer(*first).any(|newer| self.known(newer).refused);
        let lane = self.lanes.entry((writer.clone(), key.to_owned())).or_default();
        let is_first = !std::mem::replace(&mut lane.is_in_flight, true);
        let before = lane.from;
        if !stands_in {
            lane.from = from;
        }
        if !is_first {
            self.breaks("P4", || format!("{writer} has two requests for {key} in flight"));
        }
        let is_ascending = offsets.windows(2).all(|pair| pair[0] < pair[1]);
        if !is_ascending || from < before && !stands_in {
            self.breaks("P4", || format!("{writer} writes {offsets:?} of {key} after {before}"));
        }
    }

    /// Nobody waits for its answer any more.
    pub(crate) fn is_over(&mut self, writer: &Writer, key: &str) {
        if let Some(lane) = self.lanes.get_mut(&(writer.clone(), key.to_owned())) {
            lane.is_in_flight = false;
        }
    }

    /// Cosmos DB has a document.
    pub(crate) fn stored(&mut self, events: &Events, number: Number, is_late: bool) {
        self.know(number).stored = true;
        if let Some(name) = &events.get(number).name {
            self.documents.entry(name.clone()).or_default().push(Write { number, is_late });
        }
    }

    /// Cosmos DB refuses a document for good.
    pub(crate) fn refused(&mut self, number: Number) {
        self.know(number).refused = true;
    }

    /// The dead-letter topic has a record.
    pub(crate) fn dead_lettered(&mut self, events: &Events, number: Number, reason: Reason) {
        self.know(number).dead_lettered = true;
        let event = events.get(number);
        if event.fate.reason() != Some(reason) {
            self.breaks("A6", || {
                format!("{}@{}, {:?}, is a dead letter: {reason}", event.partition, event.offset, event.fate)
            });
        }
    }

    /// A record may be missing from now on: Kafka has deleted it, or policy or an operator leaves it out.
    pub(crate) fn excuse(&mut self, numbers: impl IntoIterator<Item = Number>) {
        for number in numbers {
            self.know(number).excused = true;
        }
    }

    /// Somebody has set the group's offset.
    pub(crate) fn offset_set(&mut self, name: &TopicPartition, offset: i64) {
        self.committed.insert(name.clone(), offset);
    }

    /// The group has taken a commit of a member. `owner` is who has the partition.
    pub(crate) fn committed(
        &mut self,
        events: &Events,
        name: &TopicPartition,
        offset: i64,
        by: MemberId,
        owner: Option<MemberId>,
    ) {
        let before = self.committed.insert(name.clone(), offset);
        if before.is_some_and(|before| offset < before) {
            self.breaks("A3", || format!("the commit of {name} goes back from {before:?} to {offset}"));
        }
        // The first start of a topic is committed for all of its partitions by one member.
        if owner != Some(by) && before.is_some() {
            self.breaks("A3", || format!("{by:?} commits {offset} of {name}, which {owner:?} has"));
        }
        if let Some(lost) = events.between(name, 0, offset).find(|number| !self.is_done(events, *number)) {
            self.breaks("A3", || {
                format!(
                    "{offset} of {name} is committed, and {} below it is not done",
                    events.get(lost).offset
                )
            });
        }
    }

    /// Whether nothing is left to be done about a record.
    fn is_done(&self, events: &Events, number: Number) -> bool {
        let known = self.known(number);
        let is_superseded = || events.newer(number).any(|newer| self.known(newer).stored);
        known.stored || known.dead_lettered || known.excused || is_superseded()
    }

    /// Everything is at rest: looks at what came of it. `document` gives what Cosmos DB has.
    pub(crate) fn looks_at_the_end<'a>(
        &mut self,
        events: &Events,
        document: impl Fn(&DocumentName) -> Option<&'a [u8]>,
    ) {
        if let Some((_, lost)) = events.all().find(|(number, _)| !self.is_done(events, *number)) {
            self.breaks("A1", || format!("{}@{} is lost: {:?}", lost.partition, lost.offset, lost.fate));
        }
        for (name, versions) in events.documents() {
            let expected = self.acceptable(versions);
            let stored = document(name);
            let is_one_of = |number: &Number| stored == Some(events.get(*number).document.as_slice());
            if expected.iter().any(is_one_of) || expected.is_empty() && stored.is_none() {
                continue;
            }
            let writes = self.documents.get(name).cloned().unwrap_or_default();
            let was_there = writes.iter().any(|write| expected.contains(&write.number));
            if was_there && writes.last().is_some_and(|last| last.is_late) {
                self.count("documents overwritten by a write that landed late");
                continue;
            }
            let stored = stored.map(String::from_utf8_lossy);
            self.breaks("A2", || format!("{name:?} is {stored:?} after {writes:?}, not {expected:?}"));
        }
    }

    /// Which versions of a document may be there at rest: the newest that is no dead letter. If that one may
    /// be missing, because Kafka has deleted it before it was read for the last time, the next older will do.
    fn acceptable(&self, versions: &[Number]) -> Vec<Number> {
        let mut acceptable = Vec::new();
        for number in versions.iter().rev() {
            let known = self.known(*number);
            if known.stored {
                acceptable.push(*number);
            }
            if !known.excused && !known.dead_lettered {
                break;
            }
        }
        acceptable
    }
}
