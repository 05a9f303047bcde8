//! A written value against the type of its key.

use config::{Value, ValueKind};

use super::error::Problem;
use super::reference::{Key, Kind};
use super::secret;
use super::values::{ByteSize, Span};

/// A value as it was written, in the file or in the environment.
#[derive(Clone, Debug)]
pub(super) enum Written {
    Text(String),
    /// A whole number; one beyond 128 bits is written as text.
    Integer(i128),
    Float(f64),
    Bool(bool),
    List(Vec<Written>),
    /// A table or a date: what it is called, for no key takes one.
    Other(&'static str),
}

/// What is wrong with a value; the caller knows where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub problem: Problem,
    pub found: String,
    pub action: String,
}

impl Written {
    /// The value of an environment variable, which is text, as the type of its key wants it. What
    /// does not fit stays text and is refused by [`check`].
    pub(super) fn from_variable(kind: &Kind, text: &str) -> Self {
        let trimmed = text.trim();
        match kind {
            Kind::Integer => trimmed.parse().map(Self::Integer).ok(),
            Kind::Number => trimmed.parse().map(Self::Float).ok(),
            Kind::Bool => trimmed.to_ascii_lowercase().parse().map(Self::Bool).ok(),
            Kind::List => Some(Self::List(
                trimmed
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(|item| Self::Text(item.to_owned()))
                    .collect(),
            )),
            Kind::Text | Kind::File | Kind::Duration | Kind::Size | Kind::Choice(_) => None,
        }
        .unwrap_or_else(|| Self::Text(text.to_owned()))
    }

    /// The value as it may be shown under the name of its key.
    pub(super) fn show(&self, name: &str, known: bool) -> String {
        match self {
            Self::Text(text) => secret::show(name, known, text),
            _ if !known && secret::names_a_secret(name) => secret::HIDDEN.to_owned(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.show(name, known)).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

/// The value for the `config` crate, or what is wrong with it.
pub(super) fn check(key: &Key, written: &Written) -> Result<Value, Fault> {
    let fault = |problem, action: String| Fault { problem, found: written.show(&key.path, true), action };
    let other_type = |action: &str| fault(Problem::WrongType, action.to_owned());
    let kind = match (&key.kind, written) {
        (Kind::Text, Written::Integer(_) | Written::Float(_) | Written::Bool(_)) => {
            return Err(other_type("put it in quotes"));
        }
        (Kind::File, Written::Text(text)) if text.is_empty() => ValueKind::Nil,
        (Kind::Text | Kind::File, Written::Text(text)) => ValueKind::String(text.clone()),
        (Kind::Integer | Kind::Size, Written::Integer(number)) => match u64::try_from(*number) {
            Ok(number) => ValueKind::U64(number),
            Err(_) => return Err(fault(Problem::NotAllowed, "write a smaller or positive number".into())),
        },
        (Kind::Integer | Kind::Number, Written::Text(text)) if text.trim().parse::<f64>().is_ok() => {
            return Err(other_type("write the number without quotes and without a fraction"));
        }
        (Kind::Number, Written::Float(number)) => ValueKind::Float(*number),
        #[allow(clippy::cast_precision_loss)]
        (Kind::Number, Written::Integer(number)) => ValueKind::Float(*number as f64),
        (Kind::Bool, Written::Bool(value)) => ValueKind::Boolean(*value),
        (Kind::Duration, Written::Text(text)) => match Span::parse(text) {
            Some(_) => ValueKind::String(text.clone()),
            None => return Err(fault(Problem::NotAllowed, "write a number and its unit".into())),
        },
        (Kind::Duration, Written::Integer(number)) => {
            return Err(other_type(&format!("add the unit and quotes, as in \"{number}ms\"")));
        }
        (Kind::Size, Written::Text(text)) => match ByteSize::parse(text) {
            Some(_) => ValueKind::String(text.clone()),
            None => return Err(fault(Problem::NotAllowed, "write a number and its unit".into())),
        },
        (Kind::List, Written::List(items)) => {
            let mut strings = Vec::new();
            for item in items {
                let Written::Text(text) = item else {
                    return Err(other_type("put each item in quotes"));
                };
                strings.push(Value::new(None, ValueKind::String(text.clone())));
            }
            ValueKind::Array(strings)
        }
        (Kind::List, Written::Text(text)) => {
            return Err(other_type(&format!("write a list: [{}]", secret::show(&key.path, true, text))));
        }
        (Kind::Choice(words), Written::Text(text)) => {
            if words.iter().any(|(word, _)| word == text) {
                ValueKind::String(text.clone())
            } else {
                return Err(fault(Problem::NotAllowed, advise_choice(key, words, text)));
            }
        }
        (kind, _) => return Err(other_type(&format!("write {kind}"))),
    };
    Ok(Value::new(None, kind))
}

/// Words that belong to a later version, or to another product, and what to say about them.
fn advise_choice(key: &Key, words: &[(String, String)], text: &str) -> String {
    if key.path == "event.tombstone" && text == "delete" {
        return "deleting by tombstone is not built yet; choose dead_letter or skip".into();
    }
    let names = words.iter().map(|(word, _)| word.as_str());
    match nearest(&text.to_lowercase(), names) {
        Some(word) => format!("write {word:?}"),
        None => "write one of these words".into(),
    }
}

/// The candidate that is most like what was written, when one is like it at all.
pub(super) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this, a suggestion confuses more than it helps: `interval` is not meant by `internal`.
    const ALIKE: f64 = 0.62;
    let alike = |a: &str, b: &str| strsim::normalized_damerau_levenshtein(a, b);
    let normal = text.replace('-', "_").to_lowercase();
    candidates
        .map(|candidate| (alike(&normal, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::reference::reference;

    fn fault(path: &str, written: &Written) -> Fault {
        check(reference().key(path).unwrap(), written).unwrap_err()
    }

    #[test]
    fn each_wrong_type_says_how_to_write_it() {
        let text = |text: &str| Written::Text(text.into());
        for (path, written, action) in [
            ("name", Written::Integer(5), "put it in quotes"),
            ("kafka.workers", text("2"), "write the number without quotes and without a fraction"),
            ("kafka.workers", Written::Float(2.0), "write a whole number, 0 or more"),
            ("kafka.auth.tls", text("yes"), "write true or false"),
            ("trigger.interval", Written::Integer(500), "add the unit and quotes, as in \"500ms\""),
            ("kafka.topics", text("streaming"), "write a list: [\"streaming\"]"),
            ("kafka.topics", Written::List(vec![Written::Integer(1)]), "put each item in quotes"),
            ("log.format", Written::Bool(true), "write one of \"json\", \"text\""),
            ("name", Written::Other("a table"), "write a string"),
        ] {
            let fault = fault(path, &written);
            assert_eq!((fault.problem, fault.action.as_str()), (Problem::WrongType, action), "{path}");
        }
    }

    #[test]
    fn a_word_that_is_not_allowed_gets_the_nearest_one() {
        for (path, written, action) in [
            ("kafka.start", "earlist", "write \"earliest\""),
            ("kafka.auth.mechanism", "scram-sha-256", "write \"SCRAM-SHA-256\""),
            ("kafka.auth.method", "workload-identity", "write \"workload_identity\""),
            ("kafka.start", "beginning", "write one of these words"),
            (
                "event.tombstone",
                "delete",
                "deleting by tombstone is not built yet; choose dead_letter or skip",
            ),
        ] {
            let fault = fault(path, &Written::Text(written.into()));
            assert_eq!((fault.problem, fault.action.as_str()), (Problem::NotAllowed, action), "{path}");
        }
    }

    #[test]
    fn a_variable_is_read_by_the_type_of_its_key() {
        let read = |path: &str, text: &str| {
            let key = reference().key(path).unwrap();
            check(key, &Written::from_variable(&key.kind, text)).map(|value| value.kind)
        };
        let list = |items: &[&str]| {
            ValueKind::Array(items.iter().map(|i| Value::new(None, ValueKind::String((*i).into()))).collect())
        };
        assert_eq!(read("kafka.workers", " 4 "), Ok(ValueKind::U64(4)));
        assert_eq!(read("kafka.auth.tls", "FALSE"), Ok(ValueKind::Boolean(false)));
        assert_eq!(read("dead_letter.max_fraction", "0.5"), Ok(ValueKind::Float(0.5)));
        assert_eq!(read("kafka.topics", "a, b,,c"), Ok(list(&["a", "b", "c"])));
        assert_eq!(read("event.timestamps", ""), Ok(list(&[])));
        assert_eq!(read("trigger.max_bytes", "67108864"), Ok(ValueKind::String("67108864".into())));
        assert_eq!(read("kafka.auth.password_file", ""), Ok(ValueKind::Nil));
        assert_eq!(read("kafka.workers", "four").unwrap_err().problem, Problem::WrongType);
    }
}
