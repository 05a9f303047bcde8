//! What the embedded Cosmos DB has answered so far.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use serde::Serialize;

use super::call::Kind;

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Requests by what they asked and how they were answered.
    pub requests: Vec<Answered>,
    /// Documents now stored, by container (`dbs/streaming/colls/rawdata`).
    pub documents: BTreeMap<String, u64>,
    /// Bytes of all request bodies.
    pub bytes_received: u64,
    /// Bytes of all response bodies.
    pub bytes_sent: u64,
    /// Request units of all answers.
    pub request_units: f64,
}

/// Requests of one kind with one answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// What was asked.
    pub kind: Kind,
    /// The HTTP status; 0 for a connection closed without an answer.
    pub status: u16,
    /// `x-ms-substatus`, 0 without.
    pub substatus: u32,
    /// How many.
    pub count: u64,
}

impl Stats {
    /// How many requests of this kind got this status.
    pub fn count(&self, kind: Kind, status: u16) -> u64 {
        let these =
            self.requests.iter().filter(|answered| answered.kind == kind && answered.status == status);
        these.map(|answered| answered.count).sum()
    }

    /// How many documents are stored, in all containers.
    pub fn documents(&self) -> u64 {
        self.documents.values().sum()
    }
}

/// One answered request, for the counting.
pub(super) struct Served<'a> {
    pub(super) kind: Kind,
    pub(super) status: Option<StatusCode>,
    pub(super) substatus: u32,
    pub(super) received: usize,
    pub(super) sent: usize,
    pub(super) request_units: f64,
    /// The container, and how many documents it gained or lost.
    pub(super) documents: Option<(&'a str, i64)>,
}

#[derive(Default)]
pub(super) struct Counter(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    requests: BTreeMap<(Kind, u16, u32), u64>,
    documents: BTreeMap<String, i64>,
    received: u64,
    sent: u64,
    request_units: f64,
}

impl Counter {
    pub(super) fn count(&self, served: &Served<'_>) {
        let mut counts = self.lock();
        let status = served.status.map_or(0, |status| status.as_u16());
        *counts.requests.entry((served.kind, status, served.substatus)).or_default() += 1;
        counts.received += served.received as u64;
        counts.sent += served.sent as u64;
        counts.request_units += served.request_units;
        if let Some((container, change)) = served.documents {
            *counts.documents.entry(container.to_owned()).or_default() += change;
        }
    }

    /// A database or container is gone, and its documents with it.
    pub(super) fn forget(&self, path: &str) {
        self.lock().documents.retain(|container, _| !is_within(container, path));
    }

    pub(super) fn read(&self) -> Stats {
        let counts = self.lock();
        let answered = |(&(kind, status, substatus), &count): (&(Kind, u16, u32), &u64)| Answered {
            kind,
            status,
            substatus,
            count,
        };
        Stats {
            requests: counts.requests.iter().map(answered).collect(),
            documents: counts.documents.iter().map(|(path, &n)| (path.clone(), n.max(0) as u64)).collect(),
            bytes_received: counts.received,
            bytes_sent: counts.sent,
            request_units: counts.request_units,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `container` is what `path` names, a container or a database, or lies in it.
pub(super) fn is_within(container: &str, path: &str) -> bool {
    container.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_of_a_container_are_forgotten_with_it_and_no_others() {
        let counter = Counter::default();
        for container in ["dbs/a/colls/b", "dbs/a/colls/bc", "dbs/ab/colls/b"] {
            counter.count(&Served {
                kind: Kind::Upsert,
                status: Some(StatusCode::CREATED),
                substatus: 0,
                received: 0,
                sent: 0,
                request_units: 0.0,
                documents: Some((container, 1)),
            });
        }
        counter.forget("dbs/a/colls/b");
        assert_eq!(counter.read().documents(), 2);
        counter.forget("dbs/a");
        assert_eq!(counter.read().documents(), 1);
    }
}
