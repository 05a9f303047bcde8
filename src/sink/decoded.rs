//! A micro-batch with its documents.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::records::Records;
use crate::core::transform::{BadEvent, Decoded, Document, Rules, decode};
use crate::core::write::lane::Lane;
use crate::core::write::plan::{Candidate, OPERATION_PREFIX, Versions, lanes};

/// After so many events the task lets others run: some milliseconds of work.
const SLICE: usize = 500;

/// What the records of a micro-batch turned out to be.
#[derive(Debug)]
pub(super) struct DecodedBatch {
    /// By the index of the record; none where there is no document.
    documents: Vec<Option<Document>>,
    pub(super) bad: Vec<(usize, BadEvent)>,
    pub(super) skipped: Vec<usize>,
    pub(super) system_fields_removed: u64,
}

fn unix_nanos(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

impl DecodedBatch {
    /// Decodes every record.
    pub(super) async fn of(records: &Records, rules: &Rules) -> Self {
        let stamp = rules.stamp(unix_nanos(SystemTime::now()));
        let mut batch = Self {
            documents: Vec::with_capacity(records.len()),
            bad: Vec::new(),
            skipped: Vec::new(),
            system_fields_removed: 0,
        };
        for index in 0..records.len() {
            let document = match decode(rules, records.value(index), records.timestamp_millis(index), &stamp)
            {
                Ok(Decoded::Document(document)) => {
                    batch.system_fields_removed += u64::from(document.removed_system_fields());
                    Some(document)
                }
                Ok(Decoded::Skipped) => {
                    batch.skipped.push(index);
                    None
                }
                Err(bad) => {
                    batch.bad.push((index, bad));
                    None
                }
            };
            batch.documents.push(document);
            if index % SLICE == SLICE - 1 {
                tokio::task::yield_now().await;
            }
        }
        batch
    }

    /// The lanes in which the documents are written.
    pub(super) fn lanes(&self) -> Vec<Lane> {
        lanes(self.documents.iter().enumerate().filter_map(|(record, document)| {
            let document = document.as_ref()?;
            Some(Candidate { record, key: &document.key, id: &document.id, length: document.body_len() })
        }))
    }

    pub(super) fn document(&self, record: usize) -> Option<&Document> {
        self.documents.get(record)?.as_ref()
    }

    /// The body of a request: a document, or the operations of a batch.
    pub(super) fn body(&self, records: &Records, group: &[Versions]) -> Vec<u8> {
        let write = |versions: &Versions, body: &mut Vec<u8>| {
            if let (Some(document), Some(value)) =
                (self.document(versions.newest), records.value(versions.newest))
            {
                document.write_body(value, body);
            }
        };
        let length = |versions: &Versions| self.document(versions.newest).map_or(0, Document::body_len);
        if let [point] = group {
            let mut body = Vec::with_capacity(length(point));
            write(point, &mut body);
            return body;
        }
        let total: usize = group.iter().map(|versions| length(versions) + OPERATION_PREFIX.len() + 2).sum();
        let mut body = Vec::with_capacity(total + 1);
        for versions in group {
            body.push(if body.is_empty() { b'[' } else { b',' });
            body.extend_from_slice(OPERATION_PREFIX);
            write(versions, &mut body);
            body.push(b'}');
        }
        body.push(b']');
        body
    }
}
