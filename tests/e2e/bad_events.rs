//! Events that cannot be stored, among events that can: every reason there is, and what the dead letter
//! of each says.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use streamproc::core::reason::Reason;
use streamproc::sandbox::{Effect, Fault};

use crate::stage::held::{self, wait_until_ready};
use crate::stage::says::{ids, wait_for_commits};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::guard::Signal;
use crate::support::kafka::{Producer, Received, Record};

/// The device whose logical partition is full.
const FULL: &str = "full";

/// A value for each reason, but for those that are no value or too large for the table.
fn values() -> Vec<(Reason, Vec<u8>)> {
    let deep = format!(r#"{{"eventId":"deep","deviceId":"d","x":{}{}}}"#, "[".repeat(128), "]".repeat(128));
    let long = "x".repeat(2_049);
    let padding = "p".repeat(2 << 20);
    let table: [(Reason, &str); 15] = [
        (Reason::InvalidJson, ""),
        (Reason::InvalidJson, r#"{"eventId":"1","deviceId":"d""#),
        (Reason::NotAnObject, r#"[{"eventId":"1","deviceId":"d"}]"#),
        (Reason::TooDeep, &deep),
        (Reason::MissingId, r#"{"deviceId":"d"}"#),
        (Reason::InvalidId, r#"{"eventId":"a/b","deviceId":"d"}"#),
        (Reason::MissingPartitionKey, r#"{"eventId":"1"}"#),
        (Reason::InvalidPartitionKey, &format!(r#"{{"eventId":"1","deviceId":"{long}"}}"#)),
        (Reason::DuplicateField, r#"{"eventId":"1","deviceId":"d","eventId":"2"}"#),
        (Reason::InvalidTimestamp, r#"{"eventId":"1","deviceId":"d","createdAt":"yesterday"}"#),
        (Reason::NumberOutOfRange, r#"{"eventId":"1","deviceId":"d","value":1e400}"#),
        (Reason::TooLarge, &format!(r#"{{"eventId":"1","deviceId":"d","padding":"{padding}"}}"#)),
        (Reason::Ttl, r#"{"eventId":"1","deviceId":"d","ttl":60}"#),
        // The good event 0 of device 0 has this serial number.
        (Reason::RejectedByStore, r#"{"eventId":"clash","deviceId":"device-0","deviceSequenceNumber":0}"#),
        (Reason::PartitionKeyFull, &format!(r#"{{"eventId":"1","deviceId":"{FULL}"}}"#)),
    ];
    let mut values: Vec<_> = table.iter().map(|(reason, text)| (*reason, text.as_bytes().to_vec())).collect();
    values.push((Reason::InvalidUtf8, b"{\"eventId\":\"\xff\xfe\"}".to_vec()));
    values
}

/// What is sent besides, with headers of every kind.
fn bad(number: usize, value: Option<&[u8]>) -> Record {
    let key = format!("key {number}").into_bytes();
    let record = value.map_or_else(|| Record::tombstone(key.clone()), |v| Record::new(v).key(key.clone()));
    record
        .header("trace", Some(&[0xff, 0, number.to_le_bytes()[0]]))
        .header("none", None)
        .header("empty", Some(b""))
        .header("trace", Some(b"a second one of this name"))
        .at(1_600_000_000_000 + i64::try_from(number).unwrap())
        .to(0)
}

fn full_partition() -> Fault {
    let effect = Effect::Answer { status: 403, substatus: 1014, retry_after: None, after_work: false };
    Fault { partition_key: Some(FULL.to_owned()), ..Fault::new(effect) }
}

/// Everything that a letter has to say of the record that was sent as number `number` and lay at `offset`.
fn check(stage: &Stage, letter: &Received, number: usize, reason: Reason, value: Option<&[u8]>, offset: i64) {
    let said = |name: &str| letter.header(name);
    assert_eq!(letter.key.as_deref(), Some(format!("key {number}").as_bytes()), "{reason}");
    let theirs = [
        ("trace", Some(vec![0xff, 0, number.to_le_bytes()[0]])),
        ("none", None),
        ("empty", Some(Vec::new())),
        ("trace", Some(b"a second one of this name".to_vec())),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    assert_eq!(letter.headers[..4], theirs, "{reason}");
    let place = [
        ("streamproc-reason", reason.to_string()),
        ("streamproc-topic", stage.topic.clone()),
        ("streamproc-partition", "0".to_owned()),
        ("streamproc-offset", offset.to_string()),
        ("streamproc-timestamp", (1_600_000_000_000 + number).to_string()),
        ("streamproc-group", stage.group.clone()),
    ];
    for (name, expected) in place {
        assert_eq!(said(name), Some(expected), "{reason}: {name}");
    }
    assert!(!said("streamproc-error").unwrap().is_empty(), "{reason}");
    let status = match reason {
        Reason::RejectedByStore => Some(("409", "0")),
        Reason::PartitionKeyFull => Some(("403", "1014")),
        _ => None,
    };
    assert_eq!(said("streamproc-status").as_deref(), status.map(|(code, _)| code), "{reason}");
    assert_eq!(said("streamproc-substatus").as_deref(), status.map(|(_, substatus)| substatus), "{reason}");
    // The topic takes a megabyte.
    if let Some(value) = value.filter(|value| value.len() > 1 << 20) {
        assert_eq!(letter.value, None, "{reason}");
        assert_eq!(said("streamproc-value-omitted").as_deref(), Some("true"), "{reason}");
        assert_eq!(said("streamproc-value-bytes"), Some(value.len().to_string()), "{reason}");
        let digest = format!("{:x}", Sha256::digest(value));
        assert_eq!(said("streamproc-value-sha256"), Some(digest), "{reason}");
    } else {
        assert_eq!(letter.value.as_deref(), value, "{reason}: untouched");
        assert_eq!(said("streamproc-value-omitted"), None, "{reason}");
    }
}

#[test]
fn every_bad_event_goes_to_the_dead_letters_with_its_reason_and_the_good_ones_around_it_are_stored() {
    let stage = Stage::new(Layout {
        partitions: 1,
        topic_settings: &[("max.message.bytes", "20000000")],
        unique_keys: vec!["/deviceSequenceNumber".into()],
        ..Layout::default()
    });
    stage.cosmos().faults().add(full_partition());
    let mut bads: Vec<(Reason, Option<Vec<u8>>)> =
        values().into_iter().map(|(reason, value)| (reason, Some(value))).collect();
    bads.push((Reason::Tombstone, None));
    // Ten megabytes, whole and torn.
    let large = format!(r#"{{"eventId":"1","deviceId":"d","padding":"{}"}}"#, "p".repeat(10_000_000));
    bads.push((Reason::InvalidJson, Some(large.as_bytes()[..large.len() - 1].to_vec())));
    bads.push((Reason::TooLarge, Some(large.into_bytes())));
    let reasons: BTreeSet<_> = bads.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons.len(), Reason::ALL.len(), "a value for every reason");

    let good = |number: usize| Record::new(event(number % 3, number / 3)).to(0);
    let mut records = vec![good(0)];
    for (number, (_, value)) in bads.iter().enumerate() {
        records.extend([bad(number, value.as_deref()), good(number + 1)]);
    }
    stage.send(&records);
    let service = stage.service(&[("event", "ttl = \"refuse\"")]);
    stage.wait_until_caught_up(&service, SOON);
    wait_until_ready(&service, SOON);

    let expected: BTreeSet<_> = (0..=bads.len()).map(|n| format!("{}-{}", n % 3, n / 3)).collect();
    assert_eq!(ids(&stage.documents()), expected.iter().map(String::as_str).collect::<Vec<_>>());
    let letters: BTreeMap<i64, Received> = stage
        .letters()
        .into_iter()
        .map(|letter| (letter.header("streamproc-offset").unwrap().parse().unwrap(), letter))
        .collect();
    assert_eq!(letters.len(), bads.len());
    let mut counts: BTreeMap<Reason, usize> = BTreeMap::new();
    for (number, (reason, value)) in bads.iter().enumerate() {
        let offset = i64::try_from(2 * number + 1).unwrap();
        let letter = letters.get(&offset).unwrap_or_else(|| panic!("no letter of {reason}"));
        check(&stage, letter, number, *reason, value.as_deref(), offset);
        *counts.entry(*reason).or_default() += 1;
    }
    for (reason, count) in counts {
        let label = format!("reason=\"{reason}\"");
        let counted = service.metric("streamproc_events_dead_lettered_total", &[&label]);
        assert_eq!(counted, Some(count as f64), "{reason}");
    }
}

#[test]
fn a_dead_letter_that_its_topic_takes_again_has_its_value() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    // Not even a letter without its value.
    stage.set_largest_letter(100);
    stage.send(&[Record::new("not JSON").to(0)]);
    let service = stage.service(&[]);
    held::wait_for(&service, "dead_letters_unavailable", &[&stage.dead_letters], SOON);
    stage.set_largest_letter(1 << 20);
    wait_for_commits(&stage, &service, &[(0, 1)]);
    let letters = stage.letters();
    assert_eq!(letters[0].value.as_deref(), Some(&b"not JSON"[..]), "{letters:?}");
    assert_eq!(letters[0].header("streamproc-value-omitted"), None);
}

/// What no other client of a language of strings can send.
#[test]
fn a_header_whose_name_is_no_text_stops_nothing() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    stage.send_with_odd_headers(0, &[&event(0, 0), "not JSON", &event(0, 1)]);
    let service = stage.service(&[]);
    stage.wait_until_caught_up(&service, SOON);
    assert_eq!(ids(&stage.documents()), ["0-0", "0-1"]);
    let letters = stage.letters();
    let kept = [("\u{fffd}".to_owned(), None), ("good".to_owned(), Some(b"kept".to_vec()))];
    assert_eq!(letters[0].headers[..2], kept);
    assert_eq!(letters[0].text(), "not JSON");
    assert!(!service.stderr().join("\n").contains("a defect"), "{}", service.tail());
}

#[test]
fn a_bad_event_larger_than_the_producer_s_memory_goes_by_reference() {
    let stage = Stage::new(Layout {
        partitions: 1,
        topic_settings: &[("max.message.bytes", "90000000")],
        ..Layout::default()
    });
    stage.set_largest_letter(90_000_000);
    let producer = Producer::new(stage.cluster, &[("message.max.bytes", "90000000")]);
    producer.send(&stage.topic, &[Record::new(vec![b'{'; 70_000_000]).to(0)]);
    stage.send(&[Record::new(event(0, 0)).to(0)]);
    let service = stage.service(&[]);
    stage.wait_until_caught_up(&service, SOON);
    assert_eq!(ids(&stage.documents()), ["0-0"]);
    let letters = stage.letters();
    assert_eq!(letters[0].value, None);
    assert_eq!(letters[0].header("streamproc-value-bytes"), Some("70000000".to_owned()));
}

#[test]
fn no_commit_passes_a_bad_event_before_its_letter_is_acknowledged() {
    let stage = Stage::new(Layout { partitions: 2, ..Layout::default() });
    stage.send(&[Record::new(event(0, 0)).to(0), Record::new(event(1, 0)).to(1)]);
    let service = stage.service(&[]);
    stage.wait_until_caught_up(&service, SOON);
    // Not even a letter without its value.
    stage.set_largest_letter(100);

    stage.send(&[
        Record::new(event(0, 1)).to(0),
        Record::new("not JSON").to(0),
        Record::new(event(0, 2)).to(0),
        Record::new(event(1, 1)).to(1),
    ]);
    held::wait_for(&service, "dead_letters_unavailable", &[&stage.dead_letters], SOON);
    // What is good is stored, also behind it, and the other partition goes on.
    wait_for_commits(&stage, &service, &[(0, 2), (1, 2)]);
    assert_eq!(ids(&stage.documents()), ["0-0", "0-1", "0-2", "1-0", "1-1"]);
    assert!(stage.letters().is_empty());

    // Killed now, it is met again.
    service.signal(Signal::Kill);
    service.wait_for_exit(SOON);
    stage.set_largest_letter(1 << 20);
    let service = service.start_again();
    wait_for_commits(&stage, &service, &[(0, 4), (1, 2)]);
    let letters = stage.letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].value.as_deref(), Some(&b"not JSON"[..]));
    assert_eq!(stage.documents().len(), 5);
    wait_until_ready(&service, SOON);
}
