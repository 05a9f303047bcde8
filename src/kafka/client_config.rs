//! The librdkafka properties of our clients.
//!
//! | `kafka.auth.method`  | `security.protocol`                              | `sasl.mechanism`           |
//! |----------------------|--------------------------------------------------|----------------------------|
//! | `none`               | `plaintext`                                      |                            |
//! | `scram`              | `sasl_ssl`, or `sasl_plaintext` without `tls`    | `SCRAM-SHA-512` or `-256`  |
//! | `plain`              | `sasl_ssl`, or `sasl_plaintext` without `tls`    | `PLAIN`                    |
//! | `mtls`               | `ssl`                                            |                            |
//! | `workload_identity`  | `sasl_ssl`, or `sasl_plaintext` without `tls`    | `OAUTHBEARER`              |
//!
//! Passwords are read from their files every time, so that a client made after a rotation has the new
//! one; certificates are read by librdkafka itself, again for every client. A password is set as
//! `sasl.password`, which rdkafka's `Debug` leaves out; nothing secret is set under a name that it
//! shows (`ssl.key.pem`, `sasl.oauthbearer.config`).

use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;

use crate::config::librdkafka::{Role, is_for};
use crate::config::{Kafka, KafkaAuth, KafkaAuthMethod, ScramMechanism};

/// Why the properties cannot be put together. Never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The password cannot be read.
    #[error("the password of Kafka: {path} (kafka.auth.password_file): {source}")]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What the file holds is no password.
    #[error("the password of Kafka: {path} (kafka.auth.password_file) {what}")]
    NotAPassword {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A path that librdkafka cannot be given.
    #[error("{path:?} (kafka.auth) is not UTF-8, which librdkafka wants of a path")]
    Path {
        /// The path.
        path: PathBuf,
    },
}

/// What a client of either kind needs to connect: addresses, sign-in, and those of the user's
/// properties that are for both kinds. `purpose` tells the clients apart in the brokers' logs and in
/// ours, as the client id `streamproc-PURPOSE`.
///
/// # Errors
///
/// When the password cannot be read.
pub fn base(kafka: &Kafka, purpose: &str) -> Result<ClientConfig, SetupError> {
    common(kafka, purpose, |name| is_for(Role::Consumer, name) && is_for(Role::Producer, name))
}

/// A consumer of the configured group that commits nothing by itself and jumps nowhere by itself.
/// How much it may buffer is left to the caller.
///
/// # Errors
///
/// When the password cannot be read.
pub fn consumer(kafka: &Kafka, purpose: &str) -> Result<ClientConfig, SetupError> {
    let session = kafka.session_timeout.0.as_millis();
    let mut config = common(kafka, purpose, |name| is_for(Role::Consumer, name))?;
    config
        .set("group.id", &kafka.group_id)
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session.to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("allow.auto.create.topics", "false");
    if !kafka.properties.contains_key("heartbeat.interval.ms") {
        config.set("heartbeat.interval.ms", (session / 3).min(3_000).to_string());
    }
    if !kafka.client_rack.is_empty() {
        config.set("client.rack", &kafka.client_rack);
    }
    Ok(config)
}

/// A producer whose records arrive once, in order and on all replicas.
///
/// # Errors
///
/// When the password cannot be read.
pub fn producer(kafka: &Kafka, purpose: &str) -> Result<ClientConfig, SetupError> {
    let mut config = common(kafka, purpose, |name| is_for(Role::Producer, name))?;
    config.set("enable.idempotence", "true").set("acks", "all");
    Ok(config)
}

fn common(
    kafka: &Kafka,
    purpose: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<ClientConfig, SetupError> {
    let mut config = ClientConfig::new();
    config
        .set("client.id", format!("streamproc-{purpose}"))
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "10000")
        // New partitions, and new leaders of idle ones, are noticed within ten seconds.
        .set("topic.metadata.refresh.interval.ms", "10000");
    for (name, value) in kafka.properties.iter().filter(|(name, _)| is_wanted(name)) {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &kafka.bootstrap_servers);
    sign_in(&mut config, &kafka.auth)?;
    Ok(config)
}

fn sign_in(config: &mut ClientConfig, auth: &KafkaAuth) -> Result<(), SetupError> {
    let sasl = if auth.tls { "sasl_ssl" } else { "sasl_plaintext" };
    match auth.method {
        KafkaAuthMethod::None => {
            config.set("security.protocol", "plaintext");
            return Ok(());
        }
        KafkaAuthMethod::Scram => {
            let mechanism = match auth.mechanism {
                ScramMechanism::Sha512 => "SCRAM-SHA-512",
                ScramMechanism::Sha256 => "SCRAM-SHA-256",
            };
            config.set("security.protocol", sasl).set("sasl.mechanism", mechanism);
            user_and_password(config, auth)?;
        }
        KafkaAuthMethod::Plain => {
            config.set("security.protocol", sasl).set("sasl.mechanism", "PLAIN");
            user_and_password(config, auth)?;
        }
        KafkaAuthMethod::Mtls => {
            config.set("security.protocol", "ssl");
            set_path(config, "ssl.certificate.location", auth.certificate_file.as_deref())?;
            set_path(config, "ssl.key.location", auth.key_file.as_deref())?;
        }
        KafkaAuthMethod::WorkloadIdentity => {
            config.set("security.protocol", sasl).set("sasl.mechanism", "OAUTHBEARER");
        }
    }
    if auth.tls || auth.method == KafkaAuthMethod::Mtls {
        set_path(config, "ssl.ca.location", auth.ca_file.as_deref())?;
    }
    Ok(())
}

fn user_and_password(config: &mut ClientConfig, auth: &KafkaAuth) -> Result<(), SetupError> {
    config.set("sasl.username", &auth.username);
    if let Some(path) = &auth.password_file {
        config.set("sasl.password", password(path)?);
    }
    Ok(())
}

/// The file's content without the line break that most editors put at its end.
fn password(path: &Path) -> Result<String, SetupError> {
    let wrong = |what| SetupError::NotAPassword { path: path.to_owned(), what };
    let bytes =
        std::fs::read(path).map_err(|source| SetupError::PasswordFile { path: path.to_owned(), source })?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    match text {
        "" => Err(wrong("is empty")),
        // librdkafka takes strings that end at the first of these.
        text if text.contains('\0') => Err(wrong("holds a zero byte")),
        text => Ok(text.to_owned()),
    }
}

fn set_path(config: &mut ClientConfig, name: &str, path: Option<&Path>) -> Result<(), SetupError> {
    if let Some(path) = path {
        config.set(name, path.to_str().ok_or_else(|| SetupError::Path { path: path.to_owned() })?);
    }
    Ok(())
}
