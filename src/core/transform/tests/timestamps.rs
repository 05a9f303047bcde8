//! What becomes of a timestamp field.

use super::*;
use crate::config::{EpochUnit, Precision};

/// The stored form of a timestamp field's value.
fn stored(rules: &Rules, value: &str) -> Result<String, Reason> {
    let event = format!(r#"{{"eventId":"a","deviceId":1,"createdAt":{value}}}"#);
    let document = decode_with(rules, event.as_bytes()).map_err(|bad| bad.reason)?;
    let body = body_of(&document, event.as_bytes());
    let (_, after) = body.split_once("\"createdAt\":").unwrap();
    Ok(after.split_once(",\"enqueuedAt\"").unwrap().0.to_owned())
}

#[test]
fn strings_are_stored_in_utc_and_cut_off() {
    for (text, expected) in [
        ("2019-05-16T17:16:40Z", "2019-05-16T17:16:40.000Z"),
        ("2019-05-16t17:16:40z", "2019-05-16T17:16:40.000Z"),
        ("2019-05-16 17:16:40", "2019-05-16T17:16:40.000Z"),
        ("2019-05-16T17:16:40.1", "2019-05-16T17:16:40.100Z"),
        ("2019-05-16T17:16:40.999999999999Z", "2019-05-16T17:16:40.999Z"),
        ("2019-05-16T17:16:40.0009+00:00", "2019-05-16T17:16:40.000Z"),
        ("2019-05-16T19:16:40.5+02:00", "2019-05-16T17:16:40.500Z"),
        ("2019-05-16T00:16:40-00:00", "2019-05-16T00:16:40.000Z"),
        ("2019-12-31T23:30:00-00:45", "2020-01-01T00:15:00.000Z"),
        ("2020-03-01T00:30:00+23:59", "2020-02-29T00:31:00.000Z"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
        ("0000-02-29T00:00:00Z", "0000-02-29T00:00:00.000Z"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
        ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"),
        (r"2019\u002d05-16T17:16:40Z", "2019-05-16T17:16:40.000Z"),
        // Leap seconds, as POSIX time has them.
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("2016-12-31T23:59:60.5", "2017-01-01T00:00:00.500Z"),
        ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00.000Z"),
        ("2017-01-01T05:29:60+05:30", "2017-01-01T00:00:00.000Z"),
        ("2015-06-30T23:59:60Z", "2015-07-01T00:00:00.000Z"),
    ] {
        assert_eq!(
            stored(&with(|_| ()), &format!("\"{text}\"")).as_deref(),
            Ok(&*format!("\"{expected}\"")),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_timestamp_makes_a_bad_event() {
    for value in [
        r#""""#,
        r#""yesterday""#,
        r#""2019-05-16""#,
        r#""2019-05-16T17:16Z""#,
        r#"" 2019-05-16T17:16:40Z""#,
        r#""2019-05-16T17:16:40Z ""#,
        r#""2019-05-16T17:16:40 Z""#,
        r#""2019-05-16  17:16:40Z""#,
        r#""2019-05-16_17:16:40Z""#,
        r#""2019-5-16T17:16:40Z""#,
        r#""2019-05-16T17:16:40.Z""#,
        r#""2019-05-16T17:16:40,5Z""#,
        r#""2019-05-16T17:16:40+02""#,
        r#""2019-05-16T17:16:40+0200""#,
        r#""2019-05-16T17:16:40+24:00""#,
        r#""2019-05-16T17:16:40+00:60""#,
        r#""2019-05-16T17:16:40+2:000""#,
        r#""2019-05-16T17:16:40Z+00:00""#,
        r#""2019-05-16T24:00:00Z""#,
        r#""2019-05-16T17:60:00Z""#,
        r#""2019-05-16T17:16:61Z""#,
        r#""2019-02-29T00:00:00Z""#,
        r#""1900-02-29T00:00:00Z""#,
        r#""2019-00-01T00:00:00Z""#,
        r#""2019-13-01T00:00:00Z""#,
        r#""2019-01-00T00:00:00Z""#,
        r#""2019-04-31T00:00:00Z""#,
        r#""+019-05-16T17:16:40Z""#,
        r#""-0001-05-16T17:16:40Z""#,
        r#""12019-05-16T17:16:40Z""#,
        r#""0000-01-01T00:00:00+00:01""#,
        r#""9999-12-31T23:59:59-00:01""#,
        r#""9999-12-31T23:59:60Z""#,
        r#""2016-12-31T23:59:60+01:00""#,
        r#""2016-12-30T23:59:60Z""#,
        r#""2016-12-31T12:00:60Z""#,
        r#""２019-05-16T17:16:40Z""#,
        r#""2019-05-16T17:16:40.\ud800""#,
        r#""1558027000000""#,
        "true",
        "{}",
        "[]",
        "253402300800000",
        "-62167219200001",
        "1e300",
        "-1e300",
    ] {
        assert_eq!(stored(&with(|_| ()), value), Err(Reason::InvalidTimestamp), "{value}");
    }
}

#[test]
fn numbers_count_from_1970_in_the_configured_unit() {
    use EpochUnit::{Micros, Millis, Nanos, Seconds};
    for (unit, number, expected) in [
        (Millis, "1558027000123", "2019-05-16T17:16:40.123000000Z"),
        (Millis, "1558027000123.4567899", "2019-05-16T17:16:40.123456789Z"),
        (Seconds, "1558027000.123456789", "2019-05-16T17:16:40.123456789Z"),
        (Seconds, "1558027e3", "2019-05-16T17:16:40.000000000Z"),
        (Micros, "1558027000123456.7", "2019-05-16T17:16:40.123456700Z"),
        (Nanos, "1558027000123456789", "2019-05-16T17:16:40.123456789Z"),
        (Nanos, "1558027000123456789.9", "2019-05-16T17:16:40.123456789Z"),
        (Millis, "0", "1970-01-01T00:00:00.000000000Z"),
        (Millis, "-0.0", "1970-01-01T00:00:00.000000000Z"),
        (Millis, "1.5E+12", "2017-07-14T02:40:00.000000000Z"),
        (Millis, "15e-1", "1970-01-01T00:00:00.001500000Z"),
        (Nanos, "-1", "1969-12-31T23:59:59.999999999Z"),
        (Nanos, "-0.1", "1969-12-31T23:59:59.999999999Z"),
        (Nanos, "-1.0", "1969-12-31T23:59:59.999999999Z"),
        (Seconds, "-1e-300", "1969-12-31T23:59:59.999999999Z"),
        (Seconds, "1e-300", "1970-01-01T00:00:00.000000000Z"),
        (Seconds, "1e-99999999999999999999", "1970-01-01T00:00:00.000000000Z"),
        (Seconds, "0e99999999999999999999", "1970-01-01T00:00:00.000000000Z"),
        (Seconds, "0e300", "1970-01-01T00:00:00.000000000Z"),
        (Seconds, "0.0000000001e10", "1970-01-01T00:00:01.000000000Z"),
        (Millis, "253402300799999.999999", "9999-12-31T23:59:59.999999999Z"),
        (Millis, "-62167219200000", "0000-01-01T00:00:00.000000000Z"),
    ] {
        let rules = with(|event| (event.epoch_unit, event.timestamp_precision) = (unit, Precision::Nanos));
        assert_eq!(stored(&rules, number), Ok(format!("\"{expected}\"")), "{number} {unit:?}");
    }
}

#[test]
fn the_precision_cuts_off_towards_the_past() {
    for (precision, digits) in [(Precision::Millis, 3), (Precision::Micros, 6), (Precision::Nanos, 9)] {
        let rules =
            with(|event| (event.epoch_unit, event.timestamp_precision) = (EpochUnit::Nanos, precision));
        let cut = |text: &str| Ok(format!("\"{}Z\"", &text[..20 + digits]));
        assert_eq!(stored(&rules, "1999999999"), cut("1970-01-01T00:00:01.999999999"));
        assert_eq!(stored(&rules, "-1"), cut("1969-12-31T23:59:59.999999999"));
        assert_eq!(stored(&rules, "-1000000001"), cut("1969-12-31T23:59:58.999999999"));
        assert_eq!(
            stored(&rules, "\"1969-12-31T23:59:58.1234567891\""),
            cut("1969-12-31T23:59:58.123456789")
        );
    }
}

#[test]
fn null_stays_and_what_is_absent_stays_absent() {
    let rules = with(|event| event.timestamps = names(&["createdAt", "seenAt"]));
    assert_eq!(stored(&rules, "null"), Ok("null".into()));
    assert!(!body(&rules, r#"{"eventId":"a","deviceId":1}"#).contains("seenAt"));
    let both = body(&rules, r#"{"seenAt": 0 ,"eventId":"a","deviceId":1,"id":1,"createdAt" :1}"#);
    let expected = concat!(
        r#"{"id":"a","seenAt": "1970-01-01T00:00:00.000Z" ,"eventId":"a","deviceId":1,"#,
        r#""createdAt" :"1970-01-01T00:00:00.001Z","enqueuedAt""#
    );
    assert!(both.starts_with(expected), "{both}");
}

#[test]
fn a_clock_beyond_all_dates_stamps_null() {
    let rules = with(|_| ());
    for nanos in [i128::MIN, i128::MAX, 253_402_300_800_000_000_000] {
        let value = br#"{"eventId":"a","deviceId":1}"#;
        let Decoded::Document(document) = decode(&rules, Some(value), None, &rules.stamp(nanos)).unwrap()
        else {
            panic!("skipped")
        };
        assert!(body_of(&document, value).ends_with(r#""processedAt":null}"#));
    }
}
