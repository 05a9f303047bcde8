//! The document as a recipe: what to copy from the event, and what to put in between.

use std::ops::Range;

use smallvec::SmallVec;

use super::timestamp::{Stamp, TimestampText};
use crate::core::json;
use crate::core::key::{DocumentId, PartitionKey};

/// The largest document that Cosmos DB takes, as UTF-8 JSON
/// (<https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-item-limits>).
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;

/// What the recipe of a usual document takes: an id, twice, three names and timestamps.
const USUAL_BYTES: usize = 320;

/// An event that can be stored.
///
/// It holds no copy of the event: the body is made from the event's bytes when it is written.
#[derive(Clone, Debug)]
pub struct Document {
    /// The document's id.
    pub id: DocumentId,
    /// The document's partition key.
    pub key: PartitionKey,
    /// Everything in the body that is not in the event, end to end.
    inserted: Vec<u8>,
    /// What to copy, in order; what is left of `inserted` stands at the end.
    splices: SmallVec<[Splice; 4]>,
    body_len: usize,
    removed_system_fields: u32,
}

/// What is inserted up to `inserted_to`, then this piece of the event. Kafka counts the bytes of a
/// record in 31 bits; an event can have as many splices as members, so they are kept small.
#[derive(Clone, Debug)]
struct Splice {
    inserted_to: u32,
    copied: Range<u32>,
}

impl Splice {
    fn new(inserted_to: usize, copied: Range<usize>) -> Self {
        Self { inserted_to: inserted_to as u32, copied: copied.start as u32..copied.end as u32 }
    }

    fn copied(&self) -> Range<usize> {
        self.copied.start as usize..self.copied.end as usize
    }
}

/// What a document is made of.
pub(super) struct Parts<'a> {
    /// The runs of the event's members that stay, in order, apart from each other.
    pub(super) kept: &'a [Range<usize>],
    /// Values to replace, in order, each within one of the runs.
    pub(super) timestamps: &'a [(Range<usize>, TimestampText)],
    /// The name as JSON with the punctuation around it, and the time, if there is one.
    pub(super) enqueued_at: Option<(&'a [u8], Option<TimestampText>)>,
    /// The name as JSON with the punctuation around it, and the time.
    pub(super) processed_at: Option<(&'a [u8], &'a Stamp)>,
    /// How many members were left out because their names are Cosmos DB's own.
    pub(super) removed_system_fields: u32,
}

impl Document {
    pub(super) fn assemble(id: DocumentId, key: PartitionKey, parts: &Parts<'_>) -> Self {
        // Enough for the usual event, so that it is allocated once: an id, three names and timestamps.
        let mut inserted = Vec::with_capacity(id.0.len() + 192);
        let mut splices: SmallVec<[Splice; 4]> = SmallVec::new();
        let mut timestamps = parts.timestamps.iter().peekable();

        inserted.extend_from_slice(b"{\"id\":");
        json::write_string(&id.0, &mut inserted);
        for run in parts.kept {
            inserted.push(b',');
            let mut at = run.start;
            while let Some((value, text)) = timestamps.next_if(|(value, _)| value.start < run.end) {
                splices.push(Splice::new(inserted.len(), at..value.start));
                text.write_quoted(&mut inserted);
                at = value.end;
            }
            splices.push(Splice::new(inserted.len(), at..run.end));
        }
        if let Some((name, time)) = parts.enqueued_at {
            inserted.extend_from_slice(name);
            match time {
                Some(text) => text.write_quoted(&mut inserted),
                None => inserted.extend_from_slice(b"null"),
            }
        }
        if let Some((name, stamp)) = parts.processed_at {
            inserted.extend_from_slice(name);
            stamp.write_quoted(&mut inserted);
        }
        inserted.push(b'}');

        splices.shrink_to_fit();
        let body_len = inserted.len() + splices.iter().map(|splice| splice.copied.len()).sum::<usize>();
        Self { id, key, inserted, splices, body_len, removed_system_fields: parts.removed_system_fields }
    }

    /// How many bytes [`write_body`](Self::write_body) writes.
    pub fn body_len(&self) -> usize {
        self.body_len
    }

    /// Appends the document as JSON. `value` is the event that it was decoded from.
    ///
    /// # Panics
    ///
    /// It may, when `value` is another, shorter one.
    pub fn write_body(&self, value: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.body_len);
        let mut inserted_from = 0;
        for splice in &self.splices {
            let inserted_to = splice.inserted_to as usize;
            out.extend_from_slice(&self.inserted[inserted_from..inserted_to]);
            out.extend_from_slice(&value[splice.copied()]);
            inserted_from = inserted_to;
        }
        out.extend_from_slice(&self.inserted[inserted_from..]);
    }

    /// How many bytes it takes beyond those of a usual document, which count as a part of
    /// [`RECORD_OVERHEAD`](crate::core::records::RECORD_OVERHEAD).
    pub fn unusual_bytes(&self) -> usize {
        let spilled = if self.splices.spilled() { self.splices.capacity() * size_of::<Splice>() } else { 0 };
        (self.id.0.len() + self.inserted.capacity() + spilled).saturating_sub(USUAL_BYTES)
    }

    /// How many of the event's members were left out because Cosmos DB keeps their names for itself.
    pub fn removed_system_fields(&self) -> u32 {
        self.removed_system_fields
    }
}
