//! Lists of partitions, in the words of the Kafka client.

use rdkafka::error::KafkaResult;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::core::kafka::{Offset, TopicPartition};

/// A list of partitions.
pub fn of<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for name in partitions {
        list.add_partition(&name.topic, name.partition);
    }
    list
}

/// A list of partitions, each with an offset.
pub fn at<'a>(
    places: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (name, offset) in places {
        list.add_partition_offset(&name.topic, name.partition, KafkaOffset::Offset(offset.0))?;
    }
    Ok(list)
}

/// The partitions of a list.
pub fn names(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|element| TopicPartition::new(element.topic(), element.partition())).collect()
}
