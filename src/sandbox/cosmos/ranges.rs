//! Many physical partitions inside, few seen from outside.
//!
//! The emulator copies all documents of a physical partition for every transactional batch, so batches
//! need many partitions with few documents each. Clients ask every partition in turn, and Microsoft's
//! Rust SDK refuses a query over more than 100, so queries need few. Therefore a container of many
//! partitions is *shown* as [`SHOWN`] key ranges: the list of ranges is made up here, and a query of one
//! of them becomes a query between its bounds, which the emulator answers from all partitions between.
//!
//! What goes with it: documents come without session tokens (they would name partitions that no client
//! knows; the sandbox has one region and is always consistent), and the change feed, whose continuations
//! count per partition, is refused.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::call::{Call, Kind};
use super::emulator::Answer;

/// How many key ranges a container of more partitions is shown as: half of what the Rust SDK asks at most.
pub(super) const SHOWN: u32 = 50;

const RANGE_ID: &str = "x-ms-documentdb-partitionkeyrangeid";
const START: &str = "x-ms-start-epk";
const END: &str = "x-ms-end-epk";

/// The containers that are shown coarser than they are.
#[derive(Default)]
pub(super) struct CoarseContainers(Mutex<HashSet<String>>);

impl CoarseContainers {
    pub(super) fn add(&self, path: String) {
        self.lock().insert(path);
    }

    /// The container, or the database it is in, is gone.
    pub(super) fn forget(&self, path: &str) {
        self.lock().retain(|container| !super::stats::is_within(container, path));
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.lock().contains(path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns a request for a shown range into one between its bounds.
///
/// # Errors
///
/// The answer to a change feed.
pub(super) fn translate(call: &Call, headers: &mut HeaderMap) -> Result<(), Box<Answer>> {
    // The list of key ranges is asked for as a change feed, too.
    if call.kind == Kind::ReadFeed && headers.contains_key("a-im") {
        return Err(Box::new(Answer::error(
            StatusCode::NOT_IMPLEMENTED,
            0,
            "NotImplemented",
            &format!(
                "This container has more than {SHOWN} physical partitions, and there the sandbox has no \
                 change feed. Start it with --physical-partitions {SHOWN}."
            ),
        )));
    }
    headers.remove("x-ms-session-token");
    if !matches!(call.kind, Kind::Query | Kind::ReadFeed) {
        return Ok(());
    }
    let Some(range) = call.header(RANGE_ID).and_then(|id| id.parse().ok()).filter(|id| *id < SHOWN) else {
        return Ok(());
    };
    let mut bounds = bounds(range);
    // A client may ask for a part of a range only.
    if let Some(start) = call.header(START) {
        bounds.start = bounds.start.max(start.to_owned());
    }
    if let Some(end) = call.header(END) {
        bounds.end = bounds.end.min(end.to_owned());
    }
    headers.remove(RANGE_ID);
    headers.insert("x-ms-read-key-type", HeaderValue::from_static("EffectivePartitionKeyRange"));
    for (name, bound) in [(START, bounds.start), (END, bounds.end)] {
        if let Ok(bound) = HeaderValue::try_from(bound) {
            headers.insert(name, bound);
        }
    }
    Ok(())
}

/// Shows the coarse ranges in place of the true ones, and hides which partition has answered.
pub(super) fn disguise(kind: Kind, answer: &mut Answer) {
    for name in ["x-ms-session-token", RANGE_ID, "x-ms-cosmos-internal-partition-id"] {
        answer.headers.remove(name);
    }
    if kind != Kind::PartitionKeyRanges || answer.status != StatusCode::OK {
        return;
    }
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
    let Some(pattern) = body["PartitionKeyRanges"].get(0).cloned() else { return };
    let shown: Vec<Value> = (0..SHOWN)
        .map(|range| {
            let mut shown = pattern.clone();
            let bounds = bounds(range);
            shown["id"] = json!(range.to_string());
            shown["minInclusive"] = json!(bounds.start);
            shown["maxExclusive"] = json!(bounds.end);
            shown["ridPrefix"] = json!(range);
            shown["throughputFraction"] = json!(1.0 / f64::from(SHOWN));
            shown["parents"] = json!([]);
            shown
        })
        .collect();
    body["PartitionKeyRanges"] = Value::Array(shown);
    body["_count"] = json!(SHOWN);
    answer.headers.insert("x-ms-item-count", SHOWN.into());
    answer.body = body.to_string().into();
}

/// The hashes of a shown range: 126 bits (version 2 of the hash leaves the two highest unset), in
/// hexadecimal; the outermost bounds are `""` and `FF`.
fn bounds(range: u32) -> Range<String> {
    let step = (1_u128 << 126) / u128::from(SHOWN);
    let bound = |range: u32| format!("{:032X}", step * u128::from(range));
    let start = if range == 0 { String::new() } else { bound(range) };
    let end = if range == SHOWN - 1 { "FF".to_owned() } else { bound(range + 1) };
    start..end
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use axum::http::Method;
    use bytes::Bytes;

    use super::*;

    fn query(headers: &[(&'static str, &str)]) -> Call {
        let mut map = HeaderMap::new();
        map.insert("x-ms-documentdb-isquery", HeaderValue::from_static("true"));
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Call::new(Method::POST, "/dbs/a/colls/b/docs", None, map, Bytes::new())
    }

    fn translated(call: &Call) -> (Option<String>, Option<String>, Option<String>) {
        let mut headers = call.headers.clone();
        translate(call, &mut headers).unwrap();
        let get = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (get(RANGE_ID), get(START), get(END))
    }

    #[test]
    fn the_shown_ranges_cover_every_hash_once() {
        assert_eq!(bounds(0).start, "");
        assert_eq!(bounds(SHOWN - 1).end, "FF");
        for range in 1..SHOWN {
            assert_eq!(bounds(range - 1).end, bounds(range).start);
            assert!(bounds(range).start < bounds(range).end);
        }
    }

    #[test]
    fn a_query_of_a_shown_range_becomes_one_between_its_bounds() {
        let call = query(&[(RANGE_ID, "7"), ("x-ms-session-token", "7:0#1")]);
        assert_eq!(translated(&call), (None, Some(bounds(7).start), Some(bounds(7).end)));
    }

    #[test]
    fn a_query_of_a_part_of_a_range_stays_within_that_part() {
        let middle = format!("{}8", &bounds(7).start[..3]);
        let call = query(&[(RANGE_ID, "7"), (START, ""), (END, &middle)]);
        assert_eq!(translated(&call), (None, Some(bounds(7).start), Some(middle)));
    }

    #[test]
    fn a_query_of_one_partition_key_is_left_alone() {
        assert_eq!(translated(&query(&[])), (None, None, None));
    }

    #[test]
    fn the_change_feed_is_refused() {
        let feed = query(&[("a-im", "Incremental Feed")]);
        let call = Call { kind: Kind::ReadFeed, ..feed };
        let refusal = translate(&call, &mut call.headers.clone()).unwrap_err();
        assert_eq!(refusal.status, StatusCode::NOT_IMPLEMENTED);
    }
}
