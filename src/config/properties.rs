//! `[kafka.properties]`: what librdkafka would say about them, said before anything starts.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::error::{ConfigError, Problem};
use super::layer::Layers;
use super::librdkafka::ALIASES;
use super::reference::PROPERTIES;
use super::refused::Refused;
use super::{Config, secret, unknown};

/// Checks each property: refused ones, unknown ones, values the library does not take.
pub(super) fn check(config: &Config, layers: &Layers) -> Vec<ConfigError> {
    let properties = layers.properties();
    let mut errors: Vec<ConfigError> =
        properties.iter().filter_map(|(name, value)| check_one(name, value, layers)).collect();
    for (one, other) in ALIASES {
        if properties.contains_key(one) && properties.contains_key(other) && Refused::of(one).is_none() {
            errors.push(layers.error(
                Problem::Contradiction,
                &path(other),
                format!("{other}, which is another name of {one}"),
                "each property once",
                "keep one of the two",
            ));
        }
    }
    errors.extend(heartbeat(config, layers));
    errors
}

fn check_one(name: &str, value: &str, layers: &Layers) -> Option<ConfigError> {
    let key = path(name);
    let found = secret::show(name, false, value);
    if let Some(refused) = Refused::of(name) {
        return (!refused.fine.contains(&value)).then(|| {
            let expected = match refused.fine.first() {
                Some(fine) => format!("{fine:?}, or nothing: {}", refused.reason),
                None => format!("nothing: {}", refused.reason),
            };
            layers.error(Problem::Refused, &key, found, expected, refused.instead)
        });
    }
    let error = ClientConfig::new().set(name, value).create_native_config().err()?;
    if let KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..) = error {
        return Some(unknown::property(name, layers.place(&key)));
    }
    let expected = match &error {
        KafkaError::ClientConfig(_, description, ..)
            if found != secret::HIDDEN && !secret::looks_secret(description) =>
        {
            format!("a value that librdkafka takes ({})", description.trim())
        }
        _ => "a value that librdkafka takes".to_owned(),
    };
    let action = "see this property in librdkafka's CONFIGURATION.md";
    Some(layers.error(Problem::NotAllowed, &key, found, expected, action))
}

/// With fewer than three heartbeats in a session, one lost packet costs the partitions.
fn heartbeat(config: &Config, layers: &Layers) -> Option<ConfigError> {
    const NAME: &str = "heartbeat.interval.ms";
    let heartbeat: u128 = config.kafka.properties.get(NAME)?.parse().ok()?;
    let session = config.kafka.session_timeout.0.as_millis();
    (heartbeat > session / 3).then(|| {
        layers.error(
            Problem::Contradiction,
            &path(NAME),
            format!("{heartbeat}, with kafka.session_timeout = \"{}\"", config.kafka.session_timeout),
            "a third of kafka.session_timeout or less: one lost heartbeat must not cost the partitions",
            "lower it, or raise kafka.session_timeout",
        )
    })
}

fn path(name: &str) -> String {
    format!("{PROPERTIES}.{name}")
}
