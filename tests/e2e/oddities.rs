//! Events that are unusual: each is stored as the documentation says, or goes to the dead letters with
//! its reason, and none stops the stream.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::stage::held::wait_until_ready;
use crate::stage::says::stop;
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::kafka::Record;

/// What becomes of an event.
enum Becomes {
    /// It is stored, and these fields are what they are.
    Stored(&'static str, Value),
    /// It goes to the dead letters.
    Dead(&'static str),
}
use Becomes::{Dead, Stored};

fn nested(depth: usize) -> Vec<u8> {
    let levels = depth - 1;
    let (open, close) = ("[".repeat(levels), "]".repeat(levels));
    format!(r#"{{"eventId":"nested","deviceId":"d","x":{open}{close}}}"#).into_bytes()
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn oddities() -> Vec<(Vec<u8>, Becomes)> {
    vec![
        // Escapes, in values, in the id, and in the names of fields.
        (
            text(r#"{"eventId":"esc-1","deviceId":"d","text":"\u0041\u00e9\ud83d\ude00\n\t\"\\\/"}"#),
            Stored("esc-1", json!({"text": "Aé😀\n\t\"\\/"})),
        ),
        (
            text(r#"{"\u0065ventId":"\u0065sc-2","device\u0049d":"d\u00e9","a":1}"#),
            Stored("esc-2", json!({"eventId": "esc-2", "deviceId": "dé", "a": 1})),
        ),
        (text(r#"{"eventId":"esc\u002f3","deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":"日本 1","deviceId":"d"}"#), Stored("日本 1", json!({"eventId": "日本 1"}))),
        // Numbers: sent digit by digit, kept by Cosmos DB as doubles.
        (
            text(
                r#"{"eventId":"num","deviceId":"d","a":0.12345678901234567,"b":9007199254740993,"c":-0.0,"d":1e-400,"e":1E+2,"f":1.7976931348623157e308}"#,
            ),
            Stored(
                "num",
                json!({"a": 0.123_456_789_012_345_67, "b": 9_007_199_254_740_992.0, "c": 0.0, "d": 0.0, "e": 100.0, "f": f64::MAX}),
            ),
        ),
        (text(r#"{"eventId":"huge","deviceId":"d","a":1e400}"#), Dead("number_out_of_range")),
        (text(r#"{"eventId":"nan","deviceId":"d","a":NaN}"#), Dead("invalid_json")),
        (text(r#"{"eventId":"zero","deviceId":"d","a":01}"#), Dead("invalid_json")),
        // A name twice passes, unless the configuration names it.
        (
            text(r#"{"eventId":"twice","deviceId":"d","a":1,"a":2}"#),
            Stored("twice", json!({"deviceId": "d"})),
        ),
        (text(r#"{"eventId":"x","deviceId":"d","device\u0049d":"e"}"#), Dead("duplicate_field")),
        // The embedded Cosmos DB refuses 128, which the real one takes.
        (nested(127), Stored("nested", json!({"eventId": "nested"}))),
        (nested(129), Dead("too_deep")),
        // The bytes around the object.
        ([&b"\xef\xbb\xbf"[..], br#"{"eventId":"bom","deviceId":"d"}"#].concat(), Stored("bom", json!({}))),
        (
            text(" \r\n\t{ \"eventId\" : \"space\" , \"deviceId\" : \"d\" } \n"),
            Stored("space", json!({"deviceId": "d"})),
        ),
        (Vec::new(), Dead("invalid_json")),
        (text(" "), Dead("invalid_json")),
        (text("null"), Dead("not_an_object")),
        (text(r#"{"eventId":"x","deviceId":"d"}{}"#), Dead("invalid_json")),
        (text("{\"eventId\":\"x\",\"deviceId\":\"a\nb\"}"), Dead("invalid_json")),
        // Ids.
        (text(r#"{"eventId":"a/b","deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":"a\\b","deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":"a?b","deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":"a#b","deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":"","deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":null,"deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":1.5,"deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":9007199254740993,"deviceId":"d"}"#), Dead("invalid_id")),
        (text(r#"{"eventId":42,"deviceId":"d"}"#), Stored("42", json!({"id": "42", "eventId": 42}))),
        (text(r#"{"eventId":-7,"deviceId":"d"}"#), Stored("-7", json!({"eventId": -7}))),
        // The document's own fields win over the event's.
        (
            text(
                r#"{"id":"mine","eventId":"own","deviceId":"d","_ts":1,"_etag":"e","_rid":"r","processedAt":5,"enqueuedAt":null}"#,
            ),
            Stored("own", json!({"enqueuedAt": "2020-09-13T12:26:40.000Z"})),
        ),
        // Timestamps.
        (
            text(r#"{"eventId":"t-0","deviceId":"d","createdAt":null}"#),
            Stored("t-0", json!({"createdAt": null})),
        ),
        (
            text(r#"{"eventId":"t-1","deviceId":"d","createdAt":"2026-05-16 19:16:40.1239+02:00"}"#),
            Stored("t-1", json!({"createdAt": "2026-05-16T17:16:40.123Z"})),
        ),
        (
            text(r#"{"eventId":"t-2","deviceId":"d","createdAt":1558027000123}"#),
            Stored("t-2", json!({"createdAt": "2019-05-16T17:16:40.123Z"})),
        ),
        (text(r#"{"eventId":"t-3","deviceId":"d","createdAt":true}"#), Dead("invalid_timestamp")),
        // Partition keys of every kind.
        (text(r#"{"eventId":"k-1","deviceId":null}"#), Stored("k-1", json!({"deviceId": null}))),
        (text(r#"{"eventId":"k-2","deviceId":true}"#), Stored("k-2", json!({"deviceId": true}))),
        (text(r#"{"eventId":"k-3","deviceId":-0.0}"#), Stored("k-3", json!({"deviceId": 0.0}))),
        (text(r#"{"eventId":"k-4","deviceId":12.5}"#), Stored("k-4", json!({"deviceId": 12.5}))),
        (text(r#"{"eventId":"k-5","deviceId":""}"#), Stored("k-5", json!({"deviceId": ""}))),
        (text(r#"{"eventId":"k-6","deviceId":["d"]}"#), Dead("invalid_partition_key")),
    ]
}

/// Numbers are equal as doubles: that is what Cosmos DB keeps.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        #[allow(clippy::float_cmp, reason = "the same double is meant")]
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[test]
fn odd_events_are_stored_or_dead_lettered_as_documented_and_none_stops_the_stream() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    let oddities = oddities();
    let mut records = Vec::new();
    for (number, (value, _)) in oddities.iter().enumerate() {
        records.push(Record::new(value.clone()).at(1_600_000_000_000));
        records.push(Record::new(event(0, number)));
    }
    stage.send(&records);
    let service = stage.service(&[]);
    stage.wait_until_caught_up(&service, SOON);
    wait_until_ready(&service, SOON);

    let documents = stage.documents();
    let stored: BTreeMap<&str, &Value> =
        documents.iter().map(|document| (document["id"].as_str().unwrap(), document)).collect();
    assert_eq!(stored.len(), documents.len(), "no id twice");
    let letters: BTreeMap<usize, _> = stage
        .letters()
        .into_iter()
        .map(|letter| (letter.header("streamproc-offset").unwrap().parse().unwrap(), letter))
        .collect();
    let mut count = oddities.len();
    for (number, (value, becomes)) in oddities.iter().enumerate() {
        let sent = String::from_utf8_lossy(value);
        let letter = letters.get(&(2 * number));
        match becomes {
            Stored(id, fields) => {
                count += 1;
                assert!(letter.is_none(), "{sent}: {letter:?}");
                let document = stored.get(id).unwrap_or_else(|| panic!("{sent} is not stored"));
                for (name, expected) in fields.as_object().unwrap() {
                    assert!(
                        document.get(name).is_some_and(|found| same(found, expected)),
                        "{sent}: {document}"
                    );
                }
                assert!(document["processedAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{document}");
                assert!(document["_etag"] != "e" && document["_rid"] != "r", "{document}");
            }
            Dead(reason) => {
                let letter = letter.unwrap_or_else(|| panic!("{sent} is not in the dead letters"));
                assert_eq!(letter.header("streamproc-reason").as_deref(), Some(*reason), "{sent}");
                assert_eq!(letter.value.as_deref(), Some(value.as_slice()), "{sent}");
            }
        }
    }
    assert_eq!(documents.len(), count, "and the good ones, and nothing else");
    stop(&service);
}

#[test]
fn events_of_a_container_with_a_hierarchical_partition_key_are_stored_once_each() {
    let paths = ["/tenant", "/place/site", "/deviceId"];
    let stage = Stage::new(Layout {
        partitions: 2,
        partition_key: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Layout::default()
    });
    let event = |tenant: &str, site: &str, device: &str, id: &str| {
        format!(r#"{{"eventId":"{id}","tenant":{tenant},"place":{{"site":{site}}},"deviceId":{device}}}"#)
    };
    let keys = [
        (r#""a""#, r#""x""#, r#""1""#),
        (r#""a""#, r#""x""#, r#""2""#),
        (r#""a""#, r#""y""#, r#""1""#),
        (r#""b""#, "1", "true"),
        (r#""b""#, "null", "-2.5"),
    ];
    // The same id under five keys is five documents; sent twice, it is still five.
    let records: Vec<Record> = (0..2)
        .flat_map(|_| keys)
        .enumerate()
        .map(|(number, (tenant, site, device))| {
            let partition = i32::try_from(number % keys.len() % 2).unwrap();
            Record::new(event(tenant, site, device, "same")).to(partition)
        })
        .collect();
    stage.send(&records);
    stage.send(&[
        Record::new(r#"{"eventId":"1","tenant":"a","place":{},"deviceId":"1"}"#).to(0),
        Record::new(r#"{"eventId":"1","tenant":"a","place":"x","deviceId":"1"}"#).to(1),
        Record::new(event(r#""a""#, "{}", r#""1""#, "1")).to(0),
    ]);
    let key = r#"partition_key = ["tenant", "place/site", "deviceId"]"#;
    let service = stage.service(&[("event", key)]);
    stage.wait_until_caught_up(&service, SOON);
    wait_until_ready(&service, SOON);

    let mut found: Vec<_> = stage
        .documents()
        .iter()
        .map(|document| {
            assert_eq!(document["id"], "same", "{document}");
            (document["tenant"].clone(), document["place"]["site"].clone(), document["deviceId"].clone())
        })
        .collect();
    found.sort_by_key(|key| format!("{key:?}"));
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let mut expected: Vec<_> = keys.iter().map(|(a, b, c)| (parse(a), parse(b), parse(c))).collect();
    expected.sort_by_key(|key| format!("{key:?}"));
    assert_eq!(found, expected);
    let mut reasons: Vec<_> =
        stage.letters().iter().map(|letter| letter.header("streamproc-reason").unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["invalid_partition_key", "missing_partition_key", "missing_partition_key"]);
}
