//! What has to be asked of Kafka besides records: committed offsets, limits of partitions, sizes of
//! topics. These calls wait for answers, so they run beside the polling thread, never on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::committed::{self, Committed};
use super::lists;
use super::seen::Seen;
use crate::config::Kafka;
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::start::{FirstStart, TopicStart, partition_start, refused_start, reset_start, topic_start};
use crate::core::worker::{Begin, OutOfRangePolicy, Range};
use crate::kafka::rights;

/// How long one question may take.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// A question that took so long was not refused: the broker does not answer.
const SILENCE: Duration = Duration::from_secs(2);

/// Asks Kafka, through a consumer that somebody polls. What one partition's broker does not answer
/// keeps no other partition from its answer, and costs [`TIME_LIMIT`] once: until the next look-up, no
/// more is asked of that broker.
pub struct Lookup<'a, C: ConsumerContext + 'static> {
    consumer: Arc<BaseConsumer<C>>,
    first: FirstStart,
    out_of_range: OutOfRangePolicy,
    seen: Seen,
    silent: BTreeSet<i32>,
    ending: &'a AtomicBool,
}

/// The partitions of a topic, and which broker leads each.
type Leaders = BTreeMap<i32, Option<i32>>;

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
    /// The topic has fewer partitions.
    #[error("there is no partition {0}")]
    NoPartition(TopicPartition),
    /// No broker leads the partition.
    #[error("the limits of {0}: no broker leads the partition")]
    NoLeader(TopicPartition),
    /// The broker that leads the partition has just not answered another question.
    #[error("the limits of {0}: broker {1} does not answer")]
    Silent(TopicPartition, i32),
}

impl LookupError {
    /// The error, and which right to give if it says that one is missing.
    pub fn with_advice(&self, kafka: &Kafka) -> String {
        let code = match self {
            Self::Kafka { error, .. } => error.rdkafka_error_code(),
            Self::NoTopic(_) | Self::NoPartition(_) | Self::NoLeader(_) | Self::Silent(..) => None,
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

impl<'a, C: ConsumerContext + 'static> Lookup<'a, C> {
    /// Asks through this consumer, with these policies, and nothing more once `ending` is true.
    pub fn new(
        consumer: Arc<BaseConsumer<C>>,
        first: FirstStart,
        out_of_range: OutOfRangePolicy,
        seen: Seen,
        ending: &'a AtomicBool,
    ) -> Self {
        Self { consumer, first, out_of_range, seen, silent: BTreeSet::new(), ending }
    }

    /// Finds where partitions begin. Those that cannot be found are left out, with the reason why.
    pub fn starts(&mut self, wanted: &[(TopicPartition, Epoch)], owned: &[TopicPartition]) -> Found<Start> {
        let mut starts = Found::default();
        for (topic, entries) in by_topic(wanted, |(name, _)| name) {
            let owns_first = owned.iter().any(|name| *name.topic == *topic && name.partition == 0);
            if let Err(error) = self.topic_starts(topic, &entries, owns_first, &mut starts) {
                starts.problem.get_or_insert(error);
            }
        }
        starts
    }

    fn topic_starts(
        &mut self,
        topic: &str,
        entries: &[&(TopicPartition, Epoch)],
        owns_first: bool,
        starts: &mut Found<Start>,
    ) -> Result<(), LookupError> {
        let leaders = leaders(&*self.consumer, topic)?;
        let count = count(&leaders);
        let committed = committed(&*self.consumer, topic, count)?;
        for (partition, committed) in (0..).zip(&committed) {
            if let Some(offset) = committed.known() {
                self.seen.note(&TopicPartition::new(topic, partition), offset);
            }
        }
        let committed = offsets(&committed);
        match topic_start(&committed, self.seen.knows(topic), self.first, owns_first) {
            TopicStart::Known => {
                for (name, epoch) in entries {
                    let (low, high) = match self.limits(&leaders, name) {
                        Ok(limits) => limits,
                        Err(error) => {
                            starts.problem.get_or_insert(error);
                            continue;
                        }
                    };
                    let (present, before) = (of(&committed, name), self.seen.of(name));
                    let begin = partition_start(present, before, low, high, self.out_of_range);
                    starts.found.push((name.clone(), *epoch, begin));
                }
            }
            TopicStart::CommitEarliest => {
                self.commit_first(topic, &leaders, First::Oldest, entries, starts)?;
            }
            TopicStart::CommitLatest => self.commit_first(topic, &leaders, First::End, entries, starts)?,
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

    /// Commits the first start of every partition of a topic, in one request, before any is read. A
    /// partition whose limits are not known can be left out if all begin at the oldest record: so does
    /// one without an offset in a topic that the group knows.
    fn commit_first(
        &mut self,
        topic: &str,
        leaders: &Leaders,
        first: First,
        entries: &[&(TopicPartition, Epoch)],
        starts: &mut Found<Start>,
    ) -> Result<(), LookupError> {
        let mut picked = BTreeMap::new();
        for partition in leaders.keys().copied() {
            let name = TopicPartition::new(topic, partition);
            let offset = match (self.limits(leaders, &name), first) {
                (Ok((low, _)), First::Oldest) => low,
                (Ok((_, high)), First::End) => high,
                (Err(error), First::Oldest) => {
                    starts.problem.get_or_insert(error);
                    continue;
                }
                (Err(error), First::End) => return Err(error),
            };
            picked.insert(name, offset);
        }
        // Reading the limits took a while. If another member has taken over and begun meanwhile, its
        // offsets must not go back.
        let committed = committed(&*self.consumer, topic, count(leaders))?;
        let is_begun = committed.iter().any(|committed| committed.known().is_some());
        if is_begun || picked.is_empty() || self.is_ending() {
            return Ok(());
        }
        lists::at(picked.iter().map(|(name, offset)| (name, *offset)))
            .and_then(|list| self.consumer.commit(&list, CommitMode::Sync))
            .map_err(asked(format!("committing the starts of {topic}")))?;
        for (name, offset) in &picked {
            self.seen.note(name, *offset);
        }
        let (partitions, start) = (picked.len(), self.first);
        tracing::info!(topic, partitions, ?start, "the group is new to the topic: starts committed");
        for (name, epoch) in entries {
            if let Some(offset) = picked.get(name) {
                starts.found.push((name.clone(), *epoch, Begin::At(*offset)));
            }
        }
        Ok(())
    }

    /// Looks whether somebody has set offsets for partitions that are held because these do not exist.
    /// Those for which nobody has are left out.
    pub fn resets(&mut self, wanted: &[(TopicPartition, Epoch, Offset)]) -> Found<Start> {
        let mut resets = Found::default();
        for (topic, entries) in by_topic(wanted, |(name, ..)| name) {
            if let Err(error) = self.topic_resets(topic, &entries, &mut resets) {
                resets.problem.get_or_insert(error);
            }
        }
        resets
    }

    fn topic_resets(
        &mut self,
        topic: &str,
        entries: &[&(TopicPartition, Epoch, Offset)],
        resets: &mut Found<Start>,
    ) -> Result<(), LookupError> {
        let leaders = leaders(&*self.consumer, topic)?;
        let committed = offsets(&committed(&*self.consumer, topic, count(&leaders))?);
        for (name, epoch, held) in entries {
            match self.limits(&leaders, name) {
                Ok((low, high)) => {
                    let reset = reset_start(of(&committed, name), *held, low, high, self.out_of_range);
                    resets.found.extend(reset.map(|begin| (name.clone(), *epoch, begin)));
                }
                Err(error) => drop(resets.problem.get_or_insert(error)),
            }
        }
        Ok(())
    }

    /// Reads the limits of partitions. Those that Kafka does not tell are left out, with the reason why.
    pub fn ranges(&mut self, wanted: &[(TopicPartition, Epoch, Offset)]) -> Found<Range> {
        let mut ranges = Found::default();
        for (topic, entries) in by_topic(wanted, |(name, ..)| name) {
            let leaders = match leaders(&*self.consumer, topic) {
                Ok(leaders) => leaders,
                Err(error) => {
                    ranges.problem.get_or_insert(error);
                    continue;
                }
            };
            for (name, epoch, position) in entries {
                let (partition, epoch, position) = (name.clone(), *epoch, *position);
                match self.limits(&leaders, name) {
                    Ok((low, high)) => ranges.found.push(Range { partition, epoch, position, low, high }),
                    Err(error) => drop(ranges.problem.get_or_insert(error)),
                }
            }
        }
        ranges
    }

    fn limits(&mut self, leaders: &Leaders, name: &TopicPartition) -> Result<(Offset, Offset), LookupError> {
        let leader = match leaders.get(&name.partition) {
            None => return Err(LookupError::NoPartition(name.clone())),
            Some(None) => return Err(LookupError::NoLeader(name.clone())),
            Some(Some(leader)) => *leader,
        };
        if self.silent.contains(&leader) || self.is_ending() {
            return Err(LookupError::Silent(name.clone(), leader));
        }
        let begun = Instant::now();
        let limits = limits(&*self.consumer, name);
        if limits.is_err() && begun.elapsed() >= SILENCE {
            self.silent.insert(leader);
        }
        limits
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }
}

/// Where all partitions of a topic begin that the group is new to.
#[derive(Clone, Copy, Debug)]
enum First {
    Oldest,
    End,
}

/// What a look-up found.
#[derive(Debug)]
pub struct Found<T> {
    /// What is known of partitions.
    pub found: Vec<T>,
    /// Why the first of the rest is not known, unless it only waits for somebody else.
    pub problem: Option<LookupError>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { found: Vec::new(), problem: None }
    }
}

/// Where a partition begins.
pub type Start = (TopicPartition, Epoch, Begin);

fn by_topic<T>(wanted: &[T], name: impl Fn(&T) -> &TopicPartition) -> BTreeMap<&str, Vec<&T>> {
    let mut by_topic: BTreeMap<&str, Vec<&T>> = BTreeMap::new();
    for entry in wanted {
        by_topic.entry(&name(entry).topic).or_default().push(entry);
    }
    by_topic
}

/// What of the offsets of a topic is a partition's.
fn of(committed: &[Option<Offset>], name: &TopicPartition) -> Option<Offset> {
    let index = usize::try_from(name.partition).ok()?;
    committed.get(index).copied().flatten()
}

/// How many partitions a topic has.
pub fn partition_count<C, K: Consumer<C>>(consumer: &K, topic: &str) -> Result<i32, LookupError>
where
    C: ConsumerContext,
{
    Ok(count(&leaders(consumer, topic)?))
}

fn count(leaders: &Leaders) -> i32 {
    i32::try_from(leaders.len()).unwrap_or(i32::MAX)
}

fn leaders<C, K: Consumer<C>>(consumer: &K, topic: &str) -> Result<Leaders, LookupError>
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
    let led = |id: i32| (id >= 0).then_some(id);
    Ok(found.partitions().iter().map(|partition| (partition.id(), led(partition.leader()))).collect())
}

/// What the group has of each partition of a topic.
pub fn committed<C, K: Consumer<C>>(
    consumer: &K,
    topic: &str,
    count: i32,
) -> Result<Vec<Committed>, LookupError>
where
    C: ConsumerContext,
{
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, count - 1);
    let what = || format!("the committed offsets of {topic}");
    let answer = committed::of(consumer, list, TIME_LIMIT).map_err(asked(what()))?;
    let mut all = vec![Committed::Nothing; usize::try_from(count).unwrap_or(0)];
    for (name, present) in answer {
        let place = usize::try_from(name.partition).ok().and_then(|index| all.get_mut(index));
        let present = present.map_err(asked(what()))?;
        if let Some(place) = place {
            *place = present;
        }
    }
    Ok(all)
}

fn offsets(committed: &[Committed]) -> Vec<Option<Offset>> {
    committed.iter().map(|committed| committed.offset()).collect()
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

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::DefaultConsumerContext;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;

    static GOES_ON: AtomicBool = AtomicBool::new(false);

    type Cluster = MockCluster<'static, DefaultProducerContext>;

    /// A topic of so many partitions on three brokers, and a look-up that begins at the oldest record.
    fn topic(partitions: i32) -> (Cluster, Lookup<'static, DefaultConsumerContext>) {
        let cluster = MockCluster::new(3).unwrap();
        cluster.create_topic("t", partitions, 1).unwrap();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("group.id", "g")
            .create()
            .unwrap();
        let policy = OutOfRangePolicy::Hold;
        let lookup = Lookup::new(Arc::new(consumer), FirstStart::Earliest, policy, Seen::default(), &GOES_ON);
        (cluster, lookup)
    }

    fn all(partitions: i32) -> Vec<(TopicPartition, Epoch)> {
        (0..partitions).map(|number| (TopicPartition::new("t", number), Epoch(1))).collect()
    }

    fn numbers(starts: &Found<Start>) -> Vec<i32> {
        starts.found.iter().map(|(name, ..)| name.partition).collect()
    }

    #[test]
    fn a_partition_without_a_leader_holds_up_the_start_of_no_other() {
        let (cluster, mut lookup) = topic(4);
        for partition in [0, 2] {
            cluster.partition_leader("t", partition, None).unwrap();
        }
        let begun = Instant::now();
        let first = [TopicPartition::new("t", 0)];
        // The group is new to the topic, and then it knows it.
        for known in [false, true] {
            let starts = lookup.starts(&all(4), &first);
            assert_eq!(numbers(&starts), [1, 3], "{known}: {:?}", starts.problem);
            assert!(matches!(&starts.problem, Some(LookupError::NoLeader(name)) if name.partition == 0));
        }
        assert!(begun.elapsed() < TIME_LIMIT, "{:?}", begun.elapsed());
        for partition in [0, 2] {
            cluster.partition_leader("t", partition, Some(1)).unwrap();
        }
        assert_eq!(numbers(&lookup.starts(&all(4), &first)), [0, 1, 2, 3]);
    }

    #[test]
    fn a_group_that_begins_at_the_end_waits_for_every_partition_of_a_topic() {
        let (cluster, mut lookup) = topic(2);
        lookup.first = FirstStart::Latest;
        cluster.partition_leader("t", 1, None).unwrap();
        let first = [TopicPartition::new("t", 0)];
        let starts = lookup.starts(&all(2), &first);
        assert!(starts.found.is_empty() && starts.problem.is_some(), "{starts:?}");
        cluster.partition_leader("t", 1, Some(1)).unwrap();
        assert_eq!(numbers(&lookup.starts(&all(2), &first)), [0, 1]);
    }

    #[test]
    fn a_partition_or_a_topic_that_is_no_more_holds_up_the_limits_of_no_other() {
        let (_cluster, mut lookup) = topic(1);
        let wanted = [("a", 0), ("t", 5), ("t", 0)]
            .map(|(topic, number)| (TopicPartition::new(topic, number), Epoch(1), Offset(0)));
        let ranges = lookup.ranges(&wanted[1..]);
        let found: Vec<_> = ranges.found.iter().map(|range| range.partition.partition).collect();
        assert_eq!(found, [0]);
        assert!(matches!(ranges.problem, Some(LookupError::NoPartition(_))), "{:?}", ranges.problem);
        assert_eq!(lookup.ranges(&wanted).found.len(), 1);
    }

    #[test]
    fn a_broker_that_does_not_answer_is_asked_once_in_a_look_up() {
        let (cluster, mut lookup) = topic(6);
        for partition in 0..6 {
            cluster.partition_leader("t", partition, Some(if partition < 4 { 2 } else { 1 })).unwrap();
        }
        let leaders = leaders(&*lookup.consumer, "t").unwrap();
        let mut found = || -> Vec<_> {
            all(6)
                .into_iter()
                .filter_map(|(name, _)| lookup.limits(&leaders, &name).is_ok().then_some(name.partition))
                .collect()
        };
        assert_eq!(found(), [0, 1, 2, 3, 4, 5]);
        cluster.broker_round_trip_time(2, Duration::from_secs(30)).unwrap();
        let begun = Instant::now();
        assert_eq!(found(), [4, 5]);
        assert!(begun.elapsed() < 2 * TIME_LIMIT, "{:?}", begun.elapsed());
    }
}
