//! What the configuration says about events, in the form in which the one pass over an event needs it.

mod compile;
mod level;

use smallvec::SmallVec;

use super::timestamp::{Stamp, TimestampRules};
pub(super) use level::{Field, FieldNumber, LeftOut, Level};

/// A container has at most so many partition key paths.
pub(super) const MAX_KEY_PARTS: usize = 3;

/// The fields that Cosmos DB keeps for itself: an event's own are left out, and counted.
pub const SYSTEM_FIELDS: [&str; 6] = ["_rid", "_self", "_etag", "_ts", "_attachments", "_lsn"];

/// `[event]`, checked and compiled, once for the life of the process.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Objects in which fields are looked for: the event itself first, then those on the way to a
    /// partition key.
    levels: Vec<Level>,
    /// For each field its path, to speak of it.
    paths: Vec<String>,
    id_name: String,
    key: SmallVec<[(String, KeySource); MAX_KEY_PARTS]>,
    pub(super) timestamps: TimestampRules,
    /// `,"enqueuedAt":`
    pub(super) enqueued_at: Option<Box<[u8]>>,
    /// `,"processedAt":`
    pub(super) processed_at: Option<Box<[u8]>>,
    pub(super) skip_tombstones: bool,
}

/// Where a part of the partition key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySource {
    /// The path is `/id`: the id of the document.
    DocumentId,
    /// A field of the event, as it stands.
    Field,
    /// A timestamp of the event, as it is stored.
    Timestamp,
}

/// A configuration that no event could satisfy, or that would break a promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct RuleError {
    /// The configuration's key, such as `event.id`.
    pub key: &'static str,
    /// One line: what was found, and why it cannot be.
    pub reason: String,
}

impl Rules {
    /// The time of processing, in the form in which it is stored: nanoseconds since 1970. Outside the
    /// years 0000 to 9999 it is stored as `null`.
    pub fn stamp(&self, unix_nanos: i128) -> Stamp {
        Stamp::at(unix_nanos, self.timestamps)
    }

    /// The container's partition key paths as this configuration understands them, such as
    /// `/deviceId`, in order: what Cosmos DB must say of the container.
    pub fn partition_key_paths(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|(path, _)| path.as_str())
    }

    pub(super) fn key_sources(&self) -> impl Iterator<Item = (&str, KeySource)> {
        self.key.iter().map(|(path, source)| (path.as_str(), *source))
    }

    pub(super) fn id_name(&self) -> &str {
        &self.id_name
    }

    pub(super) fn top(&self) -> &Level {
        &self.levels[0]
    }

    pub(super) fn level(&self, index: usize) -> &Level {
        &self.levels[index]
    }

    pub(super) fn number_of_fields(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn path_of(&self, field: FieldNumber) -> &str {
        &self.paths[field.0]
    }
}
