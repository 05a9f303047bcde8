//! The threads beside the polling one and the client that they share, against a Kafka in this process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::RDKafkaRespErr;

use super::Settings;
use super::client::Client;
use super::commits::Commits;
use super::inbox::Outside;
use super::jobs::{Job, Jobs};
use crate::config::{Config, Cosmos, DeadLetter, Kafka};
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::worker::{CommitNumber, CommitOutcome, Input};
use crate::kafka::Contact;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::source::consumer::{self, WorkerConsumer};
use crate::source::context::Notice;
use crate::source::lookup;

/// A Kafka with topics of three partitions, a client that is subscribed to them, and an inbox.
struct Rig {
    consumer: Arc<WorkerConsumer>,
    cluster: MockCluster<'static, DefaultProducerContext>,
    settings: Arc<Settings>,
    metrics: Metrics,
    health: Health,
    outside: Outside,
    inbox: Receiver<Input>,
}

impl Rig {
    fn of<const N: usize>(topics: [&str; N]) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        for topic in topics {
            cluster.create_topic(topic, 3, 1).unwrap();
        }
        let mut kafka = Kafka::new(cluster.bootstrap_servers(), topics);
        let quick = ["topic.metadata.refresh.interval.ms", "topic.metadata.propagation.max.ms"];
        kafka.properties.extend(quick.map(|name| (name.to_owned(), "300".to_owned())));
        let cosmos = Cosmos::new("https://localhost/", ["a"], "a", "a");
        let config = Config::new(kafka, cosmos, DeadLetter::new("dead-letters"));
        let settings = Arc::new(Settings::of(&config, None));
        let metrics = Metrics::new().unwrap();
        let health = Health::new(metrics.clone());
        let contact = Contact::new(config.kafka.clone(), "worker-0", metrics.clone(), health.clone());
        let (outside, inbox) = Outside::into_this_thread();
        let (hand_over, contact) = (Duration::from_secs(1), Arc::new(contact));
        let consumer =
            consumer::subscribe(&config.kafka, settings.max_bytes, hand_over, 0, None, contact).unwrap();
        Self { cluster, consumer: Arc::new(consumer), settings, metrics, health, outside, inbox }
    }

    fn jobs(&self) -> Jobs {
        Jobs::start(
            Arc::clone(&self.consumer),
            Arc::clone(&self.settings),
            self.outside.clone(),
            self.health.clone(),
            "worker-0".into(),
        )
        .unwrap()
    }

    fn client(&self) -> Client {
        let commits = Commits::start(
            Arc::clone(&self.consumer),
            Arc::clone(&self.settings),
            self.outside.clone(),
            self.metrics.clone(),
            self.health.clone(),
            "worker-0".into(),
        );
        Client::new(Arc::clone(&self.consumer), self.jobs(), commits.unwrap())
    }

    fn is_raised(&self, reason: &'static str) -> bool {
        self.health.is_raised(reason, "worker-0")
    }

    /// What comes into the inbox until this has.
    fn wait_for(&self, mut is_it: impl FnMut(&Input) -> bool) -> Vec<Input> {
        let mut seen = Vec::new();
        loop {
            let input = self.inbox.recv_timeout(Duration::from_secs(30));
            seen.push(input.unwrap_or_else(|error| panic!("{error} after {seen:?}")));
            if is_it(&seen[seen.len() - 1]) {
                return seen;
            }
        }
    }

    /// Polls until there is a notice like this.
    fn wait_for_notice(&self, mut is_it: impl FnMut(&Notice) -> bool) {
        wait_until("a notice", || {
            let _ = self.consumer.poll(Duration::from_millis(10));
            self.consumer.context().take_notices().iter().any(&mut is_it)
        });
    }

    fn assigned(&self) -> BTreeSet<TopicPartition> {
        let assigned = self.consumer.assignment().unwrap();
        assigned.elements().iter().map(|one| TopicPartition::new(one.topic(), one.partition())).collect()
    }
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn name(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

#[test]
fn limits_that_are_unknown_are_asked_for_until_the_partition_is_gone_and_hold_up_no_other() {
    let rig = Rig::of(["t"]);
    let mut jobs = rig.jobs();
    jobs.tell_owned(vec![(name("t", 0), Epoch(1)), (name("t", 7), Epoch(2))]);
    jobs.ask(Job::Ranges(vec![(name("t", 7), Epoch(2), Offset(0)), (name("t", 0), Epoch(1), Offset(0))]));
    rig.wait_for(|input| {
        matches!(input, Input::Ranges(ranges) if ranges.len() == 1 && ranges[0].partition == name("t", 0))
    });
    wait_until("a word about the other", || rig.is_raised("limits_unknown"));
    // In another epoch it reads elsewhere: what was asked is void.
    jobs.tell_owned(vec![(name("t", 0), Epoch(1)), (name("t", 7), Epoch(3))]);
    wait_until("no more of it", || !rig.is_raised("limits_unknown"));
    jobs.end();
}

#[test]
fn a_client_that_ends_leaves_nothing_unknown() {
    let rig = Rig::of(["t"]);
    let mut jobs = rig.jobs();
    jobs.tell_owned(vec![(name("t", 7), Epoch(1)), (name("gone", 0), Epoch(1))]);
    jobs.ask(Job::Starts(vec![(name("gone", 0), Epoch(1))]));
    jobs.ask(Job::Ranges(vec![(name("t", 7), Epoch(1), Offset(0))]));
    wait_until("both", || rig.is_raised("offsets_unknown") && rig.is_raised("limits_unknown"));
    // The start is nobody's any more.
    jobs.tell_owned(vec![(name("t", 7), Epoch(1))]);
    wait_until("no more of the start", || !rig.is_raised("offsets_unknown"));
    assert!(rig.is_raised("limits_unknown"));
    jobs.end();
    assert!(!rig.is_raised("limits_unknown"));
}

/// librdkafka then counts the whole assignment as lost, and asks back only what it has of that topic.
#[test]
fn what_begins_while_another_topic_is_deleted_is_read_when_that_is_given_back() {
    let rig = Rig::of(["a", "b"]);
    let mut client = rig.client();
    rig.wait_for_notice(|notice| matches!(notice, Notice::Assigned(partitions) if partitions.len() == 6));
    client.accept().unwrap();
    client
        .assign(&[(name("a", 0), Offset(0)), (name("a", 1), Offset(0)), (name("b", 0), Offset(0))])
        .unwrap();

    rig.cluster.topic_error("b", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    wait_until("the assignment to be lost", || rig.consumer.assignment_lost());
    client.assign(&[(name("a", 2), Offset(0))]).unwrap();
    client.read_from(&name("a", 0), Offset(0)).unwrap();
    client.read_from(&name("a", 1), Offset(0)).unwrap();
    client.pause(&name("a", 1)).unwrap();
    client.move_on(true).unwrap();
    assert!(!rig.assigned().contains(&name("a", 2)));

    let b: Vec<_> = (0..3).map(|partition| name("b", partition)).collect();
    rig.wait_for_notice(|notice| matches!(notice, Notice::Revoked { lost: true, .. }));
    client.move_on(true).unwrap();
    client.unassign(&b).unwrap();
    wait_until("what was given back to be gone", || !rig.consumer.assignment_lost());
    client.move_on(true).unwrap();
    assert_eq!(rig.assigned(), (0..3).map(|partition| name("a", partition)).collect());
    client.close();
}

/// Commits an offset of partition 0 of topic `t`, over one that the group has.
fn commit(client: &Client, offset: i64, known: Option<i64>) {
    let of_first = |at| (name("t", 0), Offset(at));
    let known = known.map(of_first).into_iter().collect();
    client.commits.ask(CommitNumber::default(), vec![of_first(offset)], known);
}

impl Rig {
    fn answer(&self) -> CommitOutcome {
        match self.wait_for(|input| matches!(input, Input::Committed { .. })).pop() {
            Some(Input::Committed { answers, .. }) => answers[0].2,
            other => panic!("{other:?}"),
        }
    }

    fn committed(&self) -> Option<Offset> {
        lookup::committed(&*self.consumer, "t", 1).unwrap()[0]
    }

    /// A client that has partition 0 of topic `t`, of which offset 5 is committed.
    fn client_that_has_committed(&self) -> Client {
        let mut client = self.client();
        self.wait_for_notice(|notice| matches!(notice, Notice::Assigned(_)));
        client.accept().unwrap();
        client.assign(&[(name("t", 0), Offset(0))]).unwrap();
        commit(&client, 5, None);
        assert_eq!(self.answer(), CommitOutcome::Kept);
        client
    }
}

#[test]
fn nothing_is_committed_over_an_offset_that_is_gone_or_lower_than_it_was() {
    let rig = Rig::of(["t"]);
    let client = rig.client_that_has_committed();
    for (offset, known, outcome) in [
        (9, Some(5), CommitOutcome::Kept),
        // A commit that counts as failed was kept after all.
        (10, Some(5), CommitOutcome::Kept),
        // Somebody else has begun with the topic that was made anew.
        (30, Some(20), CommitOutcome::Gone),
    ] {
        commit(&client, offset, known);
        assert_eq!(rig.answer(), outcome, "{offset} over {known:?}");
    }
    assert_eq!(rig.committed(), Some(Offset(10)));
    // Kafka answers: that commits fail is over, even if there is nothing more to commit.
    rig.health.raise("commits_failing", "worker-0", "");
    let other = vec![(name("t", 1), Offset(7))];
    client.commits.ask(CommitNumber::default(), other.clone(), other);
    assert_eq!(rig.answer(), CommitOutcome::Gone);
    assert!(!rig.is_raised("commits_failing"));
    client.close();
}

#[test]
fn what_is_given_back_while_the_group_is_asked_for_its_offset_is_not_committed() {
    let rig = Rig::of(["t"]);
    let mut client = rig.client_that_has_committed();
    rig.cluster.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
    commit(&client, 9, Some(5));
    client.unassign(&[name("t", 0)]).unwrap();
    let given_back = (rig.answer(), rig.committed());
    client.assign(&[(name("t", 0), Offset(5))]).unwrap();
    commit(&client, 6, Some(5));
    let given_again = rig.answer();
    client.close();
    assert_eq!(given_back, (CommitOutcome::TryAgain, Some(Offset(5))));
    assert_eq!(given_again, CommitOutcome::Kept);
}
