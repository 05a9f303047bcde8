//! What is wrong when the service starts is said within ten seconds and waited for: nobody has to
//! start it again, and it can be told to end.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::guard::Signal;
use crate::support::kafka::{self, Record, shared};
use crate::support::port;
use crate::support::service::Service;
use crate::support::wait;

fn stage() -> Stage {
    Stage::new(Layout { partitions: 1, ..Layout::default() })
}

/// Tells services to end, which they do at once although something is wrong: there is nothing to
/// drain.
fn end_at_once(services: &[&Service]) {
    let told = Instant::now();
    for service in services {
        service.signal(Signal::Term);
    }
    for service in services {
        let status = service.wait_for_exit(SOON);
        let took = told.elapsed();
        assert!(
            status.success() && took < Duration::from_secs(8),
            "{status} after {took:?}:\n{}",
            service.tail()
        );
    }
}

fn one_more(stage: &Stage, service: &Service, number: usize) {
    stage.send(&[Record::new(event(1, number)).key("device-1")]);
    stage.wait_until_caught_up(service, SOON);
    held::wait_until_ready(service, SOON);
}

/// Lets one connection after another through to a broker.
fn forward(from: u16, to: &str) {
    let listener = TcpListener::bind(("127.0.0.1", from)).unwrap();
    let to = to.to_owned();
    thread::spawn(move || {
        for inward in listener.incoming().flatten() {
            let Ok(outward) = TcpStream::connect(&to) else { continue };
            let copy = |from: &TcpStream, to: &TcpStream| {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || io::copy(&mut from, &mut to));
            };
            copy(&inward, &outward);
            copy(&outward, &inward);
        }
    });
}

#[test]
fn a_kafka_that_cannot_be_reached_is_named_and_waited_for() {
    let stage = stage();
    let port = port::free();
    let nobody = format!("bootstrap_servers = \"127.0.0.1:{port}\"");
    let nobody = stage.service(&[("kafka", &nobody)]);
    let nowhere = stage.service(&[("kafka", r#"bootstrap_servers = "no-such-broker.invalid:9092""#)]);
    held::wait_for(&nobody, "kafka_unreachable", &[&format!("127.0.0.1:{port}"), "Connection refused"], TOLD);
    held::wait_for(&nowhere, "kafka_unreachable", &["Failed to resolve 'no-such-broker.invalid"], TOLD);
    end_at_once(&[&nowhere]);
    forward(port, &shared().bootstrap());
    one_more(&stage, &nobody, 1);
}

#[test]
fn a_topic_that_is_missing_is_named_and_waited_for() {
    let stage = stage();
    let (topic, letters) = (kafka::unique("later"), kafka::unique("later-letters"));
    let missing = |topic: &str| format!("there is no topic {topic}");
    let no_topic = stage.service(&[("kafka", &format!("topics = [{topic:?}]"))]);
    let no_letters = stage.service(&[
        ("dead_letter", &format!("topic = {letters:?}")),
        ("kafka", &format!("group_id = {:?}", kafka::unique("group"))),
    ]);
    held::wait_for(&no_topic, "topic_missing", &[&missing(&topic), "kafka.topics"], TOLD);
    let missing = format!("there is no dead-letter topic {letters}");
    held::wait_for(&no_letters, "dead_letters_unavailable", &[&missing, "dead_letter.topic"], TOLD);

    shared().create_topic(&topic, 2, &[]);
    shared().create_topic(&letters, 1, &[]);
    held::wait_until_ready(&no_topic, SOON);
    held::wait_until_ready(&no_letters, SOON);
    shared().producer().send(&topic, &[Record::new(event(1, 1))]);
    stage.send(&[Record::new("no event")]);
    wait::until(SOON, "an event and a dead letter", || {
        let stored = stage.cosmos().stats().documents() == 1;
        (stored && shared().read_all(&letters).len() == 1).then_some(())
    });
}

#[test]
fn a_container_that_is_missing_or_another_is_named_and_waited_for() {
    let stage = stage();
    let start = |overrides: &[(&str, &str)]| {
        let group = format!("group_id = {:?}", kafka::unique("group"));
        let mut all = vec![("kafka", group.as_str())];
        all.extend(overrides);
        stage.service(&all)
    };
    let no_container = start(&[("cosmos", r#"container = "later""#)]);
    let no_database = start(&[("cosmos", r#"database = "later""#)]);
    let other_path = start(&[("event", r#"partition_key = ["type"]"#)]);
    let more_paths = start(&[("event", r#"partition_key = ["type", "deviceId"]"#)]);
    for service in [&no_container, &no_database] {
        held::wait_for(service, "container_missing", &["there is no container", "later"], TOLD);
    }
    let says = |service: &Service, paths: &str| {
        let words = ["has the partition key /deviceId", paths, "event.partition_key"];
        held::wait_for(service, "partition_key_mismatch", &words, TOLD);
    };
    says(&other_path, "says /type:");
    says(&more_paths, "says /type, /deviceId:");
    end_at_once(&[&other_path, &more_paths]);

    stage.send(&[Record::new(event(1, 1))]);
    let store = stage.cosmos().store();
    let by_device = || azure_data_cosmos_driver::models::PartitionKeyDefinition::from("/deviceId");
    store.create_container("streaming", "later", by_device());
    store.create_database("later");
    store.create_container("later", "rawdata", by_device());
    for service in [&no_container, &no_database] {
        held::wait_until_ready(service, SOON);
        wait::until(SOON, "a stored event", || {
            service.metric("streamproc_events_stored_total", &[]).filter(|stored| *stored >= 1.0)
        });
    }
    assert!(stage.letters().is_empty());
}
