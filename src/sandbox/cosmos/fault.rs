//! Faults on demand: which requests, and what goes wrong with them.
//!
//! | effect          | the work is done | the client sees                                              |
//! |-----------------|------------------|--------------------------------------------------------------|
//! | `Answer`        | if asked for     | this status, substatus and retry-after                       |
//! | `Hang`          | after the wait   | the answer late; the work is done even if it no longer waits |
//! | `DropResponse`  | yes              | a connection closed without an answer                        |
//! | `DropRequest`   | no               | a connection closed without an answer                        |

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::call::{Call, Kind};

/// One thing that goes wrong. A request meets the oldest fault that fits it, and only that.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Only requests of this kind. None: all.
    pub kind: Option<Kind>,
    /// Only this partition key, as the header has it (`["device-1"]`) or the bare text (`device-1`).
    pub partition_key: Option<String>,
    /// Only paths that hold this text, such as `colls/rawdata`.
    pub path: Option<String>,
    /// How many requests meet it. None: all.
    pub times: Option<u64>,
    /// Until when. None: until cleared.
    pub until: Option<Instant>,
    /// What goes wrong.
    pub effect: Effect,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This answer instead of the true one.
    Answer {
        /// The HTTP status.
        status: u16,
        /// `x-ms-substatus`; 0 leaves it out.
        substatus: u32,
        /// `x-ms-retry-after-ms`.
        retry_after: Option<Duration>,
        /// Whether the request is carried out all the same.
        after_work: bool,
    },
    /// The request waits, then is carried out and answered.
    Hang(Duration),
    /// The request is carried out, then the connection is closed.
    DropResponse,
    /// The connection is closed.
    DropRequest,
}

impl Fault {
    /// This goes wrong with every request, until cleared. Narrow it down with the fields.
    pub fn new(effect: Effect) -> Self {
        Self { kind: None, partition_key: None, path: None, times: None, until: None, effect }
    }

    fn fits(&self, call: &Call) -> bool {
        self.kind.is_none_or(|kind| kind == call.kind)
            && self.path.as_ref().is_none_or(|text| call.path.contains(text.as_str()))
            && self.partition_key.as_ref().is_none_or(|key| {
                call.partition_key().is_some_and(|sent| sent == key || sent == format!("[\"{key}\"]"))
            })
    }

    fn is_over(&self, now: Instant) -> bool {
        self.times == Some(0) || self.until.is_some_and(|until| until <= now)
    }
}

/// The faults in force, oldest first.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    /// Puts a fault in force.
    pub fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many faults are in force.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no fault is in force.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// What goes wrong with this request, if anything. Counts it.
    pub(super) fn meet(&self, call: &Call, now: Instant) -> Option<Effect> {
        let mut faults = self.lock();
        faults.retain(|fault| !fault.is_over(now));
        let fault = faults.iter_mut().find(|fault| fault.fits(call))?;
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.effect.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use axum::http::{HeaderMap, Method};
    use bytes::Bytes;

    use super::*;

    fn upsert(key: &str) -> Call {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-documentdb-is-upsert", "true".parse().unwrap());
        headers.insert("x-ms-documentdb-partitionkey", key.parse().unwrap());
        Call::new(Method::POST, "/dbs/a/colls/b/docs", None, headers, Bytes::new())
    }

    #[test]
    fn a_fault_meets_only_the_requests_it_names() {
        let call = upsert(r#"["x"]"#);
        let key = |key: &str| Fault { partition_key: Some(key.into()), ..Fault::new(Effect::DropRequest) };
        let table = [
            (Fault::new(Effect::DropRequest), true),
            (Fault { kind: Some(Kind::Upsert), ..Fault::new(Effect::DropRequest) }, true),
            (Fault { kind: Some(Kind::Batch), ..Fault::new(Effect::DropRequest) }, false),
            (key("x"), true),
            (key(r#"["x"]"#), true),
            (key("y"), false),
            (Fault { path: Some("colls/b".into()), ..Fault::new(Effect::DropRequest) }, true),
            (Fault { path: Some("colls/c".into()), ..Fault::new(Effect::DropRequest) }, false),
        ];
        for (fault, meets) in table {
            let faults = Faults::default();
            faults.add(fault.clone());
            assert_eq!(faults.meet(&call, Instant::now()).is_some(), meets, "{fault:?}");
        }
    }

    #[test]
    fn a_fault_ends_after_its_times_or_its_time() {
        let call = upsert(r#"["x"]"#);
        let now = Instant::now();
        let faults = Faults::default();
        faults.add(Fault { times: Some(1), ..Fault::new(Effect::DropResponse) });
        faults.add(Fault { until: Some(now + Duration::from_secs(1)), ..Fault::new(Effect::DropRequest) });
        assert_eq!(faults.meet(&call, now), Some(Effect::DropResponse), "the oldest first");
        assert_eq!(faults.meet(&call, now), Some(Effect::DropRequest));
        assert_eq!(faults.meet(&call, now + Duration::from_secs(1)), None);
        assert!(faults.is_empty());
    }
}
