//! The TOML file, read with the place of every key, so that an error can point at it.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place, Problem};
use super::layer::{Entry, Layer};
use super::reference::{PROPERTIES, reference};
use super::typed::{self, Written};
use super::{librdkafka, secret, unknown};

/// What a source gave: the values that fit their keys, and what is wrong with the others.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub layer: Layer,
    pub errors: Vec<ConfigError>,
    /// Keys that unknown keys were probably meant to be.
    pub meant: Vec<String>,
    /// Keys whose value was refused.
    pub spoilt: Vec<String>,
}

/// Reads the file's text.
pub(super) fn read(path: &Path) -> Result<String, Box<ConfigError>> {
    let unreadable = |found: String, action: &str| {
        Box::new(ConfigError {
            problem: Problem::Unreadable,
            place: Place::File { path: path.to_owned(), line: 1, column: 1 },
            key: String::new(),
            found,
            expected: "a configuration file, TOML in UTF-8".into(),
            action: action.into(),
        })
    };
    let bytes = std::fs::read(path).map_err(|error| {
        let action = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "check the path after --config (or in STREAMPROC_CONFIG); it counts from the current directory"
            }
            std::io::ErrorKind::PermissionDenied => "let the user of this process read it",
            std::io::ErrorKind::IsADirectory => "name the file in this directory",
            _ => "make it readable",
        };
        unreadable(error.to_string(), action)
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|b| *b == b'\n').count();
        unreadable(format!("bytes in line {line} that are not UTF-8"), "save the file as UTF-8")
    })
}

/// Takes the file apart. `Err` when it is not TOML at all: then nothing else can be said about it.
pub(super) fn parse(path: &Path, text: &str) -> Result<Reading, Vec<ConfigError>> {
    let positions = Positions { path, text };
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors.iter().map(|error| syntax(&positions, error)).collect());
    }
    let mut reader = Reader { positions, reading: Reading::default() };
    reader.table("", document.get_ref());
    Ok(reader.reading)
}

fn syntax(positions: &Positions<'_>, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    if let Some((name, value)) = unquoted(positions.text, start) {
        return ConfigError {
            problem: Problem::Syntax,
            place: positions.at(start),
            key: String::new(),
            found: "text without quotes".into(),
            expected: "a string in quotes, a number, true, false, or a list of these in [brackets]".into(),
            action: format!("write {name} = {}", secret::show(name, false, value)),
        };
    }
    let message = error.message().trim();
    let duplicate = message.contains("duplicate key");
    ConfigError {
        problem: Problem::Syntax,
        place: positions.at(start),
        key: String::new(),
        found: message.lines().collect::<Vec<_>>().join(", "),
        expected: "TOML".into(),
        action: if duplicate {
            "keep one of the two"
        } else {
            "mend this line; strings need quotes, sections stand in [brackets]"
        }
        .into(),
    }
}

/// The key and the value of the line around `offset`, when the value is a bare word: the commonest
/// mistake, for which the parser has words such as "invalid float, expected `nan`".
fn unquoted(text: &str, offset: usize) -> Option<(&str, &str)> {
    let start = text.get(..offset)?.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next()?;
    let (name, value) = line.split_once('=')?;
    let value = value.split(" #").next().unwrap_or_default().trim();
    let is_word = value.starts_with(|first: char| first.is_alphabetic() || first == '/')
        && !value.contains(['"', '\'']);
    (is_word && !["true", "false"].contains(&value)).then_some((name.trim(), value))
}

/// Byte offsets as lines and columns.
struct Positions<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Positions<'_> {
    fn at(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

struct Reader<'a> {
    positions: Positions<'a>,
    reading: Reading,
}

impl Reader<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let at_key = self.positions.at(key.span().start);
            if reference().section(&path).is_some() {
                self.reading.layer.sections.insert(path.clone(), at_key.clone());
                match value.get_ref() {
                    DeValue::Table(inner) if path == PROPERTIES => self.properties("", inner),
                    DeValue::Table(inner) => self.table(&path, inner),
                    _ => self.not_a_section(&path, at_key),
                }
            } else if let Some(key) = reference().key(&path) {
                let place = self.positions.at(value.span().start);
                match typed::check(key, &written(value)) {
                    Ok(value) => {
                        self.reading.layer.entries.insert(path, Entry { value, place });
                    }
                    Err(fault) => {
                        self.reading.spoilt.push(path.clone());
                        self.reading.errors.push(ConfigError {
                            problem: fault.problem,
                            place,
                            key: path,
                            found: fault.found,
                            expected: key.kind.to_string(),
                            action: fault.action,
                        });
                    }
                }
            } else {
                let (error, meant) = unknown::error(&property(&path, value).unwrap_or(path), at_key);
                self.reading.errors.push(error);
                self.reading.meant.extend(meant);
            }
        }
    }

    /// `linger.ms = 5` and `"linger.ms" = "5"` are the same property.
    fn properties(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let path = format!("{PROPERTIES}.{name}");
            let place = self.positions.at(key.span().start);
            let text = match (value.get_ref(), written(value)) {
                (DeValue::Table(inner), _) => {
                    self.properties(&format!("{name}."), inner);
                    continue;
                }
                (_, Written::Text(text)) => text,
                (_, written @ (Written::Integer(_) | Written::Float(_) | Written::Bool(_))) => {
                    written.show(&name, true)
                }
                (_, written @ (Written::List(_) | Written::Other(_))) => {
                    self.reading.spoilt.push(path.clone());
                    self.reading.errors.push(ConfigError {
                        problem: Problem::WrongType,
                        place,
                        key: path,
                        found: written.show(&name, false),
                        expected: "a string, a number, true or false".into(),
                        action: "write it as one string, with commas between the parts".into(),
                    });
                    continue;
                }
            };
            let value = config::Value::new(None, config::ValueKind::String(text));
            if let Some(earlier) =
                self.reading.layer.entries.insert(path.clone(), Entry { value, place: place.clone() })
            {
                self.reading.errors.push(ConfigError {
                    problem: Problem::Contradiction,
                    place,
                    key: path,
                    found: format!("the same property as at {}", earlier.place),
                    expected: "each property once".into(),
                    action: "keep one of the two".into(),
                });
            }
        }
    }

    fn not_a_section(&mut self, path: &str, place: Place) {
        self.reading.meant.push(path.to_owned());
        self.reading.errors.push(ConfigError {
            problem: Problem::WrongType,
            place,
            key: path.to_owned(),
            found: "a single value".into(),
            expected: "a section".into(),
            action: format!("write [{path}] on a line of its own and its keys below it"),
        });
    }
}

/// The path of an unknown key with all below it, when it is a property of librdkafka in the wrong
/// place: the `linger.ms` that somebody wrote under `[kafka]`.
fn property(path: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
    let mut path = path.strip_prefix("kafka.")?.to_owned();
    let mut value = value.get_ref();
    while let DeValue::Table(table) = value {
        let (key, inner) = table.iter().next()?;
        path = format!("{path}.{}", key.get_ref());
        value = inner.get_ref();
    }
    librdkafka::is_known(&path).then(|| format!("kafka.{path}"))
}

fn written(value: &Spanned<DeValue<'_>>) -> Written {
    match value.get_ref() {
        DeValue::String(text) => Written::Text(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Written::Text(number.as_str().to_owned()), Written::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Written::Text(number.as_str().to_owned()), Written::Float)
        }
        DeValue::Boolean(value) => Written::Bool(*value),
        DeValue::Datetime(_) => Written::Other("a date"),
        DeValue::Array(items) => Written::List(items.iter().map(written).collect()),
        DeValue::Table(_) => Written::Other("a table"),
    }
}
