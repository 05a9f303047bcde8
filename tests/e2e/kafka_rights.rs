//! What a user may not do in Kafka is said with the right that is missing, and goes on by itself when
//! the right is given.

use std::fs;
use std::time::Duration;

use crate::guarded::{self, ACLS, USERS};
use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::guard;
use crate::support::kafka::{Listener, Record};
use crate::support::service::Service;

/// A service that signs in with this name and the password in this file.
fn start(stage: &Stage, user: &str, password: &std::path::Path) -> Service {
    let lines = [
        ("kafka", format!("bootstrap_servers = {:?}", stage.cluster.bootstrap_of(Listener::Sasl))),
        ("kafka", "workers = 1".to_owned()),
        ("kafka.auth", r#"method = "scram""#.to_owned()),
        ("kafka.auth", "tls = false".to_owned()),
        ("kafka.auth", format!("username = {user:?}")),
        ("kafka.auth", format!("password_file = {:?}", password.display().to_string())),
    ];
    let overrides: Vec<_> = lines.iter().map(|(section, line)| (*section, line.as_str())).collect();
    stage.service(&overrides)
}

/// Gives or takes rights of the user that has none.
fn acl(stage: &Stage, what: &str, operations: &[&str], resource: [&str; 2]) {
    let user = format!("User:{}", stage.cluster.security().username);
    let mut arguments = vec![what, "--allow-principal", &user];
    arguments.extend(resource);
    arguments.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
    if what == "--remove" {
        arguments.push("--force");
    }
    stage.cluster.tool(ACLS, &arguments);
}

fn one_more(stage: &Stage, service: &Service, number: usize) {
    stage.send(&[Record::new(event(1, number)).key("device-1")]);
    stage.wait_until_caught_up(service, SOON);
}

#[test]
fn each_missing_right_is_named_and_the_service_goes_on_when_it_is_given() {
    let stage = Stage::on(guarded::cluster(), Layout { partitions: 2, ..Layout::default() });
    let files = guard::temp_dir("rights");
    let password = files.path().join("password");
    fs::write(&password, &stage.cluster.security().password).unwrap();
    let (topic, letters, group) = (stage.topic.as_str(), stage.dead_letters.as_str(), stage.group.as_str());
    let service = start(&stage, &stage.cluster.security().username, &password);
    let step = Duration::from_secs(20);

    let right = format!("the right (ACL) WRITE on the topic {letters}");
    held::wait_for(&service, "dead_letters_unavailable", &["may not see", &right], TOLD);
    acl(&stage, "--add", &["Describe", "DescribeConfigs"], ["--topic", letters]);
    held::wait_for(&service, "dead_letters_unavailable", &["may not write", &right], step);
    acl(&stage, "--add", &["Write"], ["--topic", letters]);
    let right = format!("the right (ACL) READ on the group {group}");
    held::wait_for(&service, "group_forbidden", &[&right], step);
    acl(&stage, "--add", &["Read"], ["--group", group]);
    let right = format!("the right (ACL) READ on the topic {topic}");
    held::wait_for(&service, "topic_forbidden", &[&right], step);
    acl(&stage, "--add", &["Describe"], ["--topic", topic]);
    held::wait_for(&service, "offsets_unknown", &[&right], step);
    acl(&stage, "--add", &["Read"], ["--topic", topic]);
    one_more(&stage, &service, 1);
    held::wait_until_ready(&service, step);

    // Taken away while the stream flows.
    acl(&stage, "--remove", &["Read"], ["--topic", topic]);
    held::wait_for(&service, "topic_forbidden", &[&right], TOLD);
    acl(&stage, "--add", &["Read"], ["--topic", topic]);
    one_more(&stage, &service, 2);
    held::wait_until_ready(&service, step);
    assert_eq!(stage.cosmos().stats().documents(), 2);
    assert!(stage.letters().is_empty());
}

#[test]
fn a_password_that_was_changed_is_taken_up_while_the_service_runs() {
    let stage = Stage::on(guarded::cluster(), Layout { partitions: 2, ..Layout::default() });
    let set_password = |password: &str| {
        let setting = format!("SCRAM-SHA-512=[password={password}]");
        let arguments =
            ["--alter", "--entity-type", "users", "--entity-name", "rotating", "--add-config", &setting];
        stage.cluster.tool(USERS, &arguments);
    };
    let files = guard::temp_dir("rotation");
    let password = files.path().join("password");
    set_password("first");
    fs::write(&password, "first\n").unwrap();
    let service = start(&stage, "rotating", &password);
    one_more(&stage, &service, 1);
    held::wait_until_ready(&service, TOLD);

    // The brokers ask for it again every few seconds.
    set_password("second");
    held::wait_for(&service, "kafka_sign_in", &["invalid credentials"], SOON);
    fs::write(&password, "second\n").unwrap();
    one_more(&stage, &service, 2);
    stage.send(&[Record::new("no event")]);
    stage.wait_until_caught_up(&service, SOON);
    held::wait_until_ready(&service, SOON);
    assert_eq!((stage.cosmos().stats().documents(), stage.letters().len()), (2, 1));
}
