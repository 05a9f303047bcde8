//! Brokers die, stand still, and come back.

use std::time::Duration;

use rand::Rng;

use crate::scenario::length;
use crate::stage::SOON;
use crate::stage::held;
use crate::support::kafka::{self, Cluster, Options, Producer, Record};
use crate::support::wait;
use crate::world::{Plan, World};

/// A cluster of a scenario's own; it lives as long as the process.
pub(super) fn cluster(brokers: usize) -> &'static Cluster {
    Box::leak(Box::new(Cluster::start(&Options::brokers(brokers))))
}

/// One of three brokers is killed, whatever it leads, and comes back.
pub(super) fn lose_one_of_three(world: &mut World) {
    let cluster = world.stage.cluster;
    let node = world.random.random_range(1..=3);
    cluster.kill(node);
    world.faults += 1;
    world.pass(Duration::from_secs(8));
    cluster.start_again(node);
    world.is_calm();
    for partition in 0..world.partitions {
        let partition = i32::try_from(partition).unwrap();
        cluster.wait_for_in_sync(&world.stage.topic, partition, 3, SOON);
    }
}

/// Of three brokers, one after the other: whoever leads partitions, coordinates the group, or is the controller.
#[test]
fn broker_killed() {
    let cluster = cluster(3);
    let mut world = Plan { recovery: Duration::from_mins(1), ..Plan::new("broker_killed") }.begin_on(cluster);
    let until = length(Duration::from_secs(10));
    loop {
        lose_one_of_three(&mut world);
        if world.age() >= until {
            break;
        }
    }
    world.end();
}

#[test]
fn all_brokers_down() {
    let cluster = cluster(1);
    let mut world =
        Plan { recovery: Duration::from_mins(1), ..Plan::new("all_brokers_down") }.begin_on(cluster);
    std::thread::sleep(Duration::from_secs(2));
    cluster.kill(1);
    world.faults += 1;
    for process in &world.processes {
        held::wait_for(process, "kafka_unreachable", &[], SOON);
    }
    std::thread::sleep(length(Duration::from_secs(8)));
    cluster.start_again(1);
    world.is_calm();
    world.end();
}

/// The only broker is held where it is: its connections stay open and nothing comes.
#[test]
fn broker_frozen() {
    let cluster = cluster(1);
    let mut world = Plan { recovery: Duration::from_mins(1), ..Plan::new("broker_frozen") }.begin_on(cluster);
    let until = length(Duration::from_secs(10));
    loop {
        cluster.freeze(1);
        world.faults += 1;
        // Longer than a session.
        std::thread::sleep(Duration::from_secs(8));
        cluster.thaw(1);
        world.is_calm();
        world.pass(Duration::from_secs(3));
        if world.age() >= until {
            break;
        }
    }
    world.end();
}

/// A file of the broker may not grow any more. Kafka gives up its log directory for that and, as it has no other, ends;
/// somebody makes room and starts it again.
#[test]
fn broker_without_room() {
    // Above the 10 MiB that an index has from the beginning.
    let options = Options::brokers(1).with_files_up_to(11 << 20);
    let cluster: &Cluster = Box::leak(Box::new(Cluster::start(&options)));
    let filler = kafka::unique("filler");
    cluster.create_topic(&filler, 1, &[]);
    let plan = Plan { recovery: Duration::from_mins(1), ..Plan::new("broker_without_room") };
    let mut world = plan.begin_on(cluster);
    std::thread::sleep(Duration::from_secs(1));
    let heavy = vec![Record::new(vec![b' '; 900_000]); 15];
    let refused = Producer::new(cluster, &[("message.timeout.ms", "3000")]).try_send(&filler, &heavy);
    assert!(refused.is_err(), "there is room: {refused:?}");
    wait::until(SOON, "the broker to end", || cluster.has_ended(1).then_some(()));
    world.faults += 1;
    for process in &world.processes {
        held::wait_for(process, "kafka_unreachable", &[], SOON);
    }
    std::thread::sleep(length(Duration::from_secs(2)));
    cluster.make_room(1);
    cluster.kill(1);
    cluster.start_again(1);
    world.is_calm();
    world.end();
}
