//! What is wrong with a configuration, for the one who has to mend it.
//!
//! Every error says where the value stands, what was found, what was expected and what to do; all
//! that can be found in one go are reported together, the most useful first.

use std::fmt;
use std::path::PathBuf;

use super::reference::reference;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the file; lines and columns count from 1.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// In the environment, under this name.
    Variable(String),
    /// Nowhere: it is a default, or missing where there is no file.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Nowhere => f.write_str("not set"),
        }
    }
}

/// The kind of an error, in the order in which they help: what comes first is often the cause of
/// what comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The file is missing or cannot be read.
    Unreadable,
    /// The file is not TOML.
    Syntax,
    /// There is no such key.
    UnknownKey,
    /// The value is of another type.
    WrongType,
    /// The value is none of those allowed, or outside its limits.
    NotAllowed,
    /// The property or variable would break a promise.
    Refused,
    /// Two values contradict each other.
    Contradiction,
    /// A value is missing.
    Missing,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The kind.
    pub problem: Problem,
    /// Where.
    pub place: Place,
    /// The key, `kafka.topics`; empty when the whole file is meant.
    pub key: String,
    /// What was found. Never a secret.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to do.
    pub action: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.is_empty(), &self.place) {
            (true, place) => writeln!(f, "{place}")?,
            (false, Place::Nowhere) => writeln!(f, "{}", self.key)?,
            (false, place) => writeln!(f, "{place}: {}", self.key)?,
        }
        for (label, text) in [("found", &self.found), ("expected", &self.expected), ("do", &self.action)] {
            wrapped(f, label, text)?;
        }
        Ok(())
    }
}

/// Writes `  label     text`, broken at 100 columns, the text aligned.
fn wrapped(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    const WIDTH: usize = 100;
    const INDENT: usize = 12;
    write!(f, "  {label:<width$}", width = INDENT - 2)?;
    let mut column = INDENT;
    for (nth, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if nth > 0 && column + 1 + length > WIDTH {
            write!(f, "\n{:INDENT$}", "")?;
            column = INDENT;
        } else if nth > 0 {
            f.write_str(" ")?;
            column += 1;
        }
        f.write_str(word)?;
        column += length;
    }
    writeln!(f)
}

/// Everything that is wrong with a configuration, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Puts the errors in order and drops repetitions.
    pub(super) fn new(mut errors: Vec<ConfigError>) -> Self {
        let rank = |key: &str| reference().keys().position(|known| known.path == key);
        errors.sort_by_cached_key(|error| {
            (error.problem, error.place.clone(), rank(&error.key), error.key.clone())
        });
        errors.dedup();
        Self(errors)
    }

    /// The errors, the most useful first.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More would push the first, which matters most, off the screen.
        const SHOWN: usize = 5;
        let count = self.0.len();
        if count > 1 {
            writeln!(f, "The configuration has {count} errors.\n")?;
        }
        for (nth, error) in self.0.iter().take(SHOWN).enumerate() {
            if nth > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        if count > SHOWN {
            writeln!(f, "\nand {} more, shown once these are mended.", count - SHOWN)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
