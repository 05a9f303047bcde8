//! What a dead letter looks like: the record's own key, value and headers untouched, and headers that
//! say where it came from and why it is here.

use sha2::{Digest, Sha256};

use crate::core::kafka::TopicPartition;
use crate::core::reason::Reason;
use crate::core::records::Record;
use crate::core::write::verdict::Status;

/// A record that cannot be stored, and why.
#[derive(Debug)]
pub struct Letter<'a> {
    /// Where the record came from.
    pub partition: &'a TopicPartition,
    /// The record.
    pub record: Record<'a>,
    /// Why it is here.
    pub reason: Reason,
    /// What was found, for people, in one line.
    pub error: &'a str,
    /// The store's answer, when the store refused it.
    pub status: Option<Status>,
    /// The consumer group that read it.
    pub group: &'a str,
}

/// A dead letter as it goes to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value; none too when it is sent by reference.
    pub value: Option<&'a [u8]>,
    /// The record's headers, in order, and ours behind them.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Envelope<'_> {
    /// How many bytes the key, the value and the headers have.
    pub fn bytes(&self) -> usize {
        let headers =
            self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers.sum::<usize>()
    }
}

impl<'a> Letter<'a> {
    /// The letter whole.
    pub fn envelope(&self) -> Envelope<'a> {
        let mut headers: Vec<(String, Option<Vec<u8>>)> = self
            .record
            .headers
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec)))
            .collect();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), Some(value.into_bytes())));
        add("streamproc-reason", self.reason.to_string());
        add("streamproc-error", self.error.to_owned());
        add("streamproc-topic", self.partition.topic.to_string());
        add("streamproc-partition", self.partition.partition.to_string());
        add("streamproc-offset", self.record.offset.to_string());
        if let Some(millis) = self.record.timestamp_millis {
            add("streamproc-timestamp", millis.to_string());
        }
        add("streamproc-group", self.group.to_owned());
        if let Some(status) = self.status {
            add("streamproc-status", status.code.to_string());
            add("streamproc-substatus", status.substatus.to_string());
        }
        Envelope { key: self.record.key, value: self.record.value, headers }
    }

    /// The letter without its value, for a topic that does not take one of this size: its length and
    /// its SHA-256 stand in headers, so that the record can be found and recognised at its source.
    pub fn reference(&self) -> Envelope<'a> {
        let mut envelope = self.envelope();
        let value = envelope.value.take().unwrap_or_default();
        let digest = hex(&Sha256::digest(value));
        let mut add = |name: &str, value: String| {
            envelope.headers.push((name.to_owned(), Some(value.into_bytes())));
        };
        add("streamproc-value-omitted", "true".to_owned());
        add("streamproc-value-bytes", value.len().to_string());
        add("streamproc-value-sha256", digest);
        envelope
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::core::kafka::Offset;

    fn letter<'a>(partition: &'a TopicPartition, value: &'a [u8], status: Option<Status>) -> Letter<'a> {
        let record = Record {
            offset: Offset(42),
            timestamp_millis: Some(1_558_000_000_123),
            key: Some(b"device-1"),
            value: Some(value),
            headers: smallvec![(&b"trace"[..], Some(&b"\xff\x00"[..])), (&b"empty"[..], None)],
        };
        Letter {
            partition,
            record,
            reason: Reason::InvalidJson,
            error: "byte 0: expected a value",
            status,
            group: "g",
        }
    }

    fn header<'a>(envelope: &'a Envelope<'_>, name: &str) -> Option<&'a [u8]> {
        envelope.headers.iter().find(|(header, _)| header == name)?.1.as_deref()
    }

    #[test]
    fn a_letter_keeps_the_record_untouched_and_says_where_it_came_from() {
        let partition = TopicPartition::new("streaming", 3);
        let envelope = letter(&partition, b"\xffgarbage", None).envelope();
        assert_eq!((envelope.key, envelope.value), (Some(&b"device-1"[..]), Some(&b"\xffgarbage"[..])));
        assert_eq!(envelope.headers[0], ("trace".into(), Some(b"\xff\x00".to_vec())));
        assert_eq!(envelope.headers[1], ("empty".into(), None));
        for (name, value) in [
            ("streamproc-reason", "invalid_json"),
            ("streamproc-error", "byte 0: expected a value"),
            ("streamproc-topic", "streaming"),
            ("streamproc-partition", "3"),
            ("streamproc-offset", "42"),
            ("streamproc-timestamp", "1558000000123"),
            ("streamproc-group", "g"),
        ] {
            assert_eq!(header(&envelope, name), Some(value.as_bytes()), "{name}");
        }
        assert_eq!(header(&envelope, "streamproc-status"), None);
    }

    #[test]
    fn a_refusal_of_the_store_carries_its_status() {
        let partition = TopicPartition::new("streaming", 3);
        let envelope = letter(&partition, b"{}", Some(Status::new(403, 1014))).envelope();
        assert_eq!(header(&envelope, "streamproc-status"), Some(&b"403"[..]));
        assert_eq!(header(&envelope, "streamproc-substatus"), Some(&b"1014"[..]));
    }

    #[test]
    fn a_reference_leaves_out_the_value_and_says_what_it_was() {
        let partition = TopicPartition::new("streaming", 3);
        let envelope = letter(&partition, b"abc", None).reference();
        assert_eq!(envelope.value, None);
        assert_eq!(header(&envelope, "streamproc-value-omitted"), Some(&b"true"[..]));
        assert_eq!(header(&envelope, "streamproc-value-bytes"), Some(&b"3"[..]));
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(header(&envelope, "streamproc-value-sha256"), Some(digest.as_bytes()));
        assert_eq!(header(&envelope, "streamproc-reason"), Some(&b"invalid_json"[..]));
    }
}
