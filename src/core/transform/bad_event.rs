//! Why an event cannot become a document, in words for whoever reads the dead letter.

use std::fmt::{self, Write};
use std::str::Utf8Error;

use crate::core::json::{self, Kind, Problem};
use crate::core::reason::Reason;

/// An event that cannot become a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct BadEvent {
    /// The reason, as users and metrics name it.
    pub reason: Reason,
    /// One line: what was found, and where. It quotes at most 80 characters of the event, with control
    /// characters escaped.
    pub detail: String,
}

impl BadEvent {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(super) fn not_utf8(value: &[u8], error: Utf8Error) -> Self {
        let at = error.valid_up_to();
        let detail = match value.get(at) {
            Some(byte) if error.error_len().is_some() => {
                format!("byte {at}: 0x{byte:02x} is not UTF-8 there")
            }
            _ => format!("byte {at}: the value ends inside a character"),
        };
        Self::new(Reason::InvalidUtf8, detail)
    }

    pub(super) fn not_json(text: &str, error: &json::Error) -> Self {
        let at = error.at();
        let found = text.get(at..).unwrap_or_default();
        match error.problem() {
            Problem::Syntax(expected) if found.is_empty() => {
                Self::new(Reason::InvalidJson, format!("byte {at}: expected {expected}, found the end"))
            }
            Problem::Syntax(expected) => {
                let found = Excerpt(found);
                Self::new(Reason::InvalidJson, format!("byte {at}: expected {expected}, found {found}"))
            }
            Problem::TooDeep => {
                let detail = format!("byte {at}: objects and arrays nest deeper than {}", json::MAX_DEPTH);
                Self::new(Reason::TooDeep, detail)
            }
            Problem::NumberOutOfRange => {
                let end = found.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
                let number = Excerpt(&found[..end.unwrap_or(found.len())]);
                Self::new(Reason::NumberOutOfRange, format!("byte {at}: no double can hold {number}"))
            }
        }
    }

    pub(super) fn not_an_object(kind: Kind<'_>) -> Self {
        Self::new(Reason::NotAnObject, format!("the value is {}", Described(kind)))
    }
}

/// The beginning of a piece of an event, on one line, fit for a log.
pub(super) struct Excerpt<'a>(pub(super) &'a str);

impl Excerpt<'_> {
    /// How long a quotation may be, escapes included.
    const CHARACTERS: usize = 80;
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = Self::CHARACTERS;
        for character in self.0.chars() {
            let escaped = character.escape_debug();
            if escaped.len() > room {
                return f.write_char('…');
            }
            room -= escaped.len();
            match character {
                // Not in need of a backslash, in a quotation of JSON they would only confuse.
                '"' | '\'' | '\\' => f.write_char(character)?,
                _ => write!(f, "{escaped}")?,
            }
        }
        Ok(())
    }
}

/// A value, named in a sentence.
pub(super) struct Described<'a>(pub(super) Kind<'a>);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::String(text) => write!(f, "the string \"{}\"", Excerpt(text.raw())),
            Kind::Number(number) => write!(f, "the number {}", Excerpt(number)),
            Kind::Bool(value) => write!(f, "{value}"),
            Kind::Null => f.write_str("null"),
            Kind::Object => f.write_str("an object"),
            Kind::Array => f.write_str("an array"),
        }
    }
}
