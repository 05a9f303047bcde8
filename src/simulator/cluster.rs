//! Looking at the cluster before the first event, and at its reader while events go out.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::hold_back::HoldBack;
use super::{Options, SimulatorError};
use crate::kafka::{self, Inquirer};

/// How long a cluster may take to answer the first question. With creating a client and signing in
/// this stays below the ten seconds a user is told to expect.
const FIRST_ANSWER: Duration = Duration::from_secs(8);

/// How long it may take to answer the later ones.
const ANSWER: Duration = Duration::from_secs(2);

/// What the simulator's clients are called in the log.
pub(super) const PURPOSE: &str = "simulator";

/// What we take for the size of records that others have sent.
const BYTES_OF_A_STRANGER: u64 = 1024;

/// A cluster that answers and has the topic.
pub(super) struct Cluster {
    consumer: BaseConsumer<Inquirer>,
    topic: String,
    partitions: Vec<i32>,
    /// Whether it forgets what is not read in time.
    pub(super) embedded: bool,
}

impl Cluster {
    /// Asks the cluster for the topic.
    pub(super) fn reach(options: &Options, client_config: &ClientConfig) -> Result<Self, SimulatorError> {
        let servers = client_config.get("bootstrap.servers").unwrap_or("(no bootstrap.servers)").to_owned();
        let consumer: BaseConsumer<Inquirer> = client_config
            .clone()
            // Never joined: the group's committed offsets are only read.
            .set("group.id", &options.group_id)
            .set("enable.auto.commit", "false")
            // Asking for a topic must not create it.
            .set("allow.auto.create.topics", "false")
            .create_with_context(Inquirer::new(PURPOSE, options.tokens.clone()))
            .map_err(SimulatorError::Client)?;
        let metadata = kafka::reach(&consumer, Some(&options.topic), FIRST_ANSWER).map_err(|reason| {
            SimulatorError::Unreachable { servers: servers.clone(), waited: FIRST_ANSWER, reason }
        })?;
        let refuse = |reason: String| SimulatorError::Topic {
            topic: options.topic.clone(),
            servers: servers.clone(),
            reason,
        };
        let topic = metadata.topics().iter().find(|topic| topic.name() == options.topic);
        let topic = topic.ok_or_else(|| refuse("the cluster does not know it".to_owned()))?;
        if let Some(error) = topic.error() {
            return Err(refuse(RDKafkaErrorCode::from(error).to_string()));
        }
        let partitions: Vec<_> = topic.partitions().iter().map(MetadataPartition::id).collect();
        if partitions.is_empty() {
            return Err(refuse("it has no partitions".to_owned()));
        }
        let id = consumer.client().fetch_cluster_id(ANSWER);
        let embedded = id.is_some_and(|id| kafka::is_embedded(&id));
        Ok(Self { consumer, topic: options.topic.clone(), partitions, embedded })
    }

    /// What stands uncommitted in the topic before the first event.
    pub(super) fn backlog(&self) -> Result<HoldBack, KafkaError> {
        let mut hold_back = HoldBack::default();
        self.read_committed(&mut hold_back)?;
        let committed = self.committed()?;
        for &partition in &self.partitions {
            let (low, high) = self.consumer.fetch_watermarks(&self.topic, partition, ANSWER)?;
            let next = committed.iter().find(|(of, _)| *of == partition).map_or(low, |(_, next)| *next);
            let unread = high - next.clamp(low, high);
            if unread > 0 {
                hold_back.found(partition, high - 1, unread as u64, BYTES_OF_A_STRANGER);
            }
        }
        Ok(hold_back)
    }

    /// Tells `hold_back` what the reader has committed by now.
    pub(super) fn read_committed(&self, hold_back: &mut HoldBack) -> Result<(), KafkaError> {
        for (partition, next) in self.committed()? {
            hold_back.committed(partition, next);
        }
        Ok(())
    }

    /// The offset the group will read next, of each partition that has one.
    fn committed(&self) -> Result<Vec<(i32, i64)>, KafkaError> {
        let mut asked = TopicPartitionList::new();
        for &partition in &self.partitions {
            asked.add_partition(&self.topic, partition);
        }
        drop(self.consumer.poll(Duration::ZERO));
        let answered = self.consumer.committed_offsets(asked, ANSWER)?;
        let offset = |offset| if let Offset::Offset(next) = offset { Some(next) } else { None };
        Ok(answered
            .elements()
            .iter()
            .filter_map(|element| Some((element.partition(), offset(element.offset())?)))
            .collect())
    }
}
