//! The environment: `STREAMPROC__SECTION__KEY` overrides `key` in `[section]`.

use std::collections::BTreeMap;

use super::error::{ConfigError, Place, Problem};
use super::file::Reading;
use super::layer::Entry;
use super::reference::{PROPERTIES, reference};
use super::typed::{self, Written};
use super::{librdkafka, unknown};

/// What every overriding variable begins with.
pub const PREFIX: &str = "STREAMPROC__";

/// The variable that overrides a key: `STREAMPROC__KAFKA__PROPERTIES__LINGER_MS` for `linger.ms`
/// in `[kafka.properties]`.
pub fn variable(path: &str) -> String {
    let name = match path.strip_prefix(PROPERTIES).and_then(|rest| rest.strip_prefix('.')) {
        Some(property) => format!("kafka__properties__{}", property.replace('.', "_")),
        None => path.replace('.', "__"),
    };
    format!("{PREFIX}{}", name.to_uppercase())
}

/// Reads the variables that are ours.
pub(super) fn read(variables: &BTreeMap<String, String>) -> Reading {
    let mut reading = Reading::default();
    for (name, value) in variables {
        let place = Place::Variable(name.clone());
        match name.strip_prefix(PREFIX) {
            Some(rest) => one(&mut reading, &rest.to_lowercase(), value, place),
            None => reading.errors.extend(misspelt(name, place)),
        }
    }
    reading
}

fn one(reading: &mut Reading, name: &str, text: &str, place: Place) {
    let path = name.replace("__", ".");
    if let Some(property) = path.strip_prefix(PROPERTIES).and_then(|rest| rest.strip_prefix('.')) {
        let path = format!("{PROPERTIES}.{}", property_name(property));
        let value = config::Value::new(None, config::ValueKind::String(text.to_owned()));
        reading.layer.entries.insert(path, Entry { value, place });
    } else if let Some(key) = reference().key(&path) {
        match typed::check(key, &Written::from_variable(&key.kind, text)) {
            Ok(value) => {
                reading.layer.entries.insert(path, Entry { value, place });
            }
            Err(fault) => {
                reading.spoilt.push(path.clone());
                reading.errors.push(ConfigError {
                    problem: fault.problem,
                    place,
                    key: path,
                    found: fault.found,
                    expected: key.kind.to_string(),
                    action: fault.action,
                });
            }
        }
    } else if reference().section(&path).is_some() {
        reading.errors.push(ConfigError {
            problem: Problem::WrongType,
            place,
            key: path.clone(),
            found: "a value for a whole section".into(),
            expected: "a variable for each key".into(),
            action: format!("name the key as well, as in {}__…", variable(&path)),
        });
    } else {
        let (mut error, meant) = unknown::error(&path, place);
        if let Some(meant) = &meant {
            error.action = format!("{} (as a variable: {})", error.action, variable(meant));
        }
        reading.errors.push(error);
        reading.meant.extend(meant);
    }
}

/// `linger_ms` is `linger.ms`, but `log_level` is `log_level`.
fn property_name(written: &str) -> String {
    let written = written.replace('.', "_");
    librdkafka::names()
        .find(|name| name.replace('.', "_") == written)
        .map_or_else(|| written.replace('_', "."), str::to_owned)
}

/// A variable with a single underscore where two belong would be passed over in silence. Only the
/// exact names are caught: Kubernetes puts variables of its own into every pod, such as
/// `STREAMPROC_SERVICE_HOST` for a service called streamproc.
fn misspelt(name: &str, place: Place) -> Option<ConfigError> {
    let plain = |name: &str| name.to_uppercase().replace("__", "_");
    let meant = reference()
        .keys()
        .filter(|key| key.path.contains('.'))
        .map(|key| variable(&key.path))
        .find(|variable| plain(variable) == plain(name))?;
    Some(ConfigError {
        problem: Problem::UnknownKey,
        place,
        key: String::new(),
        found: "one underscore where two belong: the variable would have no effect".into(),
        expected: meant.clone(),
        action: format!("rename it to {meant}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn read_one(name: &str, value: &str) -> Reading {
        read(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn every_key_has_a_variable_that_sets_it() {
        for key in reference().keys() {
            let name = variable(&key.path);
            let reading = read_one(&name, "");
            let seen = reading.layer.entries.contains_key(&key.path) || reading.spoilt.contains(&key.path);
            assert!(seen, "{name} does not reach {}", key.path);
        }
    }

    #[test]
    fn every_property_of_librdkafka_has_a_variable_that_sets_it() {
        for name in librdkafka::names() {
            let path = format!("{PROPERTIES}.{name}");
            let reading = read_one(&variable(&path), "x");
            assert!(reading.layer.entries.contains_key(&path), "{name}: {reading:?}");
        }
    }

    #[test]
    fn a_single_underscore_is_noticed_and_the_variables_of_kubernetes_are_left_alone() {
        for name in ["STREAMPROC_KAFKA_TOPICS", "STREAMPROC_KAFKA__TOPICS", "STREAMPROC_KAFKA__AUTH_METHOD"] {
            let reading = read_one(name, "x");
            assert_eq!(reading.errors.len(), 1, "{name}");
        }
        for name in [
            "STREAMPROC_SERVICE_HOST",
            "STREAMPROC_PORT_9090_TCP",
            "STREAMPROC_CONFIG",
            "STREAMPROC_COSMOS_KEY",
        ] {
            assert!(read_one(name, "x").errors.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_misspelt_variable_is_told_the_right_one() {
        let reading = read_one("STREAMPROC__KAFKA__TOPCS", "a");
        assert!(reading.errors[0].action.contains("STREAMPROC__KAFKA__TOPICS"), "{:?}", reading.errors);
    }
}
