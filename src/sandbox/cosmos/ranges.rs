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

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use azure_data_cosmos_driver::models::{FeedRange, PartitionKey, PartitionKeyDefinition, PartitionKeyValue};
use serde_json::{Value, json};

use super::call::{Call, Kind};
use super::emulator::{Answer, Shape};
use crate::query::key_value;

/// How many key ranges a container of more partitions is shown as: half of what the Rust SDK asks at most.
const SHOWN: u32 = 50;

/// The most request units a second that one physical partition of the service has.
/// <https://learn.microsoft.com/azure/cosmos-db/concepts-limits#provisioned-throughput>
const MOST_OF_ONE: f64 = 10_000.0;

/// How many key ranges a container of such a shape is shown as. One with a throughput has as many as the
/// service would give it, because each has its part of that.
pub(super) fn shown(shape: Shape) -> u32 {
    let most = shape.throughput.map_or(SHOWN, |throughput| (throughput as f64 / MOST_OF_ONE).ceil() as u32);
    shape.physical_partitions.min(most).max(1)
}

/// In which of so many shown ranges a partition key is, as a request's header gives it: `["device-1"]`.
pub(super) fn range_of(key: &str, shown: u32) -> u32 {
    let values: Vec<Value> = serde_json::from_str(key).unwrap_or_default();
    let part = |value| key_value(value).unwrap_or(PartitionKeyValue::NULL);
    let parts: Vec<_> = values.iter().map(part).collect();
    let paths = (0..parts.len()).map(|number| format!("/{number}").into()).collect();
    let Ok(key) = PartitionKey::try_from(parts) else { return 0 };
    let range = FeedRange::for_partition(key, &PartitionKeyDefinition::new(paths));
    // Of several parts, the first decides.
    let hash = range.min_inclusive().to_hex();
    let hash = hash.get(..32).and_then(|hash| u128::from_str_radix(hash, 16).ok()).unwrap_or(0);
    u32::try_from(hash / step(shown)).unwrap_or(u32::MAX).min(shown - 1)
}

const RANGE_ID: &str = "x-ms-documentdb-partitionkeyrangeid";
const START: &str = "x-ms-start-epk";
const END: &str = "x-ms-end-epk";

/// The containers that are shown coarser than they are, and as how many ranges.
#[derive(Default)]
pub(super) struct CoarseContainers(Mutex<HashMap<String, u32>>);

impl CoarseContainers {
    pub(super) fn add(&self, path: String, shown: u32) {
        self.lock().insert(path, shown);
    }

    /// The container, or the database it is in, is gone.
    pub(super) fn forget(&self, path: &str) {
        self.lock().retain(|container, _| !super::stats::is_within(container, path));
    }

    pub(super) fn shown(&self, path: &str) -> Option<u32> {
        self.lock().get(path).copied()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns a request for a shown range into one between its bounds.
///
/// # Errors
///
/// The answer to a change feed.
pub(super) fn translate(call: &Call, shown: u32, headers: &mut HeaderMap) -> Result<(), Box<Answer>> {
    // The list of key ranges is asked for as a change feed, too.
    if call.kind == Kind::ReadFeed && headers.contains_key("a-im") {
        return Err(Box::new(Answer::error(
            StatusCode::NOT_IMPLEMENTED,
            0,
            "NotImplemented",
            &format!(
                "This container has more than {shown} physical partitions, and there the sandbox has no \
                 change feed. Start it with --physical-partitions {shown}."
            ),
        )));
    }
    headers.remove("x-ms-session-token");
    if !matches!(call.kind, Kind::Query | Kind::ReadFeed) {
        return Ok(());
    }
    let Some(range) = call.header(RANGE_ID).and_then(|id| id.parse().ok()).filter(|id| *id < shown) else {
        return Ok(());
    };
    let mut bounds = bounds(range, shown);
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
pub(super) fn disguise(kind: Kind, shown: u32, answer: &mut Answer) {
    for name in ["x-ms-session-token", RANGE_ID, "x-ms-cosmos-internal-partition-id"] {
        answer.headers.remove(name);
    }
    if kind != Kind::PartitionKeyRanges || answer.status != StatusCode::OK {
        return;
    }
    let Ok(mut body) = serde_json::from_slice::<Value>(&answer.body) else { return };
    let Some(pattern) = body["PartitionKeyRanges"].get(0).cloned() else { return };
    let ranges: Vec<Value> = (0..shown)
        .map(|number| {
            let mut range = pattern.clone();
            let bounds = bounds(number, shown);
            range["id"] = json!(number.to_string());
            range["minInclusive"] = json!(bounds.start);
            range["maxExclusive"] = json!(bounds.end);
            range["ridPrefix"] = json!(number);
            range["throughputFraction"] = json!(1.0 / f64::from(shown));
            range["parents"] = json!([]);
            range
        })
        .collect();
    body["PartitionKeyRanges"] = Value::Array(ranges);
    body["_count"] = json!(shown);
    answer.headers.insert("x-ms-item-count", shown.into());
    answer.body = body.to_string().into();
}

fn step(shown: u32) -> u128 {
    (1_u128 << 126) / u128::from(shown)
}

/// The hashes of a shown range: 126 bits (version 2 of the hash leaves the two highest unset), in
/// hexadecimal; the outermost bounds are `""` and `FF`.
fn bounds(range: u32, shown: u32) -> Range<String> {
    let bound = |range: u32| format!("{:032X}", step(shown) * u128::from(range));
    let start = if range == 0 { String::new() } else { bound(range) };
    let end = if range == shown - 1 { "FF".to_owned() } else { bound(range + 1) };
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
        translate(call, SHOWN, &mut headers).unwrap();
        let get = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (get(RANGE_ID), get(START), get(END))
    }

    #[test]
    fn the_shown_ranges_cover_every_hash_once() {
        assert_eq!(bounds(0, SHOWN).start, "");
        assert_eq!(bounds(SHOWN - 1, SHOWN).end, "FF");
        for range in 1..SHOWN {
            assert_eq!(bounds(range - 1, SHOWN).end, bounds(range, SHOWN).start);
            assert!(bounds(range, SHOWN).start < bounds(range, SHOWN).end);
        }
    }

    #[test]
    fn a_container_is_shown_as_the_ranges_that_the_service_would_give_it() {
        let shown_of = |throughput| shown(Shape { physical_partitions: 2_000, throughput });
        assert_eq!([None, Some(400), Some(10_000), Some(10_100)].map(shown_of), [SHOWN, 1, 1, 2]);
        assert_eq!(shown(Shape { physical_partitions: 4, throughput: None }), 4);
    }

    #[test]
    fn a_key_is_in_the_range_whose_bounds_are_around_its_hash() {
        let mut found = [0; 5];
        for number in 0..1_000 {
            let key = PartitionKey::from(format!("device-{number}"));
            let hash = FeedRange::for_partition(key, &PartitionKeyDefinition::new(vec!["/a".into()]));
            let hash = hash.min_inclusive().to_hex();
            let range = range_of(&format!(r#"["device-{number}"]"#), 5);
            let bounds = bounds(range, 5);
            assert!(bounds.start <= hash && hash < bounds.end, "{hash} in {bounds:?}");
            found[range as usize] += 1;
        }
        assert!(found.iter().all(|count| (150..250).contains(count)), "{found:?}");
    }

    #[test]
    fn a_query_of_a_shown_range_becomes_one_between_its_bounds() {
        let call = query(&[(RANGE_ID, "7"), ("x-ms-session-token", "7:0#1")]);
        assert_eq!(translated(&call), (None, Some(bounds(7, SHOWN).start), Some(bounds(7, SHOWN).end)));
    }

    #[test]
    fn a_query_of_a_part_of_a_range_stays_within_that_part() {
        let middle = format!("{}8", &bounds(7, SHOWN).start[..3]);
        let call = query(&[(RANGE_ID, "7"), (START, ""), (END, &middle)]);
        assert_eq!(translated(&call), (None, Some(bounds(7, SHOWN).start), Some(middle)));
    }

    #[test]
    fn a_query_of_one_partition_key_is_left_alone() {
        assert_eq!(translated(&query(&[])), (None, None, None));
    }

    #[test]
    fn the_change_feed_is_refused() {
        let feed = query(&[("a-im", "Incremental Feed")]);
        let call = Call { kind: Kind::ReadFeed, ..feed };
        let refusal = translate(&call, SHOWN, &mut call.headers.clone()).unwrap_err();
        assert_eq!(refusal.status, StatusCode::NOT_IMPLEMENTED);
    }
}
