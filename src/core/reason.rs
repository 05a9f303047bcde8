//! Why a record was not stored.

use std::fmt;

/// Why a record went to the dead letters. The names are a promise: they stand in the
/// `streamproc-reason` header and in the `reason` label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The value is not UTF-8.
    InvalidUtf8,
    /// The value is not JSON; an empty value too.
    InvalidJson,
    /// The value is JSON, but not an object.
    NotAnObject,
    /// Objects and arrays nest deeper than 128.
    TooDeep,
    /// The field named by `event.id` is absent.
    MissingId,
    /// The id is empty, over 1,023 bytes, holds `/ \ ? #`, is `.` or `..`, or is neither string nor integer within 2^53.
    InvalidId,
    /// A path of `event.partition_key` is absent.
    MissingPartitionKey,
    /// A partition key is an object or array, or a string over 2,048 bytes.
    InvalidPartitionKey,
    /// A field that the configuration names stands twice in the event.
    DuplicateField,
    /// A field of `event.timestamps` is neither a timestamp nor null.
    InvalidTimestamp,
    /// A number that no IEEE 754 double can hold, such as `1e400`.
    NumberOutOfRange,
    /// Over 2 MB as a document.
    TooLarge,
    /// The record has no value, and `event.tombstone` is `dead_letter`.
    Tombstone,
    /// The event has a `ttl` field, and `event.ttl` is `refuse`.
    Ttl,
    /// Cosmos DB refused the document (status and substatus stand in headers of their own).
    RejectedByStore,
    /// Cosmos DB's logical partition is full (403/1014).
    PartitionKeyFull,
}

impl Reason {
    /// Every reason there is, in the order of the documentation.
    pub const ALL: [Self; 16] = [
        Self::InvalidUtf8,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::TooDeep,
        Self::MissingId,
        Self::InvalidId,
        Self::MissingPartitionKey,
        Self::InvalidPartitionKey,
        Self::DuplicateField,
        Self::InvalidTimestamp,
        Self::NumberOutOfRange,
        Self::TooLarge,
        Self::Tombstone,
        Self::Ttl,
        Self::RejectedByStore,
        Self::PartitionKeyFull,
    ];

    /// The name that users see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::MissingId => "missing_id",
            Self::InvalidId => "invalid_id",
            Self::MissingPartitionKey => "missing_partition_key",
            Self::InvalidPartitionKey => "invalid_partition_key",
            Self::DuplicateField => "duplicate_field",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::TooLarge => "too_large",
            Self::Tombstone => "tombstone",
            Self::Ttl => "ttl",
            Self::RejectedByStore => "rejected_by_store",
            Self::PartitionKeyFull => "partition_key_full",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
