//! The records of one micro-batch, copied once out of the Kafka client's memory.
//!
//! Keys, values and headers lie one after another in a few chunks, so that ten thousand records
//! cost a handful of allocations. Records are only added; the whole batch is dropped at once.

use smallvec::SmallVec;

use super::kafka::Offset;

/// What one record costs beyond its own bytes: its entry here, its place in the ledger, the recipe
/// of its document and its place in the write plan. Measured at about 300 bytes; rounded up.
pub const RECORD_OVERHEAD: usize = 384;

const FIRST_CHUNK: usize = 4 << 10;
const LARGEST_CHUNK: usize = 256 << 10;

/// A record as the Kafka client hands it over.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970, if the record carries a timestamp.
    pub timestamp_millis: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl RawRecord<'_> {
    /// How much of the byte budget the record takes.
    pub fn cost(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
        RECORD_OVERHEAD + self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers
    }
}

/// Records in offset order, with their bytes.
#[derive(Debug, Default)]
pub struct Records {
    chunks: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    headers: Vec<(Place, Option<Place>)>,
    cost: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    chunk: u32,
    start: u32,
    length: u32,
}

#[derive(Debug)]
struct Entry {
    offset: Offset,
    timestamp_millis: Option<i64>,
    key: Option<Place>,
    value: Option<Place>,
    first_header: u32,
    header_count: u32,
}

/// A header of a record: its name and its value.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// One record of a batch.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Its place in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970, if the record carries a timestamp.
    pub timestamp_millis: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: SmallVec<[Header<'a>; 4]>,
}

impl Records {
    /// No records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Copies a record in at the end.
    pub fn push(&mut self, record: &RawRecord<'_>) {
        let first_header = self.headers.len() as u32;
        for (name, value) in record.headers {
            let name = self.store(name.as_bytes());
            let value = value.map(|value| self.store(value));
            self.headers.push((name, value));
        }
        let key = record.key.map(|key| self.store(key));
        let value = record.value.map(|value| self.store(value));
        self.entries.push(Entry {
            offset: record.offset,
            timestamp_millis: record.timestamp_millis,
            key,
            value,
            first_header,
            header_count: record.headers.len() as u32,
        });
        self.cost += record.cost();
    }

    /// Takes the records from `at` on out, as records of their own. They are copied, and where they were
    /// stays taken: it is meant for a few.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let mut rest = Self::new();
        for index in at..self.len() {
            let record = self.get(index);
            let headers: SmallVec<[_; 4]> = record
                .headers
                .iter()
                .map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), *value))
                .collect();
            rest.push(&RawRecord {
                offset: record.offset,
                timestamp_millis: record.timestamp_millis,
                key: record.key,
                value: record.value,
                headers: &headers,
            });
        }
        self.entries.truncate(at);
        self.cost -= rest.cost;
        rest
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How much of the byte budget the records take.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// The offset of the record at `index`, in the order they were pushed.
    pub fn offset(&self, index: usize) -> Offset {
        self.entries[index].offset
    }

    /// The first and the last offset.
    pub fn range(&self) -> Option<(Offset, Offset)> {
        Some((self.entries.first()?.offset, self.entries.last()?.offset))
    }

    /// The value of the record at `index`; none is a tombstone.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        self.entries[index].value.map(|place| self.bytes(place))
    }

    /// The record's timestamp in milliseconds since 1970, if it carries one.
    pub fn timestamp_millis(&self, index: usize) -> Option<i64> {
        self.entries[index].timestamp_millis
    }

    /// The whole record at `index`.
    pub fn get(&self, index: usize) -> Record<'_> {
        let entry = &self.entries[index];
        let headers = entry.first_header as usize..(entry.first_header + entry.header_count) as usize;
        Record {
            offset: entry.offset,
            timestamp_millis: entry.timestamp_millis,
            key: entry.key.map(|place| self.bytes(place)),
            value: entry.value.map(|place| self.bytes(place)),
            headers: self.headers[headers]
                .iter()
                .map(|(name, value)| (self.bytes(*name), value.map(|place| self.bytes(place))))
                .collect(),
        }
    }

    fn bytes(&self, place: Place) -> &[u8] {
        &self.chunks[place.chunk as usize][place.start as usize..(place.start + place.length) as usize]
    }

    fn store(&mut self, bytes: &[u8]) -> Place {
        let fits = self.chunks.last().is_some_and(|chunk| chunk.capacity() - chunk.len() >= bytes.len());
        if !fits {
            let grown = FIRST_CHUNK << self.chunks.len().min(6);
            self.chunks.push(Vec::with_capacity(bytes.len().max(grown.min(LARGEST_CHUNK))));
        }
        let index = self.chunks.len() - 1;
        let chunk = &mut self.chunks[index];
        let start = chunk.len();
        chunk.extend_from_slice(bytes);
        Place { chunk: index as u32, start: start as u32, length: bytes.len() as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw<'a>(
        offset: i64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: &'a [(&'a str, Option<&'a [u8]>)],
    ) -> RawRecord<'a> {
        RawRecord { offset: Offset(offset), timestamp_millis: Some(offset * 10), key, value, headers }
    }

    #[test]
    fn what_went_in_comes_out() {
        let mut records = Records::new();
        let large = vec![b'x'; 1 << 20];
        let headers: &[(&str, Option<&[u8]>)] = &[("a", Some(b"1")), ("b", None), ("a", Some(b""))];
        records.push(&raw(7, Some(b"k"), Some(b"{}"), headers));
        records.push(&raw(9, None, None, &[]));
        records.push(&raw(12, Some(b""), Some(&large), &[]));

        assert_eq!(records.len(), 3);
        assert_eq!(records.range(), Some((Offset(7), Offset(12))));
        let first = records.get(0);
        assert_eq!((first.key, first.value), (Some(&b"k"[..]), Some(&b"{}"[..])));
        assert_eq!(
            first.headers.as_slice(),
            [(&b"a"[..], Some(&b"1"[..])), (&b"b"[..], None), (&b"a"[..], Some(&b""[..]))]
        );
        let tombstone = records.get(1);
        assert_eq!((tombstone.key, tombstone.value, tombstone.timestamp_millis), (None, None, Some(90)));
        assert_eq!(records.value(2), Some(&large[..]));
        assert_eq!(records.get(2).key, Some(&b""[..]));
    }

    #[test]
    fn what_is_split_off_is_a_set_of_records_like_any_other() {
        let mut all = Records::new();
        let headers = [("one", Some(&b"1"[..])), ("none", None)];
        for offset in 0..5 {
            all.push(&raw(offset, Some(b"key"), Some(b"value"), &headers));
        }
        let (cost, third) = (all.cost(), format!("{:?}", all.get(3)));
        let rest = all.split_off(3);
        assert_eq!((all.len(), rest.len(), all.cost() + rest.cost()), (3, 2, cost));
        assert_eq!((all.range(), rest.range()), (Some((Offset(0), Offset(2))), Some((Offset(3), Offset(4)))));
        assert_eq!(format!("{:?}", rest.get(0)), third);
    }

    #[test]
    fn ten_thousand_small_records_need_few_chunks() {
        let mut records = Records::new();
        for offset in 0..10_000 {
            records.push(&raw(offset, Some(b"device"), Some(&[b'v'; 1_000]), &[]));
        }
        assert!(records.chunks.len() < 60, "{} chunks", records.chunks.len());
        assert_eq!(records.cost(), 10_000 * (1_006 + RECORD_OVERHEAD));
        for (index, entry) in (0..10_000).map(|index| (index, records.get(index as usize))) {
            assert_eq!(entry.offset, Offset(index));
            assert_eq!(entry.value.map(<[u8]>::len), Some(1_000));
        }
    }
}
