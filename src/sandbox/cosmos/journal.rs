//! How often each document was written, and with which bytes: for tests that ask whether work was done
//! twice, and whether a number is sent as it came (a store keeps doubles, so what is stored cannot tell).
//!
//! Kept only when asked for, because it grows with the documents.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::call::{Call, Kind};
use super::emulator::Answer;

/// Writes by partition key and id. A write is in here before its answer goes out.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Documents>);

/// By partition key and id.
type Documents = HashMap<String, HashMap<String, Written>>;

#[derive(Debug, Default)]
struct Written {
    times: u32,
    last: Box<str>,
    /// What it was before, each content once.
    earlier: Vec<Box<str>>,
}

#[derive(Deserialize)]
struct Operation<'a> {
    #[serde(rename = "resourceBody", borrow)]
    document: &'a RawValue,
}

#[derive(Deserialize)]
struct Document {
    id: String,
}

impl Journal {
    /// How often a document was written; the partition key as the header has it, `["device-1"]`.
    pub fn times(&self, partition_key: &str, id: &str) -> u32 {
        self.lock().get(partition_key).and_then(|documents| documents.get(id)).map_or(0, |found| found.times)
    }

    /// A document as it was sent the last time.
    pub fn body(&self, partition_key: &str, id: &str) -> Option<Box<str>> {
        self.lock().get(partition_key)?.get(id).map(|found| found.last.clone())
    }

    /// Each content that a document ever had, the last one first.
    pub fn bodies(&self, partition_key: &str, id: &str) -> Vec<Box<str>> {
        let journal = self.lock();
        let found = journal.get(partition_key).and_then(|documents| documents.get(id));
        found.map_or_else(Vec::new, |found| {
            std::iter::once(&found.last).chain(&found.earlier).cloned().collect()
        })
    }

    /// How many different documents were written.
    pub fn documents(&self) -> usize {
        self.lock().values().map(HashMap::len).sum()
    }

    /// How often any document was written.
    pub fn writes(&self) -> u64 {
        self.lock().values().flat_map(HashMap::values).map(|written| u64::from(written.times)).sum()
    }

    /// How many writes were repetitions.
    pub fn repetitions(&self) -> u64 {
        self.writes() - self.documents() as u64
    }

    /// Notes what a request wrote.
    pub(super) fn note(&self, call: &Call, answer: &Answer) {
        let Some(key) = call.partition_key().filter(|_| answer.status.is_success()) else { return };
        let bodies: Vec<&RawValue> = match call.kind {
            Kind::Create | Kind::Upsert | Kind::Replace => {
                serde_json::from_slice(&call.body).into_iter().collect()
            }
            // Anything but 200 is a batch of which nothing was done.
            Kind::Batch if answer.status == StatusCode::OK => {
                let operations: Vec<Operation<'_>> = serde_json::from_slice(&call.body).unwrap_or_default();
                operations.into_iter().map(|operation| operation.document).collect()
            }
            _ => return,
        };
        let mut journal = self.lock();
        let documents = journal.entry(key.to_owned()).or_default();
        for body in bodies.into_iter().map(RawValue::get) {
            let Ok(Document { id }) = serde_json::from_str(body) else { continue };
            let written = documents.entry(id).or_default();
            written.times += 1;
            let before = std::mem::replace(&mut written.last, body.into());
            if written.times > 1 && *before != *body && !written.earlier.contains(&before) {
                written.earlier.push(before);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Documents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
