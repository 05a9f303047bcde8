//! Which fields each way of signing in needs, and which belong to another way.
//!
//! | `kafka.auth`         | none | scram | plain | mtls  | `workload_identity` |
//! |----------------------|------|-------|-------|-------|---------------------|
//! | `username`           |      | needs | needs |       |                     |
//! | `password_file`      |      | needs | needs |       |                     |
//! | `mechanism`          |      | takes |       |       |                     |
//! | `ca_file`            |      | takes | takes | takes | takes               |
//! | `certificate_file`   |      |       |       | needs |                     |
//! | `key_file`           |      |       |       | needs |                     |
//! | `scope`              |      |       |       |       | needs               |
//! | `client_id`          |      |       |       |       | takes               |
//! | `tenant_id`          |      |       |       |       | takes               |
//!
//! | `cosmos.auth` | `workload_identity` | `managed_identity` | developer | key   |
//! |---------------|---------------------|--------------------|-----------|-------|
//! | `client_id`   | takes               | takes              |           |       |
//! | `tenant_id`   | takes               |                    |           |       |
//! | `key_file`    |                     |                    |           | takes |
//!
//! `key` without a `key_file` takes the key from the environment. `kafka.auth.tls` stands apart: see
//! [`tls`].

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use super::check::is_loopback;
use super::error::{ConfigError, Problem};
use super::layer::Layers;
use super::{Config, CosmosAuthMethod, KafkaAuthMethod, secret};

/// The variable that holds the account key when there is no `cosmos.auth.key_file`.
pub const COSMOS_KEY_VARIABLE: &str = "STREAMPROC_COSMOS_KEY";

/// Which methods need a field, and which others take it.
struct Field<M: 'static> {
    name: &'static str,
    needs: &'static [M],
    takes: &'static [M],
}

const KAFKA: &[Field<KafkaAuthMethod>] = {
    use KafkaAuthMethod::{Mtls, Plain, Scram, WorkloadIdentity};
    &[
        Field { name: "username", needs: &[Scram, Plain], takes: &[] },
        Field { name: "password_file", needs: &[Scram, Plain], takes: &[] },
        Field { name: "mechanism", needs: &[], takes: &[Scram] },
        Field { name: "ca_file", needs: &[], takes: &[Scram, Plain, Mtls, WorkloadIdentity] },
        Field { name: "certificate_file", needs: &[Mtls], takes: &[] },
        Field { name: "key_file", needs: &[Mtls], takes: &[] },
        Field { name: "scope", needs: &[WorkloadIdentity], takes: &[] },
        Field { name: "client_id", needs: &[], takes: &[WorkloadIdentity] },
        Field { name: "tenant_id", needs: &[], takes: &[WorkloadIdentity] },
    ]
};

const COSMOS: &[Field<CosmosAuthMethod>] = {
    use CosmosAuthMethod::{Key, ManagedIdentity, WorkloadIdentity};
    &[
        Field { name: "client_id", needs: &[], takes: &[WorkloadIdentity, ManagedIdentity] },
        Field { name: "tenant_id", needs: &[], takes: &[WorkloadIdentity] },
        Field { name: "key_file", needs: &[], takes: &[Key] },
    ]
};

/// Checks both sign-ins.
pub(super) fn check(
    config: &Config,
    layers: &Layers,
    environment: &BTreeMap<String, String>,
) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if !layers.spoilt.iter().any(|key| key == "kafka.auth.method") {
        let method = config.kafka.auth.method;
        errors.extend(fields("kafka.auth", KAFKA, method, &word(&method), layers));
        errors.extend(tls(config, layers));
    }
    if !layers.spoilt.iter().any(|key| key == "cosmos.auth.method") {
        let method = config.cosmos.auth.method;
        errors.extend(fields("cosmos.auth", COSMOS, method, &word(&method), layers));
        errors.extend(cosmos_key(config, layers, environment));
    }
    errors.extend(files(config, layers));
    errors
}

/// A method as it is written.
fn word(method: &impl serde::Serialize) -> String {
    serde_json::to_value(method).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn fields<M: Copy + PartialEq + serde::Serialize>(
    section: &str,
    table: &[Field<M>],
    method: M,
    word_of_method: &str,
    layers: &Layers,
) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for field in table {
        let key = format!("{section}.{}", field.name);
        if layers.spoilt.contains(&key) {
            continue;
        }
        let needed = field.needs.contains(&method);
        let set = layers.is_set(&key);
        if needed && !set {
            errors.push(layers.error(
                Problem::Missing,
                &key,
                "nothing",
                format!("a value, for {section}.method is {word_of_method:?}"),
                format!("add {} under [{section}], or choose another method", field.name),
            ));
        }
        if set && !needed && !field.takes.contains(&method) {
            let others: Vec<String> = field.needs.iter().chain(field.takes).map(word).collect();
            errors.push(layers.error(
                Problem::Contradiction,
                &key,
                format!("a value, although {section}.method is {word_of_method:?}"),
                format!("no value: this belongs to the method {}", others.join(" or ")),
                format!("remove it, or set {section}.method to {}", others.join(" or ")),
            ));
        }
    }
    errors
}

/// Whether the connection is encrypted has to be what the user thinks it is.
fn tls(config: &Config, layers: &Layers) -> Option<ConfigError> {
    use KafkaAuthMethod::{Mtls, None as Nobody, Plain, Scram, WorkloadIdentity};
    const KEY: &str = "kafka.auth.tls";
    let auth = &config.kafka.auth;
    let error = |found: &str, expected: &str, action: &str| {
        Some(layers.error(Problem::Contradiction, KEY, found, expected, action))
    };
    match (auth.method, auth.tls) {
        (Nobody, true) if layers.is_set(KEY) => error(
            "true, although kafka.auth.method is \"none\"",
            "false, or nothing: without a sign-in the connection is not encrypted",
            "remove it, or choose the method of an encrypted listener",
        ),
        (Mtls, false) => error("false", "true: certificates need an encrypted connection", "remove it"),
        (Plain | WorkloadIdentity, false) if !is_local(&config.kafka.bootstrap_servers) => error(
            "false, with a broker on another machine",
            "true: the password or token would cross the network in the clear",
            "remove it, and use the brokers' encrypted port",
        ),
        (Scram | Plain | WorkloadIdentity, false) if auth.ca_file.is_some() => error(
            "false, although kafka.auth.ca_file is set",
            "true: without TLS no certificate is checked",
            "remove it, or remove ca_file",
        ),
        _ => None,
    }
}

fn is_local(servers: &str) -> bool {
    servers.split(',').all(|server| {
        let host = server.trim().rsplit_once(':').map_or("", |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    })
}

fn cosmos_key(
    config: &Config,
    layers: &Layers,
    environment: &BTreeMap<String, String>,
) -> Option<ConfigError> {
    let auth = &config.cosmos.auth;
    let in_environment = environment.get(COSMOS_KEY_VARIABLE).is_some_and(|key| !key.is_empty());
    // The sandbox's key is public and known here.
    let is_sandbox = cfg!(feature = "sandbox")
        && config.cosmos.endpoint.starts_with("http://")
        && is_loopback(&config.cosmos.endpoint);
    let missing =
        auth.method == CosmosAuthMethod::Key && auth.key_file.is_none() && !in_environment && !is_sandbox;
    (missing && !layers.spoilt.iter().any(|key| key == "cosmos.auth.key_file")).then(|| {
        layers.error(
            Problem::Missing,
            "cosmos.auth.key_file",
            format!("nothing, and no variable {COSMOS_KEY_VARIABLE}"),
            "a file that holds the account key, for cosmos.auth.method is \"key\"",
            format!("name the file in key_file, or set {COSMOS_KEY_VARIABLE}"),
        )
    })
}

/// Files that are named must be there. They are read when a client is created, not here.
fn files(config: &Config, layers: &Layers) -> Vec<ConfigError> {
    let kafka = &config.kafka.auth;
    [
        ("kafka.auth.password_file", &kafka.password_file),
        ("kafka.auth.ca_file", &kafka.ca_file),
        ("kafka.auth.certificate_file", &kafka.certificate_file),
        ("kafka.auth.key_file", &kafka.key_file),
        ("cosmos.auth.key_file", &config.cosmos.auth.key_file),
    ]
    .into_iter()
    .filter_map(|(key, path)| {
        let path = path.as_deref()?;
        let why = unreadable(path)?;
        let shown = shown(key, path);
        let action = if shown == secret::HIDDEN {
            "name the file, not what belongs into it (a relative path is shown here when it begins with ./)"
        } else {
            "mend the path, or mount the secret there and let this process's user read it"
        };
        let found = format!("{shown}: {why}");
        Some(layers.error(Problem::NotAllowed, key, found, "a file that can be read", action))
    })
    .collect()
}

/// The path, unless the secret itself may stand in its place, which happens.
fn shown(key: &str, path: &Path) -> String {
    let looks_like_one = path.is_absolute() || path.starts_with(".") || path.starts_with("..");
    if looks_like_one || path.as_os_str().is_empty() || path.exists() {
        secret::show(key, true, &path.to_string_lossy())
    } else {
        secret::HIDDEN.to_owned()
    }
}

fn unreadable(path: &Path) -> Option<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Some(error.to_string()),
    };
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => Some("a directory".into()),
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Some("empty".into()),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}
