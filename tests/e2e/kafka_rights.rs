//! The rights that docs/operations.md lists are all that a user needs, and each is needed. What a user may not
//! do is said with the right that is missing, and goes on by itself when the right is given.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::guarded::{self, ACLS, USERS};
use crate::kafka_sign_in::{Way, line};
use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::guard;
use crate::support::kafka::{Listener, Record};
use crate::support::service::Service;
use crate::support::wait;

/// The rights of the page: the operation, on what, and what is said where it is missing.
const RIGHTS: [(&str, On, &str); 4] = [
    ("READ", On::Topic, "topic_forbidden"),
    ("READ", On::Group, "group_forbidden"),
    ("WRITE", On::Letters, "dead_letters_unavailable"),
    ("DESCRIBE_CONFIGS", On::Letters, "the settings of the dead-letter topic may not be read"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Topic,
    Group,
    Letters,
}

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

#[test]
fn the_page_lists_these_rights_and_no_others() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let (_, section) = page.split_once("\n## Rights in Kafka\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let on = |on| match on {
        On::Topic => "`kafka.topics`",
        On::Group => "`kafka.group_id`",
        On::Letters => "`dead_letter.topic`",
    };
    assert_eq!(rows.len(), RIGHTS.len(), "{rows:#?}");
    for (row, (operation, thing, said)) in rows.iter().zip(RIGHTS) {
        let words = [format!("| `{operation}` |"), on(thing).to_owned(), said.to_owned()];
        assert!(words.iter().all(|word| row.contains(word.as_str())), "{words:?} in {row}");
    }
}

/// A user who comes by a certificate, and a stage of its own: with every right of the page but one, or with
/// all.
struct User {
    name: String,
    lacks: Option<usize>,
    stage: Stage,
}

impl User {
    fn lacking(lacks: Option<usize>) -> Self {
        let name = lacks.map_or_else(|| "has-all".to_owned(), |right| format!("lacks-{right}"));
        Self {
            name,
            lacks,
            stage: Stage::on(guarded::cluster(), Layout { partitions: 1, ..Layout::default() }),
        }
    }

    fn start(&self) -> Service {
        let security = self.stage.cluster.security();
        let issued = security.authority.issue(&self.name);
        Way::new(Listener::Mtls, "mtls")
            .with(line("ca_file", &security.authority.ca_file))
            .with(line("certificate_file", &issued.certificate))
            .with(line("key_file", &issued.key))
            .start(&self.stage)
    }
}

/// Gives a right to everybody who does not lack it.
fn give(users: &[User], right: usize) {
    let (operation, on, _) = RIGHTS[right];
    let operation =
        operation.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase()).collect::<String>();
    let those: Vec<_> = users.iter().filter(|user| user.lacks != Some(right)).collect();
    let mut arguments = vec!["--add".to_owned(), "--operation".to_owned(), operation];
    for user in those {
        let (kind, thing) = match on {
            On::Topic => ("--topic", &user.stage.topic),
            On::Group => ("--group", &user.stage.group),
            On::Letters => ("--topic", &user.stage.dead_letters),
        };
        arguments.extend(["--allow-principal".to_owned(), format!("User:CN={}", user.name)]);
        arguments.extend([kind.to_owned(), thing.clone()]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    guarded::cluster().tool(ACLS, &arguments);
}

/// Each has a stage of its own, so that it does not matter that one may do the same on the others'.
#[test]
fn the_rights_of_the_page_are_enough_and_each_of_them_is_needed() {
    let mut users: Vec<_> = (0..RIGHTS.len()).map(|right| User::lacking(Some(right))).collect();
    users.push(User::lacking(None));
    (0..RIGHTS.len()).for_each(|right| give(&users, right));
    for user in &users {
        user.stage.send(&[Record::new(event(1, 1)).key("device-1"), Record::new("no event")]);
    }
    let services: Vec<_> = users.iter().map(User::start).collect();
    for (user, service) in users.iter().zip(&services) {
        match user.lacks.map(|right| RIGHTS[right]) {
            // It is a matter of what is known at the start, and stops nothing.
            Some((_, _, said)) if said.contains(' ') => {
                let right = "give this user the right (ACL) DESCRIBE_CONFIGS on the topic";
                let is_it = |line: &String| line.contains(said) && line.contains(right);
                wait::until_ok(SOON, said, || {
                    let is_said = service.stderr().iter().any(is_it);
                    if is_said { Ok(()) } else { Err(service.tail()) }
                });
            }
            Some((operation, on, reason)) => {
                held::wait_for(service, reason, &[&format!("the right (ACL) {operation} on the")], SOON);
                println!("without {operation} on {on:?}: {reason}");
                assert_eq!(user.stage.cosmos().stats().documents(), 0, "{on:?}");
                continue;
            }
            None => {}
        }
        user.stage.wait_until_caught_up(service, SOON);
        held::wait_until_ready(service, SOON);
        assert_eq!(
            (user.stage.cosmos().stats().documents(), user.stage.letters().len()),
            (1, 1),
            "{}",
            user.name
        );
        let refused = service.stderr().iter().any(|line| line.contains("(ACL)"));
        assert_eq!(refused, user.lacks.is_some(), "{}\n{}", user.name, service.tail());
    }
}
