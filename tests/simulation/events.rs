//! What devices have sent: each record of the topics, and what has to become of it.

use std::collections::{BTreeMap, HashMap};

use streamproc::core::kafka::TopicPartition;
use streamproc::core::reason::Reason;
use streamproc::core::write::verdict::Status;

/// 2026-01-01T00:00:00Z. Each record is a millisecond younger than the one before, so that no two become
/// the same document, even if their events are the same byte for byte.
const BEGINNING: i64 = 1_767_225_600_000;

/// Names a record among all that were ever sent, in the order in which they were.
pub(crate) type Number = usize;

/// A document's partition key and id.
pub(crate) type DocumentName = (String, String);

/// What a record is, and so what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is to be stored.
    Good,
    /// No document can be made of it.
    Bad(Bad),
    /// Cosmos DB refuses the document, whenever it is asked.
    Refused(Status),
}

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    NotJson,
    NoId,
    NoValue,
}

impl Fate {
    /// Under which reason it becomes a dead letter; none, if it need not become one.
    pub(crate) fn reason(self) -> Option<Reason> {
        match self {
            Self::Good => None,
            Self::Bad(Bad::NotJson) => Some(Reason::InvalidJson),
            Self::Bad(Bad::NoId) => Some(Reason::MissingId),
            Self::Bad(Bad::NoValue) => Some(Reason::Tombstone),
            Self::Refused(Status { code: 403, .. }) => Some(Reason::PartitionKeyFull),
            Self::Refused(_) => Some(Reason::RejectedByStore),
        }
    }
}

/// An event to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft {
    /// To which of the partitions: a device's events all go to the same.
    pub(crate) partition: usize,
    pub(crate) device: usize,
    pub(crate) id: usize,
    /// What tells its content from that of other events. One that is sent twice has it twice.
    pub(crate) content: usize,
    pub(crate) fate: Fate,
    /// How many bytes it has that mean nothing.
    pub(crate) filler: usize,
    /// How many offsets lie between it and the record before: transactions and compaction leave gaps.
    pub(crate) gap: i64,
    pub(crate) is_readable: bool,
}

/// A record.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) timestamp_millis: i64,
    pub(crate) device: String,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) fate: Fate,
    /// Which document it is a version of, if it is one.
    pub(crate) name: Option<DocumentName>,
    /// That document, byte for byte as it is to be stored.
    pub(crate) document: Vec<u8>,
}

/// Everything that was sent.
#[derive(Default)]
pub(crate) struct Events {
    sent: Vec<Event>,
    by_document: HashMap<Vec<u8>, Number>,
    by_place: BTreeMap<TopicPartition, BTreeMap<i64, Number>>,
    versions: BTreeMap<DocumentName, Vec<Number>>,
}

impl Events {
    /// Kafka has acknowledged the event, at this place.
    pub(crate) fn sent(&mut self, draft: &Draft, partition: TopicPartition, offset: i64) -> Number {
        let number = self.sent.len();
        assert!(number < 1_000, "the timestamps of a world have three digits that differ");
        let (device, id) = (format!("d{}", draft.device), format!("e{}", draft.id));
        let filler = "x".repeat(draft.filler);
        let members = format!(
            r#""eventId":"{id}","deviceId":"{device}","value":{},"filler":"{filler}""#,
            draft.content
        );
        let value = match draft.fate {
            Fate::Good | Fate::Refused(_) => Some(format!("{{{members}}}")),
            Fate::Bad(Bad::NotJson) => Some(format!("{{{members}")),
            Fate::Bad(Bad::NoId) => Some(format!(r#"{{"deviceId":"{device}","value":{}}}"#, draft.content)),
            Fate::Bad(Bad::NoValue) => None,
        };
        let enqueued = format!("2026-01-01T00:00:00.{number:03}Z");
        let document = format!(r#"{{"id":"{id}",{members},"enqueuedAt":"{enqueued}"}}"#).into_bytes();
        let name = (!matches!(draft.fate, Fate::Bad(_))).then_some((device.clone(), id));
        if let Some(name) = &name {
            self.by_document.insert(document.clone(), number);
            self.versions.entry(name.clone()).or_default().push(number);
        }
        self.by_place.entry(partition.clone()).or_default().insert(offset, number);
        self.sent.push(Event {
            partition,
            offset,
            timestamp_millis: BEGINNING + number as i64,
            device,
            value: value.map(String::into_bytes),
            fate: draft.fate,
            name,
            document,
        });
        number
    }

    pub(crate) fn get(&self, number: Number) -> &Event {
        &self.sent[number]
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (Number, &Event)> {
        self.sent.iter().enumerate()
    }

    /// Which record became this document, byte for byte.
    pub(crate) fn of_document(&self, document: &[u8]) -> Option<Number> {
        self.by_document.get(document).copied()
    }

    pub(crate) fn at(&self, partition: &TopicPartition, offset: i64) -> Option<Number> {
        self.by_place.get(partition)?.get(&offset).copied()
    }

    /// The records of a partition from one offset up to another.
    pub(crate) fn between(
        &self,
        partition: &TopicPartition,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = Number> {
        let records = self.by_place.get(partition).into_iter();
        records.flat_map(move |records| records.range(from..to.max(from)).map(|(_, number)| *number))
    }

    /// Every document and the records that are versions of it, the newest last.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (&DocumentName, &[Number])> {
        self.versions.iter().map(|(name, versions)| (name, versions.as_slice()))
    }

    /// The newer versions of the document that a record is a version of.
    pub(crate) fn newer(&self, number: Number) -> impl Iterator<Item = Number> {
        let name = self.sent[number].name.as_ref();
        let versions = name.and_then(|name| self.versions.get(name)).into_iter().flatten().copied();
        versions.filter(move |version| *version > number)
    }
}
