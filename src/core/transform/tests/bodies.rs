//! What the document looks like, byte for byte.

use super::*;
use crate::core::key::KeyPart;
use crate::core::transform::SYSTEM_FIELDS;

const TAIL: &str = r#","enqueuedAt":"2019-05-16T17:16:40.000Z","processedAt":"2019-05-16T17:16:41.250Z"}"#;

#[test]
fn the_samples_event_becomes_the_samples_document() {
    let value = concat!(
        r#"{"eventId":"4fa25e6c-50d3-4189-9613-d486b71412df","complexData":{"moreData0":45.80967678165356},"#,
        r#""value":45.80967678165356,"type":"CO2","deviceId":"contoso-device-id-154","deviceSequenceNumber":124,"#,
        r#""createdAt":"2019-05-16T17:16:39.123456+00:00"}"#
    );
    let expected = concat!(
        r#"{"id":"4fa25e6c-50d3-4189-9613-d486b71412df","eventId":"4fa25e6c-50d3-4189-9613-d486b71412df","#,
        r#""complexData":{"moreData0":45.80967678165356},"value":45.80967678165356,"type":"CO2","#,
        r#""deviceId":"contoso-device-id-154","deviceSequenceNumber":124,"createdAt":"2019-05-16T17:16:39.123Z","#,
        r#""enqueuedAt":"2019-05-16T17:16:40.000Z","processedAt":"2019-05-16T17:16:41.250Z"}"#
    );
    assert_eq!(body(&with(|_| ()), value), expected);
}

#[test]
fn members_go_and_stay_wherever_they_stand() {
    for (event, kept) in [
        (r#"{"eventId":1,"deviceId":2}"#, r#""eventId":1,"deviceId":2"#),
        (r#"{"id":0,"eventId":1,"deviceId":2}"#, r#""eventId":1,"deviceId":2"#),
        (r#"{"eventId":1,"id":0,"deviceId":2}"#, r#""eventId":1,"deviceId":2"#),
        (r#"{"eventId":1,"deviceId":2,"id":0}"#, r#""eventId":1,"deviceId":2"#),
        (
            r#"{"id":[],"eventId":1,"id":{"id":3},"id":"x","deviceId":2,"id":null}"#,
            r#""eventId":1,"deviceId":2"#,
        ),
        (
            r#"{"_ts":1,"eventId":1,"enqueuedAt":0,"deviceId":2,"processedAt":{}}"#,
            r#""eventId":1,"deviceId":2"#,
        ),
        ("\t{ \"eventId\" : 1 ,\r\n \"deviceId\":2 } \n", "\"eventId\" : 1 ,\r\n \"deviceId\":2"),
        (
            "{ \"id\" : 1 , \"eventId\" : 1 , \"_rid\" : [ ] , \"deviceId\" : 2 }",
            "\"eventId\" : 1,\"deviceId\" : 2",
        ),
        ("\u{feff}{\"eventId\":1,\"deviceId\":2}", r#""eventId":1,"deviceId":2"#),
    ] {
        assert_eq!(body(&with(|_| ()), event), format!(r#"{{"id":"1",{kept}{TAIL}"#), "{event}");
    }
}

#[test]
fn an_event_of_nothing_but_its_id_leaves_nothing_but_what_is_added() {
    let rules = with(|event| {
        event.id = "id".into();
        event.partition_key = names(&["/id"]);
    });
    assert_eq!(body(&rules, r#"{"id":"x"}"#), format!(r#"{{"id":"x"{TAIL}"#));
    assert_eq!(body(&rules, " { \"\\u0069d\" : -0 } "), format!(r#"{{"id":"0"{TAIL}"#));
    let bare = with(|event| {
        (event.id, event.partition_key) = ("id".into(), names(&["id"]));
        (event.enqueued_at, event.processed_at) = (String::new(), String::new());
    });
    assert_eq!(body(&bare, r#"{"id":"x"}"#), r#"{"id":"x"}"#);
    assert_eq!(body(&bare, r#"{"enqueuedAt":1,"id":"x","_lsn":1}"#), r#"{"id":"x","enqueuedAt":1}"#);
}

#[test]
fn what_is_not_named_passes_byte_for_byte() {
    let others = [
        r#""n":1.0e0"#,
        r#""n":-0.0"#,
        r#""n":12345678901234567890123.4567890123456789"#,
        r#""n":1e-400"#,
        r#""s":"\u00e9\/\ud800 é""#,
        r#""o":{"id":1,"id":2,"_ts":3,"createdAt":"x","eventId":[]}"#,
        r#""a":[ 1 ,2,	3 ]"#,
        r#""x":1,"x":2"#,
        r#""ttl":60,"ttl":61"#,
        r#""ID":1,"EventId":2,"_TS":3"#,
        r#""":"""#,
        r#""\ud800":1"#,
    ];
    for other in others {
        let event = format!(r#"{{"eventId":1,{other},"deviceId":2}}"#);
        assert_eq!(
            body(&with(|_| ()), &event),
            format!(r#"{{"id":"1",{}{TAIL}"#, &event[1..event.len() - 1])
        );
    }
}

#[test]
fn names_are_the_characters_they_mean() {
    let event = r#"{"\u0065ventId":"a","device\u0049d":"b","\u0069d":1,"\u005fts":2,"created\u0041t":0}"#;
    let document = decode_with(&with(|_| ()), event.as_bytes()).unwrap();
    assert_eq!((&*document.id.0, document.removed_system_fields()), ("a", 1));
    let expected =
        r#"{"id":"a","\u0065ventId":"a","device\u0049d":"b","created\u0041t":"1970-01-01T00:00:00.000Z""#;
    assert_eq!(body_of(&document, event.as_bytes()), format!("{expected}{TAIL}"));
}

#[test]
fn names_of_the_configuration_are_written_as_json() {
    let rules = with(|event| {
        event.id = "the \"id\"".into();
        event.enqueued_at = "a\nb".into();
        event.processed_at = "é\\".into();
    });
    let event = r#"{"the \"id\"":"x\u0022\u0001y\n","deviceId":1,"a\u000ab":0,"\u00e9\\":0}"#;
    let expected = concat!(
        r#"{"id":"x\"\u0001y\n","the \"id\"":"x\u0022\u0001y\n","deviceId":1,"#,
        r#""a\nb":"2019-05-16T17:16:40.000Z","é\\":"2019-05-16T17:16:41.250Z"}"#
    );
    assert_eq!(body(&rules, event), expected);
}

#[test]
fn every_system_field_is_left_out_and_counted_but_only_at_the_top() {
    let rules = with(|_| ());
    let fields = SYSTEM_FIELDS.map(|name| format!("\"{name}\":{{\"{name}\":1}},")).concat();
    let event = format!(r#"{{"eventId":1,{fields}"_ts":9,"o":{{"_ts":1}},"deviceId":2}}"#);
    let document = decode_with(&rules, event.as_bytes()).unwrap();
    assert_eq!(document.removed_system_fields(), 7);
    let expected = format!(r#"{{"id":"1","eventId":1,"o":{{"_ts":1}},"deviceId":2{TAIL}"#);
    assert_eq!(body_of(&document, event.as_bytes()), expected);
}

#[test]
fn the_records_timestamp_is_null_when_there_is_none_that_can_be_written() {
    let rules = with(|event| event.processed_at = String::new());
    for (millis, expected) in [
        (None, "null"),
        (Some(0), "\"1970-01-01T00:00:00.000Z\""),
        (Some(-1), "\"1969-12-31T23:59:59.999Z\""),
        (Some(253_402_300_799_999), "\"9999-12-31T23:59:59.999Z\""),
        (Some(253_402_300_800_000), "null"),
        (Some(-62_167_219_200_000), "\"0000-01-01T00:00:00.000Z\""),
        (Some(-62_167_219_200_001), "null"),
        (Some(i64::MAX), "null"),
        (Some(i64::MIN), "null"),
    ] {
        let event = br#"{"eventId":1,"deviceId":2}"#;
        let decoded = decode(&rules, Some(event), millis, &rules.stamp(PROCESSED_NANOS)).unwrap();
        let Decoded::Document(document) = decoded else { panic!("skipped") };
        let expected = format!(r#"{{"id":"1","eventId":1,"deviceId":2,"enqueuedAt":{expected}}}"#);
        assert_eq!(body_of(&document, event), expected, "{millis:?}");
    }
}

#[test]
fn ids_are_strings_and_integers() {
    let longest = "é".repeat(511) + "x";
    let quoted = format!("\"{longest}\"");
    for (value, id) in [
        (r#""a""#, "a"),
        (r#"" ""#, " "),
        (r#""\u0041\ud83d\ude00""#, "A😀"),
        (&quoted, &longest),
        ("0", "0"),
        ("-0", "0"),
        ("-7", "-7"),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740992", "-9007199254740992"),
    ] {
        let event = format!(r#"{{"deviceId":1,"eventId":{value}}}"#);
        let document = decode_with(&with(|_| ()), event.as_bytes()).unwrap();
        assert_eq!(&*document.id.0, id);
        let parsed: serde_json::Value = serde_json::from_str(&body_of(&document, event.as_bytes())).unwrap();
        assert_eq!(parsed["id"], id);
    }
}

fn string(value: &str) -> KeyPart {
    KeyPart::String(value.into())
}

#[test]
fn partition_keys_are_what_the_document_has_at_the_paths() {
    let longest = format!("\"{}\"", "x".repeat(2048));
    let rules = with(|event| event.partition_key = names(&["deviceId"]));
    for (value, part) in [
        (r#""a\u0062/c""#, string("ab/c")),
        (r#""""#, string("")),
        (longest.as_str(), string(&"x".repeat(2048))),
        ("1.50", KeyPart::Number(1.5)),
        ("-0.0", KeyPart::Number(0.0)),
        ("-1e-400", KeyPart::Number(0.0)),
        ("12345678901234567890", KeyPart::Number(12_345_678_901_234_567_000.0)),
        ("true", KeyPart::Bool(true)),
        ("false", KeyPart::Bool(false)),
        ("null", KeyPart::Null),
    ] {
        let event = format!(r#"{{"eventId":"e","deviceId":{value}}}"#);
        assert_eq!(decode_with(&rules, event.as_bytes()).unwrap().key.0[..], [part], "{value}");
    }

    let rules = with(|event| event.partition_key = names(&["/site/device/id", "id", "site/name"]));
    let event = br#"{"eventId":7,"site":{"x":[{}],"name":"n","device":{"id":3,"ids":4}},"id":"not this"}"#;
    let parts = [KeyPart::Number(3.0), string("7"), string("n")];
    assert_eq!(decode_with(&rules, event).unwrap().key.0[..], parts);

    let rules = with(|event| event.partition_key = names(&["createdAt", "eventId"]));
    let event = br#"{"eventId":7,"createdAt":1.5}"#;
    let parts = [string("1970-01-01T00:00:00.001Z"), KeyPart::Number(7.0)];
    assert_eq!(decode_with(&rules, event).unwrap().key.0[..], parts);
    let event = br#"{"eventId":7,"createdAt":null}"#;
    assert_eq!(decode_with(&rules, event).unwrap().key.0[0], KeyPart::Null);
}
