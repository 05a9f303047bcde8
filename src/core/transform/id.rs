//! The document's id, from the field that `event.id` names.

use super::bad_event::{BadEvent, Described};
use super::rules::Rules;
use crate::core::json::Kind;
use crate::core::key::DocumentId;
use crate::core::reason::Reason;

/// The most that Cosmos DB takes
/// (<https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits>).
const MAX_BYTES: usize = 1023;

/// Whether Cosmos DB stores an id with this and then cannot find it again: these have a meaning in its addresses.
fn is_forbidden(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\' | b'?' | b'#')
}

/// Clients drop these from an address before they send it, and find something else or nothing.
const STEPS: [&str; 2] = [".", ".."];

/// Every integer up to here is a double of its own.
const MAX_INTEGER: u64 = 1 << 53;

/// A string stays as it is, an integer becomes its decimal digits; anything else is no id.
pub(super) fn document_id(rules: &Rules, found: Option<Kind<'_>>) -> Result<DocumentId, BadEvent> {
    let name = rules.id_name();
    let invalid = |what: String| BadEvent::new(Reason::InvalidId, format!("{name:?} {what}"));
    let Some(kind) = found else {
        return Err(BadEvent::new(Reason::MissingId, format!("no field {name:?}")));
    };
    match kind {
        Kind::String(text) => {
            let id = text.unescape().map_err(|error| invalid(format!("holds {error}")))?;
            if id.is_empty() {
                return Err(invalid("is empty".into()));
            }
            if id.len() > MAX_BYTES {
                return Err(invalid(format!("is {} bytes long, over {MAX_BYTES}", id.len())));
            }
            if let Some(forbidden) = id.bytes().find(|byte| is_forbidden(*byte)) {
                return Err(invalid(format!("holds {:?}: {}", char::from(forbidden), Described(kind))));
            }
            if STEPS.contains(&&*id) {
                return Err(invalid(format!("is {}, a step in an address", Described(kind))));
            }
            Ok(DocumentId(id.into()))
        }
        Kind::Number(number) => match integer_digits(number) {
            Some(digits) => Ok(DocumentId(digits.into())),
            None => Err(invalid(format!("is {}, not an integer within 2^53", Described(kind)))),
        },
        _ => Err(invalid(format!("is {}, neither a string nor an integer", Described(kind)))),
    }
}

/// JSON knows no leading zeros, so that an integer's own digits are the only way to write it; but for
/// a negative zero.
fn integer_digits(number: &str) -> Option<&str> {
    let magnitude: u64 = number.strip_prefix('-').unwrap_or(number).parse().ok()?;
    match magnitude {
        0 => Some("0"),
        1..=MAX_INTEGER => Some(number),
        _ => None,
    }
}
