//! The partition key, from the fields that `event.partition_key` names.

use smallvec::SmallVec;

use super::bad_event::{BadEvent, Described};
use super::rules::{KeySource, Rules};
use crate::core::json::Kind;
use crate::core::key::{DocumentId, KeyPart, PartitionKey};
use crate::core::reason::Reason;

/// The most that Cosmos DB takes
/// (<https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits>).
const MAX_STRING_BYTES: usize = 2048;

/// The values that the stored document has at the configured paths.
pub(super) fn partition_key(
    rules: &Rules,
    id: &DocumentId,
    found: &[Option<Kind<'_>>],
) -> Result<PartitionKey, BadEvent> {
    let mut parts = SmallVec::new();
    for ((path, source), found) in rules.key_sources().zip(found) {
        parts.push(part(rules, path, source, id, *found)?);
    }
    Ok(PartitionKey(parts))
}

fn part(
    rules: &Rules,
    path: &str,
    source: KeySource,
    id: &DocumentId,
    found: Option<Kind<'_>>,
) -> Result<KeyPart, BadEvent> {
    if source == KeySource::DocumentId {
        return Ok(KeyPart::String(id.0.clone()));
    }
    let Some(kind) = found else {
        return Err(BadEvent::new(Reason::MissingPartitionKey, format!("no field at {path:?}")));
    };
    if source == KeySource::Timestamp
        && let Some(text) = rules.timestamps.rewrite(path, kind)?
    {
        return Ok(KeyPart::String(text.as_str().into()));
    }
    let invalid = |what: String| BadEvent::new(Reason::InvalidPartitionKey, format!("{path:?} {what}"));
    match kind {
        Kind::String(text) => {
            let string = text.unescape().map_err(|error| invalid(format!("holds {error}")))?;
            if string.len() > MAX_STRING_BYTES {
                return Err(invalid(format!("is {} bytes long, over {MAX_STRING_BYTES}", string.len())));
            }
            Ok(KeyPart::String(string.into()))
        }
        Kind::Number(number) => match number.parse::<f64>() {
            // Cosmos DB's client writes a negative zero as 0 and hashes it as another number; there is but one zero.
            Ok(double) if double.is_finite() => Ok(KeyPart::Number(double + 0.0)),
            _ => Err(invalid(format!("is {}, which no double can hold", Described(kind)))),
        },
        Kind::Bool(value) => Ok(KeyPart::Bool(value)),
        Kind::Null => Ok(KeyPart::Null),
        Kind::Object | Kind::Array => Err(invalid(format!("is {}", Described(kind)))),
    }
}
