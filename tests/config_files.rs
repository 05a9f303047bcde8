//! The files in `config/`: they load, and they hold every key.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use streamproc::config::reference::{PROPERTIES, reference};
use streamproc::config::{CosmosAuthMethod, KafkaAuthMethod, Loaded, load};

const FILES: [&str; 3] = ["local.toml", "prod.toml", "event-hubs.toml"];

/// Where the files expect their secrets.
const MOUNTED: &str = "/etc/streamproc";

fn text(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(file);
    std::fs::read_to_string(path).unwrap()
}

/// Loads a file, with secrets mounted where it expects them.
fn loaded(file: &str, change: impl FnOnce(String) -> String) -> Loaded {
    let mounted = tempfile::tempdir().unwrap();
    for secret in [
        "kafka/password",
        "kafka/user.crt",
        "kafka/user.key",
        "kafka-ca/ca.crt",
        "cosmos/key",
        "streamproc.toml",
    ] {
        let path = mounted.path().join(secret);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "content").unwrap();
    }
    let path = mounted.path().join("streamproc.toml");
    std::fs::write(&path, change(text(file)).replace(MOUNTED, &mounted.path().display().to_string()))
        .unwrap();
    let key = ("STREAMPROC_COSMOS_KEY".to_owned(), "key".to_owned());
    load(Some(&path), std::iter::once(key)).unwrap_or_else(|errors| panic!("{file}: {errors}"))
}

#[test]
fn each_file_loads() {
    let local = loaded("local.toml", |text| text).config;
    assert_eq!(local.kafka.bootstrap_servers, "localhost:9092");
    assert_eq!(local.cosmos.auth.method, CosmosAuthMethod::Key);
    let prod = loaded("prod.toml", |text| text).config;
    assert_eq!(prod.kafka.auth.method, KafkaAuthMethod::Scram);
    assert_eq!(prod.cosmos.auth.method, CosmosAuthMethod::WorkloadIdentity);
    let hubs = loaded("event-hubs.toml", |text| text).config;
    assert_eq!(hubs.kafka.auth.method, KafkaAuthMethod::WorkloadIdentity);
    assert_eq!(hubs.kafka.properties["connections.max.idle.ms"], "180000");
}

#[test]
fn the_other_sign_in_that_the_production_file_describes_loads_too() {
    let mtls = loaded("prod.toml", |text| {
        let scram = ["username ", "password_file ", "mechanism "];
        text.lines()
            .filter(|line| !scram.iter().any(|key| line.starts_with(key)))
            .map(|line| line.replace("= \"scram\" ", "= \"mtls\" "))
            .map(|line| {
                let wanted = ["# certificate_file = \"/etc", "# key_file         = \"/etc"];
                if wanted.iter().any(|start| line.starts_with(start)) { line[2..].to_owned() } else { line }
            })
            .collect::<Vec<_>>()
            .join("\n")
    });
    assert_eq!(mtls.config.kafka.auth.method, KafkaAuthMethod::Mtls);
}

/// The keys of a file, those in comments too: `# key = value` is one, a sentence is not.
fn keys(text: &str) -> Vec<String> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            header.trim_end_matches(']').clone_into(&mut section);
        } else if let Some((name, _)) = line.strip_prefix("# ").unwrap_or(line).split_once('=') {
            let name = name.trim_end();
            if section != PROPERTIES
                && !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            {
                keys.push(if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") });
            }
        }
    }
    keys
}

#[test]
fn every_key_stands_in_every_file_once_set_or_commented_and_no_other() {
    let known: BTreeSet<String> = reference().keys().map(|key| key.path.clone()).collect();
    for file in FILES {
        let list = keys(&text(file));
        let held: BTreeSet<String> = list.iter().cloned().collect();
        assert_eq!(held, known, "{file}");
        assert_eq!(list.len(), held.len(), "{file}: a key stands twice");
    }
}

#[test]
fn a_line_fits_an_editor() {
    for file in FILES {
        let long: Vec<String> =
            text(file).lines().filter(|l| l.chars().count() > 110).map(str::to_owned).collect();
        assert!(long.is_empty(), "{file}: {long:?}");
    }
}
