//! A micro-batch with its documents.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::budget::Charge;
use crate::core::records::Records;
use crate::core::transform::{BadEvent, Decoded, Document, Rules, decode};
use crate::core::write::body;
use crate::core::write::lane::Lane;
use crate::core::write::plan::{Candidate, Versions, lanes};

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
    /// What documents take that are larger than was allowed for.
    _charge: Charge,
}

fn unix_nanos(time: SystemTime) -> i128 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    }
}

impl DecodedBatch {
    /// Decodes every record. What that takes beyond the records' own cost is put on `charge`.
    pub(super) async fn of(records: &Records, rules: &Rules, mut charge: Charge) -> Self {
        let stamp = rules.stamp(unix_nanos(SystemTime::now()));
        let mut documents = Vec::with_capacity(records.len());
        let (mut bad, mut skipped) = (Vec::new(), Vec::new());
        let (mut system_fields_removed, mut unusual_bytes) = (0, 0);
        for index in 0..records.len() {
            let document = match decode(rules, records.value(index), records.timestamp_millis(index), &stamp)
            {
                Ok(Decoded::Document(document)) => {
                    system_fields_removed += u64::from(document.removed_system_fields());
                    unusual_bytes += document.unusual_bytes();
                    Some(document)
                }
                Ok(Decoded::Skipped) => {
                    skipped.push(index);
                    None
                }
                Err(refused) => {
                    bad.push((index, refused));
                    None
                }
            };
            documents.push(document);
            if index % SLICE == SLICE - 1 {
                tokio::task::yield_now().await;
            }
        }
        charge.add(unusual_bytes);
        Self { documents, bad, skipped, system_fields_removed, _charge: charge }
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
        body::of(group, |record| Some((self.document(record)?, records.value(record)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::core::budget::Budget;
    use crate::core::kafka::{Offset, TopicPartition};
    use crate::core::records::RawRecord;

    async fn held_by(event: &str) -> usize {
        let mut records = Records::new();
        let value = Some(event.as_bytes());
        records.push(&RawRecord {
            offset: Offset(0),
            timestamp_millis: None,
            key: None,
            value,
            headers: &[],
        });
        let budget = Budget::new(1 << 30);
        let rules = Rules::compile(&config::Event::default()).unwrap();
        let charge = budget.open(&TopicPartition::new("t", 0));
        let decoded = DecodedBatch::of(&records, &rules, charge).await;
        assert!(decoded.document(0).is_some(), "{:?}", decoded.bad);
        let held = budget.used();
        drop(decoded);
        assert_eq!(budget.used(), 0);
        held
    }

    #[tokio::test]
    async fn documents_that_are_larger_than_was_allowed_for_are_on_the_budget_while_they_are_held() {
        let id = "2f7a1c1e-55aa-4f0e-9d3e-0123456789ab";
        let usual = format!(r#"{{"eventId":"{id}","deviceId":"d","createdAt":1700000000}}"#);
        assert_eq!(held_by(&usual).await, 0);
        let long = "x".repeat(1000);
        assert!(held_by(&format!(r#"{{"eventId":"{long}","deviceId":"d"}}"#)).await >= 1800);
        let members = r#","_ts":0,"a":0"#.repeat(10_000);
        let pieces = format!(r#"{{"eventId":"{id}","deviceId":"d"{members}}}"#);
        let held = held_by(&pieces).await;
        assert!((10_000..pieces.len()).contains(&held), "{held} for {}", pieces.len());
    }
}
