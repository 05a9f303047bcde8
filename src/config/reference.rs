//! Every key there is: its section, type, default and meaning, as the structs declare them.
//!
//! All of it is read out of the JSON schema, so that the messages about a wrong configuration, the
//! output of `config` and `docs/configuration.md` cannot tell another story than the structs.

use std::fmt;
use std::sync::LazyLock;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Config, Cosmos, DeadLetter, Kafka};

/// The section whose keys are librdkafka's own.
pub const PROPERTIES: &str = "kafka.properties";

/// Every section, in the order of the structs; the first one, without a name, is the top of the file.
#[derive(Debug)]
pub struct Reference(Vec<Section>);

/// One section of the file.
#[derive(Debug)]
pub struct Section {
    /// `kafka.auth`; empty for the top of the file.
    pub path: String,
    /// What it is about.
    pub about: String,
    /// Its keys, without those of the sections below it.
    pub keys: Vec<Key>,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// `kafka.auth.username`
    pub path: String,
    /// `username`
    pub name: String,
    /// What its value may be.
    pub kind: Kind,
    /// Its value when it is left out; `None` when it must not be left out.
    pub default: Option<Value>,
    /// Its meaning.
    pub about: String,
}

/// What a value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any string.
    Text,
    /// The path of a file; empty means not set.
    File,
    /// A whole number that is not negative.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `500ms`
    Duration,
    /// `64MiB`
    Size,
    /// Strings.
    List,
    /// One of some words, each with its meaning.
    Choice(Vec<(String, String)>),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::File => "the path of a file",
            Self::Integer => "a whole number, 0 or more",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Duration => "a duration such as \"500ms\", \"25s\" or \"2m\"",
            Self::Size => "a size such as \"64MiB\" or \"2GB\", or a number of bytes",
            Self::List => "a list of strings",
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                return write!(f, "one of {}", words.join(", "));
            }
        })
    }
}

static REFERENCE: LazyLock<Reference> = LazyLock::new(Reference::read);

/// The reference of this version.
pub fn reference() -> &'static Reference {
    &REFERENCE
}

/// The JSON schema of the configuration.
pub fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}

impl Reference {
    /// The sections, in order.
    pub fn sections(&self) -> &[Section] {
        &self.0
    }

    /// The section of this path.
    pub fn section(&self, path: &str) -> Option<&Section> {
        self.0.iter().find(|section| section.path == path)
    }

    /// The key of this path.
    pub fn key(&self, path: &str) -> Option<&Key> {
        self.keys().find(|key| key.path == path)
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter().flat_map(|section| &section.keys)
    }

    fn read() -> Self {
        let schema = schema();
        let mut sections = Vec::new();
        read_section(&schema, &schema, "", &in_order(), &mut sections);
        Self(sections)
    }
}

/// A configuration whose required values are placeholders.
///
/// It tells the order of the keys, and stands in for missing values so that all the others can be
/// checked nevertheless.
pub(super) fn placeholder() -> Config {
    Config::new(
        Kafka::new("placeholder:9092", ["placeholder"]),
        Cosmos::new("https://placeholder.invalid/", ["placeholder"], "placeholder", "placeholder"),
        DeadLetter::new("placeholder-dead-letter"),
    )
}

fn in_order() -> Ordered {
    serde_json::to_string(&placeholder())
        .and_then(|text| serde_json::from_str(&text))
        .unwrap_or(Ordered(Vec::new()))
}

/// The names of an object in their order (`serde_json::Value` sorts them), and what is below them.
struct Ordered(Vec<(String, Ordered)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Ordered;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut names = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    names.push(entry);
                }
                Ok(Ordered(names))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ordered, A::Error> {
                while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Ordered(Vec::new()))
            }
            fn visit_str<E>(self, _: &str) -> Result<Ordered, E> {
                Ok(Ordered(Vec::new()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Ordered, E> {
                Ok(Ordered(Vec::new()))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Ordered, E> {
                Ok(Ordered(Vec::new()))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Ordered, E> {
                Ok(Ordered(Vec::new()))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Ordered, E> {
                Ok(Ordered(Vec::new()))
            }
            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered(Vec::new()))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

/// Reads one object of the schema; the sections below it follow it in the list.
fn read_section(root: &Value, object: &Value, path: &str, order: &Ordered, into: &mut Vec<Section>) {
    let required = |name: &str| {
        object["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name))
    };
    let mut keys = Vec::new();
    let mut below = Vec::new();
    for (name, inner) in &order.0 {
        let property = &object["properties"][name];
        let shape = resolve(root, property);
        let full = join(path, name);
        let about = text(property, "description");
        if shape["properties"].is_object() {
            read_section(root, shape, &full, inner, &mut below);
            if let Some(section) = below.iter_mut().find(|section: &&mut Section| section.path == full) {
                section.about = about;
            }
        } else if shape["type"] == "object" {
            below.push(Section { path: full, about, keys: Vec::new() });
        } else {
            let default = (!required(name)).then(|| property["default"].clone());
            keys.push(Key { path: full, name: name.clone(), kind: kind(property, shape), default, about });
        }
    }
    into.push(Section { path: path.to_owned(), about: text(object, "description"), keys });
    into.append(&mut below);
}

fn kind(property: &Value, shape: &Value) -> Kind {
    if let Some(choices) = shape["oneOf"].as_array() {
        return Kind::Choice(
            choices.iter().map(|one| (text(one, "const"), text(one, "description"))).collect(),
        );
    }
    match (property["$ref"].as_str(), &shape["type"]) {
        (Some("#/$defs/Duration"), _) => Kind::Duration,
        (Some("#/$defs/ByteSize"), _) => Kind::Size,
        (_, Value::Array(_)) => Kind::File,
        (_, kind) if kind == "integer" => Kind::Integer,
        (_, kind) if kind == "number" => Kind::Number,
        (_, kind) if kind == "boolean" => Kind::Bool,
        (_, kind) if kind == "array" => Kind::List,
        _ => Kind::Text,
    }
}

/// Follows a `$ref`.
fn resolve<'a>(root: &'a Value, property: &'a Value) -> &'a Value {
    property["$ref"]
        .as_str()
        .and_then(|name| name.strip_prefix("#/$defs/"))
        .map_or(property, |name| &root["$defs"][name])
}

/// A string of the schema, its line breaks made spaces.
fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_sections_stand_in_the_order_of_the_structs() {
        let paths: Vec<&str> = reference().sections().iter().map(|section| section.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "",
                "kafka",
                "kafka.auth",
                "kafka.properties",
                "trigger",
                "event",
                "cosmos",
                "cosmos.auth",
                "dead_letter",
                "shutdown",
                "admin",
                "log"
            ]
        );
    }

    #[test]
    fn each_type_of_the_structs_is_recognised() {
        for (path, kind) in [
            ("name", Kind::Text),
            ("kafka.topics", Kind::List),
            ("kafka.workers", Kind::Integer),
            ("kafka.session_timeout", Kind::Duration),
            ("kafka.auth.tls", Kind::Bool),
            ("kafka.auth.password_file", Kind::File),
            ("trigger.max_bytes", Kind::Size),
            ("dead_letter.max_fraction", Kind::Number),
        ] {
            assert_eq!(reference().key(path).unwrap().kind, kind, "{path}");
        }
        let Kind::Choice(words) = &reference().key("kafka.auth.mechanism").unwrap().kind else {
            panic!("a choice")
        };
        assert_eq!(words[0].0, "SCRAM-SHA-512");
    }

    #[test]
    fn every_key_has_a_meaning_and_only_the_required_ones_have_no_default() {
        assert!(reference().keys().all(|key| !key.about.is_empty()));
        let required: Vec<&str> =
            reference().keys().filter(|key| key.default.is_none()).map(|key| key.path.as_str()).collect();
        assert_eq!(
            required,
            [
                "kafka.bootstrap_servers",
                "kafka.topics",
                "cosmos.endpoint",
                "cosmos.regions",
                "cosmos.database",
                "cosmos.container",
                "dead_letter.topic"
            ]
        );
    }
}
