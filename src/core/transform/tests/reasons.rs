//! Why an event is not stored: every reason, and the border on both sides of it.

use super::*;
use crate::config::{Tombstone, Ttl};
use crate::core::transform::MAX_BODY_BYTES;

#[test]
fn a_record_without_a_value_is_refused_or_skipped_as_configured() {
    let rules = with(|_| ());
    let refused = decode(&rules, None, None, &rules.stamp(0)).unwrap_err();
    assert_eq!(refused.reason, Reason::Tombstone);
    let rules = with(|event| event.tombstone = Tombstone::Skip);
    assert!(matches!(decode(&rules, None, None, &rules.stamp(0)), Ok(Decoded::Skipped)));
    assert_eq!(reason(&rules, ""), Reason::InvalidJson, "an empty value is no tombstone");
}

#[test]
fn every_reason_has_its_events() {
    let rules = with(|_| ());
    let deep = |depth: usize| {
        format!(r#"{{"eventId":1,"deviceId":2,"x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    let long_id = format!(r#"{{"eventId":"{}","deviceId":1}}"#, "é".repeat(512));
    let long_key = format!(r#"{{"eventId":1,"deviceId":"{}"}}"#, "x".repeat(2049));
    assert!(decode_with(&rules, deep(128).as_bytes()).is_ok());
    for (expected, events) in [
        (
            Reason::InvalidJson,
            &[
                "",
                " ",
                "\n\t",
                "\u{feff}",
                "\u{feff}\u{feff}{}",
                "{",
                "{}{}",
                "{\"a\":01}",
                "nul",
                "{\"a\":\"\t\"}",
            ][..],
        ),
        (Reason::NotAnObject, &["[]", "[{}]", "1", "\"x\"", "null", " true "]),
        (Reason::TooDeep, &[&deep(129), &"[".repeat(10_000), &"{\"a\":".repeat(129)]),
        (Reason::NumberOutOfRange, &["1e400", r#"{"eventId":1,"deviceId":2,"x":[{"y":-1e309}]}"#]),
        (
            Reason::DuplicateField,
            &[
                r#"{"eventId":1,"eventId":1,"deviceId":2}"#,
                r#"{"eventId":1,"deviceId":2,"event\u0049d":1}"#,
                r#"{"eventId":1,"deviceId":2,"deviceId":3}"#,
                r#"{"eventId":1,"deviceId":2,"createdAt":null,"createdAt":null}"#,
                r#"{"eventId":1,"deviceId":2,"enqueuedAt":1,"enqueuedAt":2}"#,
                r#"{"eventId":1,"deviceId":2,"processedAt":1,"processedAt":2}"#,
            ],
        ),
        (
            Reason::MissingId,
            &[
                "{}",
                r#"{"deviceId":1}"#,
                r#"{"EventId":1,"deviceId":1}"#,
                r#"{"x":{"eventId":1},"deviceId":1}"#,
            ],
        ),
        (
            Reason::InvalidId,
            &[
                r#"{"eventId":null,"deviceId":1}"#,
                r#"{"eventId":true,"deviceId":1}"#,
                r#"{"eventId":{},"deviceId":1}"#,
                r#"{"eventId":[1],"deviceId":1}"#,
                r#"{"eventId":"","deviceId":1}"#,
                r#"{"eventId":"a/b","deviceId":1}"#,
                r#"{"eventId":"a\u002fb","deviceId":1}"#,
                r#"{"eventId":"a\\b","deviceId":1}"#,
                r#"{"eventId":"a?b","deviceId":1}"#,
                r#"{"eventId":"a#b","deviceId":1}"#,
                r#"{"eventId":".","deviceId":1}"#,
                r#"{"eventId":"\u002e.","deviceId":1}"#,
                r#"{"eventId":"\ud800","deviceId":1}"#,
                r#"{"eventId":1.0,"deviceId":1}"#,
                r#"{"eventId":1e3,"deviceId":1}"#,
                r#"{"eventId":-0.0,"deviceId":1}"#,
                r#"{"eventId":9007199254740993,"deviceId":1}"#,
                r#"{"eventId":-9007199254740993,"deviceId":1}"#,
                r#"{"eventId":123456789012345678901234567890,"deviceId":1}"#,
                &long_id,
            ],
        ),
        (Reason::MissingPartitionKey, &[r#"{"eventId":1}"#, r#"{"eventId":1,"device":{"deviceId":1}}"#]),
        (
            Reason::InvalidPartitionKey,
            &[
                r#"{"eventId":1,"deviceId":{}}"#,
                r#"{"eventId":1,"deviceId":["a"]}"#,
                r#"{"eventId":1,"deviceId":"\udfff"}"#,
                &long_key,
            ],
        ),
        (Reason::InvalidTimestamp, &[r#"{"eventId":1,"deviceId":2,"createdAt":"now"}"#]),
    ] {
        for event in events {
            assert_eq!(reason(&rules, event), expected, "{event}");
        }
    }
    for value in [&b"\xff"[..], b"{\"a\":\"\xc3\"}", b"\xff\xfe{\0}\0", b"{\"\xed\xa0\x80\":1}", b"{} \xc3"] {
        assert_eq!(reason(&rules, value), Reason::InvalidUtf8, "{value:?}");
    }
}

#[test]
fn the_way_to_a_partition_key_must_be_there_once_and_be_objects() {
    let rules = with(|event| event.partition_key = names(&["/site/device/id"]));
    for (event, expected) in [
        (r#"{"eventId":1}"#, Reason::MissingPartitionKey),
        (r#"{"eventId":1,"site":{}}"#, Reason::MissingPartitionKey),
        (r#"{"eventId":1,"site":[{"device":{"id":1}}]}"#, Reason::MissingPartitionKey),
        (r#"{"eventId":1,"site":"x"}"#, Reason::MissingPartitionKey),
        (r#"{"eventId":1,"site":{"device":null}}"#, Reason::MissingPartitionKey),
        (r#"{"eventId":1,"site":{"device":{"ID":1}},"device":{"id":1},"id":1}"#, Reason::MissingPartitionKey),
        (r#"{"eventId":1,"site":{"device":{"id":[]}}}"#, Reason::InvalidPartitionKey),
        (r#"{"eventId":1,"site":{"device":{"id":1}},"site":0}"#, Reason::DuplicateField),
        (r#"{"eventId":1,"site":0,"site":{"device":{"id":1}}}"#, Reason::DuplicateField),
        (r#"{"eventId":1,"site":{"device":{"id":1},"device":{}}}"#, Reason::DuplicateField),
        (r#"{"eventId":1,"site":{"device":{"id":1,"i\u0064":2}}}"#, Reason::DuplicateField),
        (r#"{"eventId":1,"site":{"device":{"id":1}"#, Reason::InvalidJson),
    ] {
        assert_eq!(reason(&rules, event), expected, "{event}");
    }
    // The same names elsewhere are nobody's business.
    let event =
        r#"{"eventId":1,"x":{"id":1,"id":2},"site":{"id":1,"id":2,"device":{"id":"a","x":{"id":1}}}}"#;
    assert_eq!(decode_with(&rules, event.as_bytes()).unwrap().key.0.len(), 1);
}

#[test]
fn a_ttl_is_refused_or_kept_as_configured() {
    let event = r#"{"eventId":1,"deviceId":2,"ttl":60}"#;
    let twice = r#"{"eventId":1,"deviceId":2,"ttl":60,"t\u0074l":null}"#;
    assert!(body(&with(|_| ()), event).contains(r#""ttl":60"#));
    assert!(body(&with(|_| ()), twice).contains(r#""ttl":60,"t\u0074l":null"#));
    let refusing = with(|event| event.ttl = Ttl::Refuse);
    assert_eq!(reason(&refusing, event), Reason::Ttl);
    assert_eq!(reason(&refusing, twice), Reason::Ttl);
    assert!(decode_with(&refusing, br#"{"eventId":1,"deviceId":2,"x":{"ttl":60}}"#).is_ok());
}

#[test]
fn a_document_is_too_large_when_its_body_is() {
    assert_eq!(MAX_BODY_BYTES, 2_097_152);
    let rules = with(|_| ());
    let event = |filler: usize| format!(r#"{{"eventId":1,"deviceId":2,"x":"{}"}}"#, "x".repeat(filler));
    let around = decode_with(&rules, event(0).as_bytes()).unwrap().body_len();
    let largest = event(MAX_BODY_BYTES - around);
    assert_eq!(body(&rules, &largest).len(), MAX_BODY_BYTES);
    assert_eq!(reason(&rules, event(MAX_BODY_BYTES - around + 1)), Reason::TooLarge);
    // What is left out does not count.
    let large_event = format!(r#"{{"eventId":1,"deviceId":2,"id":"{}"}}"#, "x".repeat(MAX_BODY_BYTES));
    assert!(decode_with(&rules, large_event.as_bytes()).is_ok());
}

/// Each event has everything wrong from its step on; mending one thing after the other walks the table.
#[test]
fn the_first_step_of_the_table_that_fails_names_the_reason() {
    let rules = with(|event| {
        event.ttl = Ttl::Refuse;
        event.partition_key = names(&["deviceId", "seenAt"]);
        event.timestamps = names(&["createdAt", "seenAt"]);
    });
    let padding = "x".repeat(MAX_BODY_BYTES);
    for (expected, event) in [
        (Reason::InvalidJson, r#"{"eventId":1,"eventId":null,"x":],"y":1e400"#.to_owned()),
        (Reason::NumberOutOfRange, r#"{"eventId":1,"eventId":null,"y":1e400,"x":]"#.to_owned()),
        (Reason::TooDeep, format!(r#"{{"eventId":1,"eventId":null,"x":{}1e400]"#, "[".repeat(128))),
        (
            Reason::NumberOutOfRange,
            format!(r#"{{"eventId":1,"eventId":null,"y":1e400,"x":{}"#, "[".repeat(128)),
        ),
        (Reason::InvalidJson, "[1e40] {".to_owned()),
        (Reason::NotAnObject, "[1e40] ".to_owned()),
        (Reason::DuplicateField, format!(r#"{{"createdAt":"x","createdAt":1,"ttl":1,"p":"{padding}"}}"#)),
        (Reason::MissingId, format!(r#"{{"createdAt":"x","ttl":1,"p":"{padding}"}}"#)),
        (Reason::InvalidId, format!(r#"{{"eventId":null,"createdAt":"x","ttl":1,"p":"{padding}"}}"#)),
        (
            Reason::MissingPartitionKey,
            format!(r#"{{"eventId":1,"seenAt":[],"createdAt":"x","ttl":1,"p":"{padding}"}}"#),
        ),
        (
            Reason::InvalidPartitionKey,
            format!(r#"{{"eventId":1,"deviceId":[],"seenAt":[],"createdAt":"x","ttl":1,"p":"{padding}"}}"#),
        ),
        (
            Reason::InvalidTimestamp,
            format!(r#"{{"eventId":1,"deviceId":2,"seenAt":[],"createdAt":"x","ttl":1,"p":"{padding}"}}"#),
        ),
        (
            Reason::Ttl,
            format!(r#"{{"eventId":1,"deviceId":2,"seenAt":0,"createdAt":"x","ttl":1,"p":"{padding}"}}"#),
        ),
        (
            Reason::InvalidTimestamp,
            format!(r#"{{"eventId":1,"deviceId":2,"seenAt":0,"createdAt":"x","p":"{padding}"}}"#),
        ),
        (
            Reason::TooLarge,
            format!(r#"{{"eventId":1,"deviceId":2,"seenAt":0,"createdAt":0,"p":"{padding}"}}"#),
        ),
    ] {
        assert_eq!(reason(&rules, &event), expected, "{}", event.chars().take(120).collect::<String>());
    }
    assert_eq!(reason(&rules, b"{\"eventId\":1e400,]\xff"), Reason::InvalidUtf8);
}

#[test]
fn the_detail_says_what_was_found_and_where() {
    let rules = with(|_| ());
    for (event, detail) in [
        (r#"{"eventId" 1}"#, "byte 11: expected ':' after a name, found 1}"),
        (r#"{"eventId":1,"#, "byte 13: expected a name in quotation marks, found the end"),
        ("\u{feff}{\"a\":tru\n\u{1b}}", "byte 8: expected a value, found tru\\n\\u{1b}}"),
        ("[1e400 ]", "byte 1: no double can hold 1e400"),
        ("7", "the value is the number 7"),
        (r#"{"eventId":1,"deviceId":2,"eventId":3}"#, "\"eventId\" stands a second time at byte 26"),
        (
            r#"{"eventId":1,"eventId":2,"deviceId":2,"deviceId":3,"eventId":3}"#,
            "\"eventId\" stands a second time at byte 13",
        ),
        ("{}", "no field \"eventId\""),
        (r#"{"eventId":"a/b"}"#, "\"eventId\" holds '/': the string \"a/b\""),
        (r#"{"eventId":1.5}"#, "\"eventId\" is the number 1.5, not an integer within 2^53"),
        (r#"{"eventId":[]}"#, "\"eventId\" is an array, neither a string nor an integer"),
        (r#"{"eventId":1}"#, "no field at \"/deviceId\""),
        (r#"{"eventId":1,"deviceId":{}}"#, "\"/deviceId\" is an object"),
        (
            r#"{"eventId":1,"deviceId":2,"createdAt":"2019-02-29T00:00:00Z"}"#,
            "\"createdAt\" is the string \"2019-02-29T00:00:00Z\": no such date",
        ),
    ] {
        assert_eq!(bad(&rules, event).detail, detail, "{event}");
    }
    assert_eq!(bad(&rules, b"{\xff").detail, "byte 1: 0xff is not UTF-8 there");
    assert_eq!(bad(&rules, b"{}\xe2\x82").detail, "byte 2: the value ends inside a character");
}

#[test]
fn the_detail_quotes_little_and_on_one_line() {
    let rules = with(|_| ());
    let long = "\u{7}\n\u{2028}é".repeat(1000);
    for event in [
        format!("{{{long}"),
        "\u{15}".repeat(1000),
        format!(r#"{{"eventId":"?{}"}}"#, "é".repeat(500)),
        format!(r#"{{"eventId":1,"deviceId":2,"createdAt":"{}"}}"#, "x\u{7f}\u{2028}".repeat(500)),
        format!("[1{}e400]", "0".repeat(1000)),
        format!("1{}", "0".repeat(300)),
        format!("\"{}\"", "é".repeat(500)),
    ] {
        let detail = bad(&rules, &event).detail;
        assert!(detail.ends_with('…') || detail.contains('…'), "{detail}");
        assert!(!detail.contains(|c: char| c.is_control() || c == '\u{2028}'), "{detail:?}");
        assert!(detail.chars().count() < 200, "{detail}");
    }
}
