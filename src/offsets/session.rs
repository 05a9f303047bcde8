//! Asking Kafka what a group has, and setting it.
//!
//! All of it goes through a consumer that joins no group: unlike the library's client for administrators it can
//! be polled, and so gets its token (OAUTHBEARER).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use super::group::{Group, Member};
use super::plan::{Move, Present};
use crate::azure::TokenCache;
use crate::config::Kafka;
use crate::core::kafka::{Offset, TopicPartition};
use crate::kafka::{self, Context, EVENTS, Inquirer, SetupError};
use crate::source::committed::Committed;
use crate::source::lists;
use crate::source::lookup::{self, LookupError};

/// How long a cluster may take to answer the first question.
const FIRST_ANSWER: Duration = Duration::from_secs(8);

/// How long it may take to answer the later ones.
const ANSWER: Duration = Duration::from_secs(10);

/// How long what was committed may take to show. A transaction shows when its end has reached the group.
const SHOWS: Duration = Duration::from_secs(10);

/// How long Kafka waits for the end of a transaction before it ends it itself.
const TRANSACTION_MILLIS: &str = "10000";

/// Why something could not be found out, or done.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Something of the configuration cannot be used.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The client cannot be made.
    #[error("the Kafka client cannot be made: {0}")]
    Client(Box<KafkaError>),
    /// Nobody answers.
    #[error(
        "no answer from Kafka at {servers} within {} s: {reason}. Look at kafka.bootstrap_servers and kafka.auth",
        FIRST_ANSWER.as_secs()
    )]
    Unreachable {
        /// Where.
        servers: String,
        /// What the client says of it.
        reason: String,
    },
    /// A question got no answer.
    #[error("{0}")]
    Question(String),
    /// Kafka did not take the offsets.
    #[error("Kafka did not set the offsets of group {group}: {error}{advice}")]
    NotSet {
        /// The group.
        group: String,
        /// What it says.
        error: Box<KafkaError>,
        /// What may help.
        advice: String,
    },
    /// Kafka has something else than what it took.
    #[error(
        "{name}: {to} was set, and the group has {has}: somebody else commits for it. Look who reads with this group"
    )]
    NotKept {
        /// Which partition.
        name: TopicPartition,
        /// What was set.
        to: Offset,
        /// What there is.
        has: String,
    },
}

/// A connection to the cluster, on behalf of a group.
pub struct Session {
    kafka: Kafka,
    tokens: Option<TokenCache>,
    consumer: BaseConsumer<Inquirer>,
}

impl Session {
    /// Connects for the group of this configuration, which is not joined.
    ///
    /// # Errors
    /// When no client can be made of the configuration, or no broker answers.
    pub fn connect(kafka: &Kafka, tokens: Option<TokenCache>) -> Result<Self, SessionError> {
        let consumer: BaseConsumer<Inquirer> = kafka::consumer(kafka, "offsets")?
            .create_with_context(Inquirer::new("offsets", tokens.clone()))
            .map_err(|error| SessionError::Client(Box::new(error)))?;
        let topic = kafka.topics.first().map(String::as_str);
        kafka::reach(&consumer, topic, FIRST_ANSWER).map_err(|reason| SessionError::Unreachable {
            servers: kafka.bootstrap_servers.clone(),
            reason,
        })?;
        Ok(Self { kafka: kafka.clone(), tokens, consumer })
    }

    fn question(&self, error: &LookupError) -> SessionError {
        SessionError::Question(error.with_advice(&self.kafka))
    }

    /// Whether it is the sandbox's Kafka, which has no list of groups.
    pub fn is_embedded(&self) -> bool {
        let id = self.consumer.client().fetch_cluster_id(ANSWER);
        id.is_some_and(|id| kafka::is_embedded(&id))
    }

    /// The group's state and members.
    pub fn group(&self) -> Group {
        let name = self.kafka.group_id.as_str();
        let list = match self.consumer.fetch_group_list(Some(name), ANSWER) {
            Ok(list) => list,
            Err(_) if self.is_embedded() => {
                return Group::Unknown("the sandbox's Kafka has no list of groups".to_owned());
            }
            Err(error) => return Group::Unknown(error.to_string()),
        };
        let Some(found) = list.groups().iter().find(|group| group.name() == name) else {
            return Group::Known { state: "Dead".to_owned(), members: Vec::new() };
        };
        let member = |member: &rdkafka::groups::GroupMemberInfo| Member {
            client_id: member.client_id().to_owned(),
            host: member.client_host().to_owned(),
            member_id: member.id().to_owned(),
        };
        let members = found.members().iter().map(member).collect();
        Group::Known { state: found.state().to_owned(), members }
    }

    /// Every partition of these topics, in their order.
    ///
    /// # Errors
    /// When Kafka does not tell all of it.
    pub fn look(&self, topics: &[String]) -> Result<Vec<Present>, SessionError> {
        let mut all = Vec::new();
        for topic in topics {
            let committed = self.committed(topic)?;
            let names: Vec<_> =
                (0..).zip(&committed).map(|(at, _)| TopicPartition::new(topic.as_str(), at)).collect();
            let lows = self.ends_of(&names, KafkaOffset::Beginning)?;
            let highs = self.ends_of(&names, KafkaOffset::End)?;
            for (name, committed) in names.into_iter().zip(committed) {
                let (Some(low), Some(high)) = (lows.get(&name), highs.get(&name)) else { continue };
                all.push(Present { low: *low, high: *high, name, committed });
            }
        }
        Ok(all)
    }

    /// What the group has of each partition of a topic.
    ///
    /// # Errors
    /// When there is no such topic, or Kafka does not tell.
    pub fn committed(&self, topic: &str) -> Result<Vec<Committed>, SessionError> {
        drop(self.consumer.poll(Duration::ZERO));
        let count = lookup::partition_count(&self.consumer, topic);
        let committed = count.and_then(|count| lookup::committed(&self.consumer, topic, count));
        committed.map_err(|error| self.question(&error))
    }

    /// Where the logs of these partitions begin, or end.
    fn ends_of(
        &self,
        names: &[TopicPartition],
        end: KafkaOffset,
    ) -> Result<BTreeMap<TopicPartition, Offset>, SessionError> {
        let what = if end == KafkaOffset::End { "ends" } else { "begins" };
        let asked = |error| SessionError::Question(format!("where the topic {what}: {error}"));
        let mut list = lists::of(names);
        list.set_all_offsets(end).map_err(asked)?;
        let answer = self.consumer.offsets_for_times(list, ANSWER).map_err(asked)?;
        read(&answer, |name, found| match found {
            KafkaOffset::Offset(offset) => Ok(Offset(offset)),
            other => Err(SessionError::Question(format!("where {name} {what}: Kafka tells {other:?}"))),
        })
    }

    /// For each of these partitions, the first record that is as new as this or newer; its end if there is none.
    ///
    /// # Errors
    /// When Kafka does not tell.
    pub fn at_time(
        &self,
        partitions: &[Present],
        time: DateTime<Utc>,
    ) -> Result<BTreeMap<TopicPartition, Offset>, SessionError> {
        let asked = |error| SessionError::Question(format!("the offsets at {}: {error}", time.to_rfc3339()));
        let millis = Offset(time.timestamp_millis().max(0));
        let list = lists::at(partitions.iter().map(|present| (&present.name, millis))).map_err(asked)?;
        let answer = self.consumer.offsets_for_times(list, ANSWER).map_err(asked)?;
        let ends: BTreeMap<_, _> = partitions.iter().map(|present| (&present.name, present.high)).collect();
        read(&answer, |name, found| match (found, ends.get(name)) {
            (KafkaOffset::Offset(offset), _) => Ok(Offset(offset)),
            (KafkaOffset::End, Some(end)) => Ok(*end),
            (other, _) => Err(SessionError::Question(format!("the offset of {name}: Kafka tells {other:?}"))),
        })
    }

    /// Sets offsets of a group that nobody reads.
    ///
    /// # Errors
    /// When Kafka does not take them.
    pub fn commit(&self, moves: &[Move]) -> Result<(), SessionError> {
        let committed = list(moves).and_then(|list| self.consumer.commit(&list, CommitMode::Sync));
        committed.map_err(|error| self.not_set(error))
    }

    /// Sets offsets of partitions that nobody reads, of a group that has members: as a transaction, for which
    /// Kafka asks for no membership.
    ///
    /// # Errors
    /// When Kafka does not take them; nothing is set then.
    pub fn commit_beside_members(&self, moves: &[Move]) -> Result<(), SessionError> {
        let producer = self.transactional()?;
        let set = || {
            let members = self.consumer.group_metadata().ok_or(KafkaError::Canceled)?;
            producer.init_transactions(ANSWER)?;
            producer.begin_transaction()?;
            let sent = producer.send_offsets_to_transaction(&list(moves)?, &members, ANSWER);
            sent.and_then(|()| producer.commit_transaction(ANSWER)).inspect_err(|_| {
                // What fails here ends by itself when its time is over.
                drop(producer.abort_transaction(ANSWER));
            })
        };
        set().map_err(|error| self.not_set(error))
    }

    fn transactional(&self) -> Result<FutureProducer<Context>, SessionError> {
        let id = transactional_id(&self.kafka.group_id);
        kafka::producer(&self.kafka, "offsets")?
            .set("transactional.id", id)
            .set("transaction.timeout.ms", TRANSACTION_MILLIS)
            .set("message.timeout.ms", TRANSACTION_MILLIS)
            .create_with_context(Context::new("offsets", self.tokens.clone()))
            .map_err(|error| SessionError::Client(Box::new(error)))
    }

    fn not_set(&self, error: KafkaError) -> SessionError {
        let group = &self.kafka.group_id;
        let advice = match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress,
            ) => ". The group has members, or (the sandbox's Kafka) had some: stop what reads with it"
                .to_owned(),
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                format!(". Give this user the right (ACL) READ on the group {group}")
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                ". Give this user the right (ACL) READ on the topics".to_owned()
            }
            Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed) => format!(
                ". The group has members, and setting an offset beside them takes the right (ACL) WRITE on the \
                 transactional id {}; or stop the group",
                transactional_id(group)
            ),
            _ => String::new(),
        };
        SessionError::NotSet { group: group.clone(), error: Box::new(error), advice }
    }

    /// Reads back what was set.
    ///
    /// # Errors
    /// When it is not what the group has.
    pub fn read_back(&self, moves: &[Move]) -> Result<(), SessionError> {
        let begun = Instant::now();
        loop {
            let kept = self.is_kept(moves);
            if kept.is_ok() || begun.elapsed() > SHOWS {
                return kept;
            }
            // The end of a transaction is on its way; meanwhile the client reports what it has to.
            drop(self.consumer.poll(EVENTS));
        }
    }

    fn is_kept(&self, moves: &[Move]) -> Result<(), SessionError> {
        let mut topics: Vec<_> = moves.iter().map(|one| one.name().topic.clone()).collect();
        topics.dedup();
        for topic in topics {
            let committed = self.committed(&topic)?;
            for one in moves.iter().filter(|one| one.name().topic == topic) {
                let index = usize::try_from(one.name().partition).unwrap_or(usize::MAX);
                let has = committed.get(index).copied().unwrap_or(Committed::Nothing);
                if has != Committed::At(one.to) {
                    let has = has.offset().map_or_else(|| "none".to_owned(), |offset| offset.to_string());
                    return Err(SessionError::NotKept { name: one.name().clone(), to: one.to, has });
                }
            }
        }
        Ok(())
    }
}

/// The name under which offsets are set beside a group's members; two at once exclude each other.
fn transactional_id(group: &str) -> String {
    format!("streamproc-offsets-{group}")
}

fn list(moves: &[Move]) -> Result<TopicPartitionList, KafkaError> {
    lists::at(moves.iter().map(|one| (one.name(), one.to)))
}

fn read(
    answer: &TopicPartitionList,
    offset: impl Fn(&TopicPartition, KafkaOffset) -> Result<Offset, SessionError>,
) -> Result<BTreeMap<TopicPartition, Offset>, SessionError> {
    let mut offsets = BTreeMap::new();
    for element in answer.elements() {
        let name = TopicPartition::new(element.topic(), element.partition());
        element.error().map_err(|error| SessionError::Question(format!("the offsets of {name}: {error}")))?;
        let found = offset(&name, element.offset())?;
        offsets.insert(name, found);
    }
    Ok(offsets)
}
