//! What the group has of partitions, and how an offset is withdrawn.
//!
//! A commit can be overtaken: its topic is deleted and made anew after the last look, and Kafka keeps an
//! offset that stands for records of the topic before (ADR 0019). Kafka deletes no offset of a topic that
//! the group reads. So another is put over it that passes no record over, and whose metadata say that
//! it is none.

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::util::Timeout;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::lists;
use crate::core::kafka::{Offset, TopicPartition};

/// How the metadata of a withdrawn offset begin. What was withdrawn follows.
const WITHDRAWN: &str = "withdrawn, the topic was made anew: ";

/// What the group has of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Nothing.
    Nothing,
    /// The offset of the next record to read.
    At(Offset),
    /// Nothing either: there was this one, of a topic that is gone.
    Withdrawn(Offset),
}

impl Committed {
    fn read(element: &TopicPartitionListElem<'_>) -> Self {
        let withdrawn = element.metadata().strip_prefix(WITHDRAWN).and_then(|offset| offset.parse().ok());
        match (element.offset(), withdrawn) {
            (_, Some(offset)) => Self::Withdrawn(Offset(offset)),
            (KafkaOffset::Offset(offset), None) => Self::At(Offset(offset)),
            _ => Self::Nothing,
        }
    }

    /// Where to read on.
    pub fn offset(self) -> Option<Offset> {
        match self {
            Self::At(offset) => Some(offset),
            Self::Nothing | Self::Withdrawn(_) => None,
        }
    }

    /// The offset that there is or was.
    pub fn known(self) -> Option<Offset> {
        match self {
            Self::At(offset) | Self::Withdrawn(offset) => Some(offset),
            Self::Nothing => None,
        }
    }
}

/// What the group has of one partition, or why Kafka does not tell.
pub type Present = (TopicPartition, KafkaResult<Committed>);

/// What the group has of these partitions.
///
/// # Errors
/// When Kafka does not answer for any of them.
pub fn of<C: ConsumerContext, K: Consumer<C>>(
    consumer: &K,
    partitions: TopicPartitionList,
    limit: impl Into<Timeout>,
) -> KafkaResult<Vec<Present>> {
    if partitions.count() == 0 {
        return Ok(Vec::new());
    }
    let answer = consumer.committed_offsets(partitions, limit)?;
    let read = |element: &TopicPartitionListElem<'_>| {
        let name = TopicPartition::new(element.topic(), element.partition());
        (name, element.error().map(|()| Committed::read(element)))
    };
    Ok(answer.elements().iter().map(read).collect())
}

/// Those of these offsets that the logs do not reach: they stand for records of other logs.
///
/// # Errors
/// When Kafka does not tell where all of the logs end.
pub fn beyond_the_end<C: ConsumerContext, K: Consumer<C>>(
    consumer: &K,
    offsets: &[(TopicPartition, Offset)],
    limit: impl Into<Timeout>,
) -> KafkaResult<Vec<(TopicPartition, Offset)>> {
    let mut asked = lists::of(offsets.iter().map(|(name, _)| name));
    if asked.count() == 0 {
        return Ok(Vec::new());
    }
    asked.set_all_offsets(KafkaOffset::End)?;
    let ends = consumer.offsets_for_times(asked, limit)?;
    let mut beyond = Vec::new();
    for (name, offset) in offsets {
        let end = ends.find_partition(&name.topic, name.partition);
        match end.map(|end| end.error().map(|()| end.offset())).transpose()? {
            Some(KafkaOffset::Offset(end)) if end >= offset.0 => {}
            Some(KafkaOffset::Offset(_)) => beyond.push((name.clone(), *offset)),
            _ => return Err(KafkaError::OffsetFetch(rdkafka::types::RDKafkaErrorCode::NoOffset)),
        }
    }
    Ok(beyond)
}

/// These offsets, as what has to be committed so that they are withdrawn.
///
/// # Errors
/// When the client cannot hold one of them.
pub fn withdrawing(offsets: &[(TopicPartition, Offset)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (name, offset) in offsets {
        let mut element = list.add_partition(&name.topic, name.partition);
        // To whoever does not know the metadata: it passes over nothing.
        element.set_offset(KafkaOffset::Offset(0))?;
        element.set_metadata(format!("{WITHDRAWN}{}", offset.0));
    }
    Ok(list)
}
