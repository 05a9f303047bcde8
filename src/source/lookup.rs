//! What has to be asked of Kafka besides records: committed offsets, limits of partitions, sizes of
//! topics. These calls wait for answers, so they run beside the polling thread, never on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::config::Kafka;
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::start::{FirstStart, TopicStart, partition_start, refused_start, reset_start, topic_start};
use crate::core::worker::{Begin, OutOfRangePolicy, Range};
use crate::kafka::rights;

/// How long one question may take.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Asks Kafka, through a consumer that somebody polls.
pub struct Lookup<C: ConsumerContext + 'static> {
    consumer: Arc<BaseConsumer<C>>,
    first: FirstStart,
    out_of_range: OutOfRangePolicy,
}

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Kafka did not answer, or refused.
    #[error("{what}: {error}")]
    Kafka {
        /// What was asked.
        what: String,
        /// What came back.
        error: KafkaError,
    },
    /// The topic is not there.
    #[error("there is no topic {0}")]
    NoTopic(String),
}

impl LookupError {
    /// The error, and which right to give if it says that one is missing.
    pub fn with_advice(&self, kafka: &Kafka) -> String {
        let code = match self {
            Self::Kafka { error, .. } => error.rdkafka_error_code(),
            Self::NoTopic(_) => None,
        };
        match rights::missing_to_read(code, kafka) {
            Some(right) => format!("{self}: {right}"),
            None => self.to_string(),
        }
    }

    /// Whether it says that we may not even see the topic.
    pub fn is_forbidden_topic(&self) -> bool {
        matches!(self, Self::Kafka { error, .. }
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed))
    }
}

fn asked(what: impl Into<String>) -> impl FnOnce(KafkaError) -> LookupError {
    move |error| LookupError::Kafka { what: what.into(), error }
}

impl<C: ConsumerContext + 'static> Lookup<C> {
    /// Asks through this consumer, with these policies.
    pub fn new(consumer: Arc<BaseConsumer<C>>, first: FirstStart, out_of_range: OutOfRangePolicy) -> Self {
        Self { consumer, first, out_of_range }
    }

    /// Finds where partitions begin. Those that cannot be found are left out, with the reason why.
    pub fn starts(&self, wanted: &[(TopicPartition, Epoch)], owned: &[TopicPartition]) -> Starts {
        let mut starts = Starts::default();
        let mut by_topic: BTreeMap<&str, Vec<&(TopicPartition, Epoch)>> = BTreeMap::new();
        for entry in wanted {
            by_topic.entry(&entry.0.topic).or_default().push(entry);
        }
        for (topic, entries) in by_topic {
            let owns_first = owned.iter().any(|name| *name.topic == *topic && name.partition == 0);
            if let Err(error) = self.topic_starts(topic, &entries, owns_first, &mut starts) {
                starts.problem = Some(error);
            }
        }
        starts
    }

    fn topic_starts(
        &self,
        topic: &str,
        entries: &[&(TopicPartition, Epoch)],
        owns_first: bool,
        starts: &mut Starts,
    ) -> Result<(), LookupError> {
        let count = partition_count(&*self.consumer, topic)?;
        let committed = committed(&*self.consumer, topic, count)?;
        match topic_start(&committed, self.first, owns_first) {
            TopicStart::Known => {
                for (name, epoch) in entries {
                    let (low, high) = self.limits(name)?;
                    let known =
                        usize::try_from(name.partition).ok().and_then(|index| committed.get(index).copied());
                    let begin = partition_start(known.flatten(), low, high, self.out_of_range);
                    starts.found.push((name.clone(), *epoch, begin));
                }
            }
            TopicStart::CommitEarliest => self.commit_first(topic, count, |(low, _)| low, entries, starts)?,
            TopicStart::CommitLatest => self.commit_first(topic, count, |(_, high)| high, entries, starts)?,
            // Another member is about to commit them.
            TopicStart::Wait => {}
            TopicStart::Fail => {
                starts
                    .found
                    .extend(entries.iter().map(|(name, epoch)| (name.clone(), *epoch, refused_start())));
            }
        }
        Ok(())
    }

    /// Commits the first start of every partition of a topic, in one request, before any is read.
    fn commit_first(
        &self,
        topic: &str,
        count: i32,
        pick: impl Fn((Offset, Offset)) -> Offset,
        entries: &[&(TopicPartition, Epoch)],
        starts: &mut Starts,
    ) -> Result<(), LookupError> {
        let mut list = TopicPartitionList::new();
        let mut picked = BTreeMap::new();
        for partition in 0..count {
            let offset = pick(self.limits(&TopicPartition::new(topic, partition))?);
            picked.insert(partition, offset);
            list.add_partition_offset(topic, partition, KafkaOffset::Offset(offset.0))
                .map_err(asked(format!("the start of {topic}[{partition}]")))?;
        }
        // Reading the limits took a while. If another member has taken over and begun meanwhile, its
        // offsets must not go back.
        if committed(&*self.consumer, topic, count)?.iter().any(Option::is_some) {
            return Ok(());
        }
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(asked(format!("committing the starts of {topic}")))?;
        tracing::info!(topic, partitions = count, start = ?self.first, "the group is new to the topic: starts committed");
        for (name, epoch) in entries {
            if let Some(offset) = picked.get(&name.partition) {
                starts.found.push((name.clone(), *epoch, Begin::At(*offset)));
            }
        }
        Ok(())
    }

    /// Looks whether somebody has set an offset for a partition that is held because this one does not
    /// exist. Nothing if not.
    pub fn reset(&self, name: &TopicPartition, held: Offset) -> Result<Option<Begin>, LookupError> {
        let count = partition_count(&*self.consumer, &name.topic)?;
        let committed = committed(&*self.consumer, &name.topic, count)?;
        let known = usize::try_from(name.partition).ok().and_then(|index| committed.get(index).copied());
        let (low, high) = self.limits(name)?;
        Ok(reset_start(known.flatten(), held, low, high, self.out_of_range))
    }

    /// Reads the limits of partitions; those that Kafka does not tell are left out.
    pub fn ranges(&self, wanted: &[(TopicPartition, Epoch, Offset)]) -> Result<Vec<Range>, LookupError> {
        wanted
            .iter()
            .map(|(partition, epoch, position)| {
                let (low, high) = self.limits(partition)?;
                Ok(Range { partition: partition.clone(), epoch: *epoch, position: *position, low, high })
            })
            .collect()
    }

    fn limits(&self, name: &TopicPartition) -> Result<(Offset, Offset), LookupError> {
        limits(&*self.consumer, name)
    }
}

/// What [`Lookup::starts`] found.
#[derive(Debug, Default)]
pub struct Starts {
    /// Where partitions begin.
    pub found: Vec<(TopicPartition, Epoch, Begin)>,
    /// Why the rest was not found, unless it only waits for another member.
    pub problem: Option<LookupError>,
}

/// How many partitions a topic has.
pub fn partition_count<C, K: Consumer<C>>(consumer: &K, topic: &str) -> Result<i32, LookupError>
where
    C: ConsumerContext,
{
    let what = || format!("the partitions of {topic}");
    let metadata = consumer.fetch_metadata(Some(topic), TIME_LIMIT).map_err(asked(what()))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| LookupError::NoTopic(topic.to_owned()))?;
    if let Some(error) = found.error() {
        return Err(match RDKafkaErrorCode::from(error) {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                LookupError::NoTopic(topic.to_owned())
            }
            code => LookupError::Kafka { what: what(), error: KafkaError::MetadataFetch(code) },
        });
    }
    Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))
}

/// What the group has committed for each partition of a topic.
pub fn committed<C, K: Consumer<C>>(
    consumer: &K,
    topic: &str,
    count: i32,
) -> Result<Vec<Option<Offset>>, LookupError>
where
    C: ConsumerContext,
{
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, count - 1);
    let what = || format!("the committed offsets of {topic}");
    let answer = consumer.committed_offsets(list, TIME_LIMIT).map_err(asked(what()))?;
    let mut offsets = vec![None; usize::try_from(count).unwrap_or(0)];
    for element in answer.elements() {
        if let Err(error) = element.error() {
            return Err(LookupError::Kafka { what: what(), error });
        }
        let place = usize::try_from(element.partition()).ok().and_then(|index| offsets.get_mut(index));
        if let (Some(place), KafkaOffset::Offset(offset)) = (place, element.offset()) {
            *place = Some(Offset(offset));
        }
    }
    Ok(offsets)
}

/// The oldest offset of a partition and the one of the next record to be written.
pub fn limits<C, K: Consumer<C>>(consumer: &K, name: &TopicPartition) -> Result<(Offset, Offset), LookupError>
where
    C: ConsumerContext,
{
    let (low, high) = consumer
        .fetch_watermarks(&name.topic, name.partition, TIME_LIMIT)
        .map_err(asked(format!("the limits of {name}")))?;
    Ok((Offset(low), Offset(high)))
}
