//! What an administrator does to a cluster, and what can be asked of it.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use crate::support::wait::{self, block_on};

use super::{Cluster, Listener, archive, client, config};

const LIMIT: Duration = Duration::from_secs(30);

/// A consumer group as its coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable`, `Dead`.
    pub state: String,
    /// How many members it has.
    pub members: usize,
}

/// The offset that a group has of a partition, unless its metadata say that it counts no more: `docs/adr/0019` has the
/// words.
pub fn committed_offset(element: &TopicPartitionListElem<'_>) -> Option<i64> {
    match element.offset() {
        Offset::Offset(offset) if !element.metadata().starts_with("withdrawn, ") => Some(offset),
        _ => None,
    }
}

impl Cluster {
    /// Creates a topic with every broker as a replica, and waits until each partition has a leader.
    pub fn create_topic(&self, name: &str, partitions: i32, properties: &[(&str, &str)]) {
        let replicas = i32::try_from(self.nodes.len()).expect("1 or 3");
        let topic = NewTopic {
            name,
            num_partitions: partitions,
            replication: TopicReplication::Fixed(replicas),
            config: properties.to_vec(),
        };
        let result = block_on(self.admin().create_topics([&topic], &options())).expect("create a topic");
        one(&result).unwrap_or_else(|e| panic!("create topic {name}: {e}"));
        self.until_led(name, partitions);
    }

    /// Gives a topic more partitions, to so many in all.
    pub fn add_partitions(&self, topic: &str, total: i32) {
        let total_count = usize::try_from(total).expect("a count");
        let wanted = NewPartitions::new(topic, total_count);
        let result = block_on(self.admin().create_partitions([&wanted], &options())).expect("add partitions");
        one(&result).unwrap_or_else(|e| panic!("add partitions to {topic}: {e}"));
        self.until_led(topic, total);
    }

    /// Deletes a topic and waits until it is gone.
    pub fn delete_topic(&self, topic: &str) {
        let result = block_on(self.admin().delete_topics(&[topic], &options())).expect("delete a topic");
        one(&result).unwrap_or_else(|e| panic!("delete topic {topic}: {e}"));
        wait::until(LIMIT, &format!("the end of topic {topic}"), || {
            (self.partitions(topic) == 0).then_some(())
        });
    }

    /// Deletes a partition's records before an offset.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).expect("a valid offset");
        let done = block_on(self.admin().delete_records(&list, &options())).expect("delete records");
        for element in done.elements() {
            element.error().unwrap_or_else(|e| panic!("delete records of {topic}/{partition}: {e}"));
        }
    }

    /// A topic's settings, those left at their defaults included.
    pub fn topic_settings(&self, topic: &str) -> BTreeMap<String, String> {
        let asked = ResourceSpecifier::Topic(topic);
        let answers =
            block_on(self.admin().describe_configs([&asked], &options())).expect("describe a topic");
        let settings = answers.into_iter().next().expect("one answer").expect("the topic's settings");
        settings.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
    }

    /// Runs one of Kafka's own command line tools, named by its main class, and returns what it
    /// printed. `--bootstrap-server` is added. Takes about a second.
    ///
    /// | for | class |
    /// |---|---|
    /// | topics | `org.apache.kafka.tools.TopicCommand` |
    /// | settings of topics, brokers, users | `kafka.admin.ConfigCommand` |
    /// | groups and their offsets | `org.apache.kafka.tools.consumer.group.ConsumerGroupCommand` |
    /// | rights | `org.apache.kafka.tools.AclCommand` |
    /// | moving partitions | `org.apache.kafka.tools.reassign.ReassignPartitionsCommand` |
    /// | open transactions | `org.apache.kafka.tools.TransactionsCommand` |
    ///
    /// # Panics
    /// When it fails.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let bootstrap = self.bootstrap();
        let mut command = archive::java(self.dir.path(), &[]);
        command.args([class, "--bootstrap-server", &bootstrap]).args(arguments).stdin(Stdio::null());
        let output = command.output().expect("java starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{class} {arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// The node that leads a partition, if one does.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let metadata = self.onlooker().fetch_metadata(Some(topic), Duration::from_secs(2)).ok()?;
        let partitions = metadata.topics().first()?.partitions();
        let leader = partitions.iter().find(|p| p.id() == partition && p.error().is_none())?.leader();
        (leader > 0).then_some(leader)
    }

    /// Waits until so many replicas of a partition are in sync.
    #[track_caller]
    pub fn wait_for_in_sync(&self, topic: &str, partition: i32, replicas: usize, limit: Duration) {
        wait::until_ok(limit, &format!("{replicas} replicas in sync of {topic}/{partition}"), || {
            let metadata = self.onlooker().fetch_metadata(Some(topic), Duration::from_secs(2));
            let metadata = metadata.map_err(|error| error.to_string())?;
            let partitions = metadata.topics().first().map(rdkafka::metadata::MetadataTopic::partitions);
            let found = partitions.and_then(|all| all.iter().find(|p| p.id() == partition));
            let in_sync = found.map_or(0, |p| p.isr().len());
            if in_sync == replicas { Ok(()) } else { Err(format!("{in_sync} in sync")) }
        });
    }

    /// The first offset that a partition holds, and the one that the next record gets.
    pub fn watermarks(&self, topic: &str, partition: i32) -> (i64, i64) {
        self.onlooker()
            .fetch_watermarks(topic, partition, LIMIT)
            .unwrap_or_else(|e| panic!("watermarks of {topic}/{partition}: {e}"))
    }

    /// The offsets that a group has committed, by partition. Partitions without one are left out, and those whose offset
    /// says of itself that it is none any more.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let member: BaseConsumer = client(&self.bootstrap(), &[("group.id", group)]);
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, self.partitions(topic) - 1);
        let list = member
            .committed_offsets(asked, LIMIT)
            .unwrap_or_else(|e| panic!("offsets of group {group} in {topic}: {e}"));
        list.elements()
            .iter()
            .filter_map(|element| Some((element.partition(), committed_offset(element)?)))
            .collect()
    }

    /// Commits offsets for a group that has no members.
    pub fn commit(&self, group: &str, topic: &str, offsets: &BTreeMap<i32, i64>) {
        let member: BaseConsumer = client(&self.bootstrap(), &[("group.id", group)]);
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("a valid offset");
        }
        member
            .commit(&list, rdkafka::consumer::CommitMode::Sync)
            .unwrap_or_else(|e| panic!("commit for group {group} in {topic}: {e}"));
    }

    /// A group's state and size; none when the coordinator does not know it.
    pub fn group(&self, group: &str) -> Option<Group> {
        let list = self.onlooker().fetch_group_list(Some(group), LIMIT).ok()?;
        let info = list.groups().first()?;
        Some(Group { state: info.state().to_owned(), members: info.members().len() })
    }

    /// How many partitions a topic has; 0 when there is no such topic.
    pub fn partitions(&self, topic: &str) -> i32 {
        let metadata = self.onlooker().fetch_metadata(Some(topic), LIMIT).expect("metadata");
        let found = metadata.topics().first().filter(|topic| topic.error().is_none());
        found.map_or(0, |topic| i32::try_from(topic.partitions().len()).expect("a small count"))
    }

    /// Whether a client with these properties of librdkafka gets an answer at a listener.
    pub fn answers(
        &self,
        listener: Listener,
        properties: &[(&str, String)],
        limit: Duration,
    ) -> Result<(), String> {
        let properties: Vec<_> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let client = client(&self.bootstrap_of(listener), &properties);
        client.fetch_metadata(None, limit).map(drop).map_err(|error| error.to_string())
    }

    fn until_led(&self, topic: &str, partitions: i32) {
        wait::until_ok(LIMIT, &format!("{partitions} led partitions of {topic}"), || {
            let led = (0..partitions).filter(|partition| self.leader(topic, *partition).is_some()).count();
            if led == usize::try_from(partitions).expect("a count") {
                Ok(())
            } else {
                Err(format!("{led} led"))
            }
        });
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        config(&self.bootstrap()).create().expect("a client")
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(LIMIT)).operation_timeout(Some(LIMIT))
}

fn one(results: &[TopicResult]) -> Result<(), String> {
    match results.first() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(code.to_string()),
        None => Err("no answer".to_owned()),
    }
}
