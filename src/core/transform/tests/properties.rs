//! Anything at all, against the model.

use proptest::prelude::*;

use super::*;
use crate::config::{EpochUnit, Precision};
use model::configurations;

fn pick(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(of).prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => pick(&["\"eventId\"", "\"deviceId\"", "\"createdAt\"", "\"id\"", "\"value\"", "\"device\"", "\"site\"", "\"name\"", "\"seenAt\""]),
        3 => pick(&["\"enqueuedAt\"", "\"processedAt\"", "\"_ts\"", "\"_rid\"", "\"ttl\"", "\"_lsn\"", "\"a \\n\"", "\"é\\\\\""]),
        2 => pick(&["\"event\\u0049d\"", "\"\\u0069d\"", "\"\\u005fts\"", "\"\\ud800\"", "\"\"", "\"\\u00e9\\u005c\""]),
        2 => "\"[a-z]{1,12}\"",
    ]
}

fn timestamp() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "\"20[0-9]{2}-(0[1-9]|1[0-2])-[012][1-8]( |T)(0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,12})?(|Z|[+-]0[0-9]:[0-5]0)\"",
        2 => "\"(19|20)[0-9]{2}-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])[Tt ]([01][0-9]|2[0-4]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]{1,12})?(|Z|z|[+-][0-2][0-9]:[0-6][0-9])\"",
        1 => "\"[0-9]{4}-(12-31|06-30|03-01)T[0-9]{2}:[0-5]9:60(\\.[0-9])?[+-](0[0-9]|1[0-9]|2[0-3]):([0-5]0|[0-2]9)\"",
        1 => "\"(0000-01-01|9999-12-31)T(00|23):(00|59):(00|59)(\\.9{1,10})?[+-]0[0-3]:[0-5][0-9]\"",
        1 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?",
        4 => "-?[1-9][0-9]{8,10}(\\.[0-9]{1,3})?",
    ]
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "\"[a-zA-Z0-9-]{1,12}\"",
        1 => any::<String>().prop_map(|string| serde_json::to_string(&string).unwrap()),
        1 => pick(&["\"\\ud800\"", "\"\\ud83d\\ude00\"", "\"a\\/b\"", "\"\"", "\"\\u0000\"", "\"a?\""]),
        3 => any::<i32>().prop_map(|number| number.to_string()),
        1 => pick(&["-0", "0.0", "9007199254740992", "9007199254740993", "-9007199254740992", "1e5", "1e400", "1E-400", "123456789012345678901234567890"]),
        2 => timestamp(),
        2 => pick(&["null", "true", "false"]),
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", "", "", " ", "\r\n\t "][..])
}

fn object(
    value: impl Strategy<Value = String>,
    members: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    let member = (space(), name(), space(), space(), value, space())
        .prop_map(|(s1, name, s2, s3, value, s4)| format!("{s1}{name}{s2}:{s3}{value}{s4}"));
    prop::collection::vec(member, members).prop_map(|members| format!("{{{}}}", members.join(",")))
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        let array =
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(" ,")));
        prop_oneof![object(inner, 0..4), array]
    })
}

/// An event that has what every configuration asks for, and whatever else, in any order.
fn event() -> impl Strategy<Value = String> {
    let scalar = || scalar().boxed();
    let wanted = (scalar(), scalar(), scalar(), timestamp(), timestamp(), scalar(), scalar()).prop_map(
        |(event_id, device_id, value, created_at, seen_at, site, device)| {
            vec![
                format!("\"eventId\":{event_id}"),
                format!("\"deviceId\":{device_id}"),
                format!("\"value\":{value}"),
                format!("\"createdAt\" : {created_at}"),
                format!("\"seenAt\":{seen_at}"),
                format!("\"id\":{event_id}"),
                format!("\"a \\n\":{site}"),
                format!("\"device\":{{\"site\":{{\"x\":[],\"name\":{site}}} , \"id\": {device}}}"),
            ]
        },
    );
    let extra = (name(), space(), value()).prop_map(|(name, space, value)| format!("{name}{space}:{value}"));
    (wanted, prop::collection::vec(extra, 0..3), any::<prop::sample::Index>(), 0..4_usize, space())
        .prop_flat_map(|(mut members, extra, drop, drops, space)| {
            if drops == 0 {
                members.remove(drop.index(members.len()));
            }
            members.extend(extra);
            (Just(members).prop_shuffle(), Just(space))
        })
        .prop_map(|(members, space)| {
            format!("{space}{{{space}{}{space}}}{space}", members.join(&format!("{space},")))
        })
}

/// Damage of the kind that wires, disks and people do.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Cut(prop::sample::Index),
    Replace(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        Just(Damage::None),
        place().prop_map(Damage::Cut),
        (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        place().prop_map(Damage::Remove),
        (place(), place()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn damaged(event: &str, damage: &Damage) -> Vec<u8> {
    let mut bytes = event.as_bytes().to_vec();
    match damage {
        Damage::None => {}
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Replace(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Damage::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        Damage::Repeat(from, to) => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let piece = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(to..to, piece);
        }
    }
    bytes
}

fn agrees(value: &[u8]) -> Result<(), TestCaseError> {
    for event in configurations() {
        model::check(&event, value, Some(ENQUEUED_MILLIS), PROCESSED_NANOS).map_err(TestCaseError::fail)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_event_becomes_what_the_model_says(event in event()) {
        agrees(event.as_bytes())?;
    }

    #[test]
    fn a_damaged_event_becomes_what_the_model_says(event in event(), damage in damage()) {
        agrees(&damaged(&event, &damage))?;
    }

    #[test]
    fn any_object_becomes_what_the_model_says(event in object(value(), 0..8)) {
        agrees(event.as_bytes())?;
    }

    #[test]
    fn any_bytes_become_what_the_model_says(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        agrees(&bytes)?;
    }

    #[test]
    fn any_timestamp_becomes_what_the_model_says(
        value in timestamp(),
        precision in prop::sample::select(&[Precision::Millis, Precision::Micros, Precision::Nanos][..]),
        unit in prop::sample::select(&[EpochUnit::Seconds, EpochUnit::Millis, EpochUnit::Micros, EpochUnit::Nanos][..]),
        millis in any::<Option<i64>>(),
        nanos in any::<i64>(),
    ) {
        let event = Event { timestamp_precision: precision, epoch_unit: unit, ..Event::default() };
        let value = format!(r#"{{"eventId":"a","deviceId":1,"createdAt":{value}}}"#);
        model::check(&event, value.as_bytes(), millis, i128::from(nanos)).map_err(TestCaseError::fail)?;
    }
}

/// Properties prove little about documents if hardly any event becomes one.
#[test]
fn the_generator_makes_both_documents_and_bad_events() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    for configuration in configurations() {
        let rules = Rules::compile(&configuration).unwrap();
        let stored = (0..500)
            .filter(|_| {
                let event = event().new_tree(&mut runner).unwrap().current();
                decode_with(&rules, event.as_bytes()).is_ok()
            })
            .count();
        assert!((100..400).contains(&stored), "{stored} of 500 became documents: {configuration:?}");
    }
}
