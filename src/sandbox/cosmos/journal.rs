//! How often each document was written: for tests that ask whether work was done twice.
//!
//! Kept only when asked for, because it grows with the documents.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use serde::Deserialize;

use super::call::{Call, Kind};
use super::emulator::Answer;

/// Writes by partition key and id. A write is in here before its answer goes out.
#[derive(Debug, Default)]
pub struct Journal(Mutex<HashMap<String, HashMap<String, u32>>>);

#[derive(Deserialize)]
struct Operation {
    #[serde(rename = "resourceBody")]
    document: Document,
}

#[derive(Deserialize)]
struct Document {
    id: String,
}

impl Journal {
    /// How often a document was written; the partition key as the header has it, `["device-1"]`.
    pub fn times(&self, partition_key: &str, id: &str) -> u32 {
        self.lock().get(partition_key).and_then(|documents| documents.get(id)).copied().unwrap_or(0)
    }

    /// How many different documents were written.
    pub fn documents(&self) -> usize {
        self.lock().values().map(HashMap::len).sum()
    }

    /// How often any document was written.
    pub fn writes(&self) -> u64 {
        self.lock().values().flat_map(HashMap::values).map(|times| u64::from(*times)).sum()
    }

    /// How many writes were repetitions.
    pub fn repetitions(&self) -> u64 {
        self.writes() - self.documents() as u64
    }

    /// Notes what a request wrote.
    pub(super) fn note(&self, call: &Call, answer: &Answer) {
        let Some(key) = call.partition_key().filter(|_| answer.status.is_success()) else { return };
        let ids: Vec<String> = match call.kind {
            Kind::Create | Kind::Upsert | Kind::Replace => serde_json::from_slice::<Document>(&call.body)
                .map(|document| document.id)
                .into_iter()
                .collect(),
            // Anything but 200 is a batch of which nothing was done.
            Kind::Batch if answer.status == StatusCode::OK => {
                let operations: Vec<Operation> = serde_json::from_slice(&call.body).unwrap_or_default();
                operations.into_iter().map(|operation| operation.document.id).collect()
            }
            _ => return,
        };
        let mut journal = self.lock();
        let documents = journal.entry(key.to_owned()).or_default();
        for id in ids {
            *documents.entry(id).or_default() += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<String, u32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
