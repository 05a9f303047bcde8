//! The effective configuration as text: every key with its value, where it comes from when that is
//! not the file, and what is in effect besides. Secrets are hidden.

use std::collections::BTreeMap;
use std::fmt::Write;

use rdkafka::ClientConfig;
use serde_json::{Value, json};

use crate::config::reference::{PROPERTIES, reference};
use crate::config::{Loaded, environment, secret};
use crate::core::shown;
use crate::kafka;

/// As a configuration file, which gives the same configuration when it is loaded.
pub(super) fn toml(loaded: &Loaded) -> anyhow::Result<String> {
    let values = values(loaded)?;
    let mut out = String::new();
    if let Some(file) = &loaded.file {
        writeln!(out, "# {}, and the environment", file.display())?;
    } else {
        writeln!(out, "# the environment alone")?;
    }
    for section in reference().sections() {
        if !section.path.is_empty() {
            writeln!(out, "\n[{}]", section.path)?;
        }
        let table = section.path.split('.').filter(|part| !part.is_empty()).fold(&values, |v, part| &v[part]);
        // A field of another way of signing in is refused even with its default value.
        let may_be_left_out = section.path.rsplit('.').next() == Some("auth");
        let names: Vec<(String, &Value)> = if section.path == PROPERTIES {
            table.as_object().into_iter().flatten().map(|(name, value)| (quoted(name), value)).collect()
        } else {
            section.keys.iter().map(|key| (key.name.clone(), &table[&key.name])).collect()
        };
        for (name, value) in names {
            let path = format!("{}.{}", section.path, name.trim_matches('"'));
            let origin = loaded
                .overridden
                .get(path.trim_start_matches('.'))
                .map(|variable| format!("  # from {variable}"))
                .unwrap_or_default();
            let key = reference().key(&path);
            let is_default = key.and_then(|key| key.default.as_ref()) == Some(value);
            match value {
                value if may_be_left_out && is_default && name != "method" && !value.is_null() => {
                    writeln!(out, "# {name} = {}{origin}", written(value))?;
                }
                Value::Null => writeln!(out, "# {name} is not set{origin}")?,
                value => writeln!(out, "{name} = {}{origin}", written(value))?,
            }
        }
    }
    comment(&mut out, "Variables of the Cosmos DB SDK that are set", &loaded.sdk_variables)?;
    comment(&mut out, "Properties of librdkafka in effect, consumers", &consumer(loaded)?)?;
    comment(&mut out, "Properties of librdkafka in effect, the dead letters' producer", &producer(loaded)?)?;
    Ok(out)
}

/// For a program.
pub(super) fn json(loaded: &Loaded) -> anyhow::Result<Value> {
    Ok(json!({
        "configuration": values(loaded)?,
        "file": loaded.file,
        "overridden": loaded.overridden,
        "sdk_variables": loaded.sdk_variables,
        "librdkafka": {"consumer": consumer(loaded)?, "producer": producer(loaded)?},
        "override_prefix": environment::PREFIX,
    }))
}

/// The configuration, without what somebody has put in the place of something else.
fn values(loaded: &Loaded) -> anyhow::Result<Value> {
    let mut values = serde_json::to_value(&loaded.config)?;
    if let Some(properties) = values.pointer_mut("/kafka/properties").and_then(Value::as_object_mut) {
        for (name, value) in properties {
            let hidden = value.as_str().is_some_and(|value| is_hidden(name, value));
            if hidden {
                *value = secret::HIDDEN.into();
            }
        }
    }
    hide(&mut values);
    Ok(values)
}

fn hide(value: &mut Value) {
    match value {
        Value::String(text) if secret::looks_secret(text) => secret::HIDDEN.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(fields) => fields.values_mut().for_each(hide),
        _ => {}
    }
}

/// Whether a property of librdkafka is not for showing.
fn is_hidden(name: &str, value: &str) -> bool {
    name.contains("password") || name.contains("secret") || secret::looks_secret(value)
}

fn consumer(loaded: &Loaded) -> anyhow::Result<BTreeMap<String, String>> {
    Ok(visible(&kafka::consumer(&loaded.config.kafka, "consumer")?))
}

fn producer(loaded: &Loaded) -> anyhow::Result<BTreeMap<String, String>> {
    Ok(visible(&kafka::producer(&loaded.config.kafka, "dead-letters")?))
}

fn visible(config: &ClientConfig) -> BTreeMap<String, String> {
    config
        .config_map()
        .into_iter()
        .map(|(name, value)| {
            (name.to_owned(), if is_hidden(name, value) { secret::HIDDEN } else { value }.to_owned())
        })
        .collect()
}

fn comment(out: &mut String, title: &str, values: &BTreeMap<String, String>) -> std::fmt::Result {
    if values.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n# {title}:")?;
    for (name, value) in values {
        // On its line, whatever it holds: what follows would count as configuration.
        writeln!(out, "#   {name} = {}", shown::text(value))?;
    }
    Ok(())
}

/// A value as TOML; the strings of JSON are strings of TOML too.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    // TOML wants this one escaped as well.
    Value::String(text.to_owned()).to_string().replace('\u{7f}', "\\u007F")
}
