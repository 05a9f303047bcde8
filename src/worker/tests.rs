//! Workers against a Kafka in this process; here the threads beside the polling one and the client that
//! they share.

pub(super) mod bench;
mod commits;
mod silence;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaRespErr;

use self::bench::{Cluster, send};
use super::Settings;
use super::client::Client;
use super::commits::Commits;
use super::inbox::Outside;
use super::jobs::{Job, Jobs};
use crate::config::{Config, Cosmos, DeadLetter, Kafka};
use crate::core::kafka::{Epoch, Offset, TopicPartition};
use crate::core::worker::{Input, Stretch};
use crate::kafka::Contact;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::source::consumer::{self, WorkerConsumer};
use crate::source::context::Notice;

/// A Kafka with topics of three partitions, a client that is subscribed to them, and an inbox.
struct Rig {
    consumer: Arc<WorkerConsumer>,
    cluster: Cluster,
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

    /// Reads until there is a record of this place; gives the places of all that came.
    fn read_up_to(&self, partition: i32, offset: i64) -> Vec<(i32, i64)> {
        let mut seen = Vec::new();
        wait_until(&format!("offset {offset} of partition {partition}"), || {
            if let Some(Ok(record)) = self.consumer.poll(Duration::from_millis(10)) {
                seen.push((record.partition(), record.offset()));
            }
            seen.contains(&(partition, offset))
        });
        seen
    }

    fn assigned(&self) -> BTreeSet<TopicPartition> {
        let assigned = self.consumer.assignment().unwrap();
        assigned.elements().iter().map(|one| TopicPartition::new(one.topic(), one.partition())).collect()
    }
}

impl Drop for Rig {
    /// A client that was given partitions, and waits for the answer to that, would never end.
    fn drop(&mut self) {
        self.consumer.context().close(&self.consumer);
    }
}

#[track_caller]
pub(super) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
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

#[test]
fn a_partition_that_is_full_when_it_moves_stays_paused_until_there_is_room_and_reads_on_from_there() {
    let rig = Rig::of(["t"]);
    let mut client = rig.client();
    rig.wait_for_notice(|notice| matches!(notice, Notice::Assigned(partitions) if partitions.len() == 3));
    client.accept().unwrap();
    client.assign(&[(name("t", 0), Offset(0)), (name("t", 1), Offset(0))]).unwrap();
    for partition in 0..2 {
        send(&rig.cluster, "t", [partition], 0..10);
        rig.read_up_to(partition, 9);
    }

    client.read_from(&name("t", 0), Offset(4)).unwrap();
    client.read_from(&name("t", 1), Offset(6)).unwrap();
    client.pause(&name("t", 0)).unwrap();
    client.move_on(true).unwrap();
    let mut seen = rig.read_up_to(1, 9);
    assert_eq!(seen[0], (1, 6));
    // Time enough for it to be fetched, if it were.
    for number in 10..13 {
        send(&rig.cluster, "t", [1], number..number + 1);
        seen.extend(rig.read_up_to(1, number as i64));
    }
    assert!(seen.iter().all(|(partition, _)| *partition == 1), "{seen:?}");

    client.resume(&name("t", 0)).unwrap();
    let places: Vec<_> = (4..10).map(|offset| (0, offset)).collect();
    assert_eq!(rig.read_up_to(0, 9), places);
    client.close();
}

/// It would go on for fifteen seconds, and a client waits for its end.
#[test]
fn a_probe_that_meets_nothing_ends_at_once_with_its_client() {
    let rig = Rig::of(["t"]);
    rig.cluster.partition_leader("t", 0, None).unwrap();
    let mut jobs = rig.jobs();
    jobs.tell_owned(vec![(name("t", 0), Epoch(1)), (name("t", 1), Epoch(2))]);
    let limits = || Job::Ranges(vec![(name("t", 1), Epoch(2), Offset(0))]);
    jobs.ask(limits());
    rig.wait_for(|input| matches!(input, Input::Ranges(_)));
    jobs.ask(Job::Probes(vec![(name("t", 0), Epoch(1), Stretch { from: Offset(0), to: Offset(0) })]));
    wait_until("the probe to be under way", || {
        jobs.ask(limits());
        rig.inbox.recv_timeout(Duration::from_secs(1)).is_err()
    });
    let begun = Instant::now();
    jobs.end();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
