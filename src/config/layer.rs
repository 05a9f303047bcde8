//! The two sources of values, the file and the environment, key by key and with their places.

use std::collections::BTreeMap;
use std::path::PathBuf;

use config::{Map, Source, Value, ValueKind};

use super::error::{ConfigError, Place, Problem};
use super::reference::PROPERTIES;

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub value: Value,
    pub place: Place,
}

/// One source of values: only those that fit their keys. `kafka.properties.linger.ms` is the key
/// of a property, whatever dots its name has.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub entries: BTreeMap<String, Entry>,
    /// Where the sections begin.
    pub sections: BTreeMap<String, Place>,
}

impl Layer {
    /// The property's own name, when the key is one of `kafka.properties`.
    pub(super) fn property(path: &str) -> Option<&str> {
        path.strip_prefix(PROPERTIES)?.strip_prefix('.')
    }

    /// Whether a key lies in a section or below it.
    pub(super) fn is_below(path: &str, section: &str) -> bool {
        path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// The `config` crate merges the layers and makes the types of them.
impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        let mut root = Map::new();
        for (path, entry) in &self.entries {
            let (section, name) = match Self::property(path) {
                Some(name) => (PROPERTIES, name),
                None => path.rsplit_once('.').unwrap_or(("", path)),
            };
            let mut table = &mut root;
            for part in section.split('.').filter(|part| !part.is_empty()) {
                let below = table
                    .entry(part.to_owned())
                    .or_insert_with(|| Value::new(None, ValueKind::Table(Map::new())));
                let ValueKind::Table(inner) = &mut below.kind else {
                    return Err(config::ConfigError::Message(format!("{part} is no section")));
                };
                table = inner;
            }
            table.insert(name.to_owned(), entry.value.clone());
        }
        Ok(root)
    }
}

/// Both sources. What stands in the environment hides what stands in the file.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub file: Layer,
    pub environment: Layer,
    /// The end of the file: where something that is missing could be added.
    pub end: Option<(PathBuf, usize)>,
    /// Keys that are present with a value that was refused: an error about them would be noise.
    pub spoilt: Vec<String>,
}

impl Layers {
    /// What is set for this key.
    pub(super) fn entry(&self, path: &str) -> Option<&Entry> {
        self.environment.entries.get(path).or_else(|| self.file.entries.get(path))
    }

    /// Whether somebody set this key to something; an empty string is nothing.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.entry(path).is_some_and(|entry| match &entry.value.kind {
            ValueKind::Nil => false,
            ValueKind::String(text) => !text.is_empty(),
            _ => true,
        })
    }

    /// Where the value of this key stands, or where it would be added.
    pub(super) fn place(&self, path: &str) -> Place {
        if let Some(entry) = self.entry(path) {
            return entry.place.clone();
        }
        let section = path.rsplit_once('.').map_or("", |(section, _)| section);
        if let Some(place) = self.file.sections.get(section) {
            return place.clone();
        }
        match &self.end {
            Some((path, line)) => Place::File { path: path.clone(), line: *line, column: 1 },
            None => Place::Nowhere,
        }
    }

    /// An error about this key.
    pub(super) fn error(
        &self,
        problem: Problem,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        action: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            problem,
            place: self.place(key),
            key: key.to_owned(),
            found: found.into(),
            expected: expected.into(),
            action: action.into(),
        }
    }

    /// The properties of librdkafka that are set, by their own names.
    pub(super) fn properties(&self) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        for layer in [&self.file, &self.environment] {
            for (path, entry) in &layer.entries {
                if let (Some(name), Ok(value)) = (Layer::property(path), entry.value.clone().into_string()) {
                    properties.insert(name.to_owned(), value);
                }
            }
        }
        properties
    }
}
