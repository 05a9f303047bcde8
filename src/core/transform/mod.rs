//! From the bytes of an event to the document that is stored.
//!
//! [`decode`] reads an event once: it makes sure that the whole of it is valid, finds the few fields
//! that the configuration names, and remembers how the document differs from the event. The body is
//! copied once, when [`Document::write_body`] splices the untouched ranges of the event with what is
//! new. Everything else stays byte for byte as it came: unknown fields, the digits of numbers, the
//! order, the whitespace between members.
//!
//! The document of an event is
//!
//! ```text
//! {"id":"<the id as a string>", <the event's members, timestamps rewritten>, "enqueuedAt":"…","processedAt":"…"}
//! ```
//!
//! without the event's own members of the names `id`, `enqueuedAt` and `processedAt` (as configured)
//! and without the fields that Cosmos DB keeps for itself ([`SYSTEM_FIELDS`]; these are counted).
//! Names are compared by the characters they mean: `"\u0069d"` is `id`.
//!
//! An event is bad for the first of these that holds:
//!
//! | step | looks at                                       | reason                                             |
//! |------|------------------------------------------------|----------------------------------------------------|
//! | 1    | no value at all                                | tombstone, or skipped                              |
//! | 2    | all bytes                                      | `invalid_utf8`                                     |
//! | 3    | the text, whichever is met first               | `invalid_json`, `too_deep`, `number_out_of_range`  |
//! | 4    | what the whole text is                         | `not_an_object`                                    |
//! | 5    | the names of the configuration, each level     | `duplicate_field`                                  |
//! | 6    | `event.id`                                     | `missing_id`, `invalid_id`                         |
//! | 7    | `event.partition_key`, in the order configured | `missing_partition_key`, `invalid_partition_key`; `invalid_timestamp` when the path names a timestamp |
//! | 8    | `ttl`, when `event.ttl` is `refuse`            | `ttl`                                              |
//! | 9    | `event.timestamps`, in the order of the event  | `invalid_timestamp`                                |
//! | 10   | the length of the body                         | `too_large`                                        |
//!
//! Step 5 counts the names that decide something: the id, every field on the way to a partition key,
//! the timestamps, `enqueued_at` and `processed_at`. Of any other name (`ttl`, the system fields, `id`
//! when another field is the id) there may be several; they all pass, or they are all left out.

mod bad_event;
mod document;
mod find;
mod id;
mod partition_key;
mod rules;
mod timestamp;

#[cfg(test)]
mod tests;

use smallvec::SmallVec;

pub use bad_event::BadEvent;
pub use document::{Document, MAX_BODY_BYTES};
pub use rules::{RuleError, Rules, SYSTEM_FIELDS};
pub use timestamp::Stamp;

use crate::core::reason::Reason;
use document::Parts;
use find::Refused;

/// What an event turned out to be.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// A document to store.
    Document(Document),
    /// A record without a value, and `event.tombstone` is `skip`.
    Skipped,
}

/// Decodes the value of one Kafka record.
///
/// `record_timestamp_millis` is the record's timestamp in milliseconds since 1970, if it has one; it
/// becomes `enqueuedAt`, and `null` stands there when there is none or it lies outside the years 0000
/// to 9999. `processed` comes from [`Rules::stamp`], once for a micro-batch.
pub fn decode(
    rules: &Rules,
    value: Option<&[u8]>,
    record_timestamp_millis: Option<i64>,
    processed: &Stamp,
) -> Result<Decoded, BadEvent> {
    let Some(value) = value else {
        return if rules.skip_tombstones {
            Ok(Decoded::Skipped)
        } else {
            Err(BadEvent::new(Reason::Tombstone, "the record has no value"))
        };
    };
    let text = std::str::from_utf8(value).map_err(|error| BadEvent::not_utf8(value, error))?;
    let found = find::find(rules, text).map_err(|refused| match refused {
        Refused::NotJson(error) => BadEvent::not_json(text, &error),
        Refused::NotAnObject(kind) => BadEvent::not_an_object(kind),
    })?;
    if let Some((field, at)) = found.duplicate {
        let detail = format!("{:?} stands a second time at byte {at}", rules.path_of(field));
        return Err(BadEvent::new(Reason::DuplicateField, detail));
    }
    let id = id::document_id(rules, found.id)?;
    let key = partition_key::partition_key(rules, &id, &found.key_parts)?;
    if let Some(at) = found.ttl {
        let detail = format!("a ttl field at byte {at}, and event.ttl is \"refuse\"");
        return Err(BadEvent::new(Reason::Ttl, detail));
    }
    let mut timestamps: SmallVec<[_; 2]> = SmallVec::new();
    for (field, value) in found.timestamps {
        if let Some(text) = rules.timestamps.rewrite(rules.path_of(field), value.kind)? {
            timestamps.push((value.span, text));
        }
    }
    let enqueued = record_timestamp_millis.and_then(|millis| rules.timestamps.of_unix_millis(millis));
    let document = Document::assemble(
        id,
        key,
        &Parts {
            kept: &found.kept,
            timestamps: &timestamps,
            enqueued_at: rules.enqueued_at.as_deref().map(|name| (name, enqueued)),
            processed_at: rules.processed_at.as_deref().map(|name| (name, processed)),
            removed_system_fields: found.system_fields,
        },
    );
    if document.body_len() > MAX_BODY_BYTES {
        let detail = format!("{} bytes as a document, over {MAX_BODY_BYTES}", document.body_len());
        return Err(BadEvent::new(Reason::TooLarge, detail));
    }
    Ok(Decoded::Document(document))
}
