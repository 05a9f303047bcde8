//! Judging what was taken in, against a slow and obvious judge.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::report::{Assertion, Bound, Expectations, Name, Report, judge};
use super::tally::{Document, Tally};

/// One stored event of the tests.
#[derive(Clone, Debug)]
struct Event {
    id: String,
    device: String,
    sequence: u64,
    stored_at: i64,
    enqueued_at: i64,
}

fn event(device: u64, sequence: u64, stored_at: i64) -> Event {
    Event {
        id: format!("{device}-{sequence}"),
        device: format!("device-{device}"),
        sequence,
        stored_at,
        enqueued_at: stored_at * 1000 - 500,
    }
}

fn report(events: &[Event], expected: &Expectations) -> Report {
    let mut tally = Tally::default();
    for event in events {
        tally.add(&Document {
            event_id: Some((&event.id).into()),
            device: Some((&event.device).into()),
            sequence: Some(event.sequence),
            stored_at: event.stored_at,
            enqueued_at: Some(event.enqueued_at),
            processed_at: None,
        });
    }
    judge(&tally, expected, (0.0, Duration::ZERO))
}

fn assertion(report: &Report, name: Name) -> &Assertion {
    report.assertions.iter().find(|assertion| assertion.name == name).unwrap()
}

/// Two devices, an event each a second, for so many seconds.
fn run(seconds: i64) -> Vec<Event> {
    (0..seconds).flat_map(|s| [event(0, s as u64, 600 + s), event(1, s as u64, 600 + s)]).collect()
}

#[test]
fn a_whole_run_in_order_holds() {
    let expected = Expectations { min_rate: Some(1.8), count: Some(400), ..Expectations::default() };
    let report = report(&run(200), &expected);
    assert!(report.holds, "{:?}", report.assertions);
    assert_eq!((report.documents, report.events, report.devices), (400, 400, 2));
    assert_eq!(report.assertions.len(), 6);
}

#[test]
fn a_lost_event_is_named() {
    let mut events = run(200);
    events.retain(|event| event.id != "1-77");
    let report = report(&events, &Expectations::default());
    assert!(!report.holds);
    assert_eq!(report.missing.total, 1);
    let gap = &report.missing.examples[0];
    assert_eq!((gap.device.as_str(), gap.first, gap.last), ("device-1", 77, 77));
}

#[test]
fn a_lost_first_event_is_seen_only_when_the_count_is_known() {
    let mut events = run(200);
    events.retain(|event| event.id != "1-0");
    assert!(report(&events, &Expectations::default()).holds);
    let counted = report(&events, &Expectations { count: Some(400), ..Expectations::default() });
    assert!(!assertion(&counted, Name::Missing).holds);
    assert!(!assertion(&counted, Name::Events).holds);
}

#[test]
fn a_lost_last_event_is_seen_by_the_count() {
    let mut events = run(200);
    events.retain(|event| event.id != "1-199");
    let counted = report(&events, &Expectations { count: Some(400), ..Expectations::default() });
    assert_eq!(assertion(&counted, Name::Events).found, Some(399.0));
    assert!(!counted.holds);
}

#[test]
fn a_doubled_event_is_named() {
    let mut events = run(20);
    let mut twin = events[7].clone();
    twin.device = "elsewhere".into();
    events.push(twin);
    let report = report(&events, &Expectations::default());
    assert_eq!(
        (report.duplicates.total, report.duplicates.examples.as_slice()),
        (1, &["1-3".to_owned()][..])
    );
    assert!(!assertion(&report, Name::Duplicates).holds);
    assert_eq!((report.documents, report.events), (41, 40));
}

#[test]
fn an_event_stored_late_is_out_of_sequence() {
    let mut events = run(100);
    events[100].stored_at += 5;
    let expected = Expectations { max_out_of_sequence: Some(0.004), ..Expectations::default() };
    let strict = report(&events, &expected);
    assert_eq!(assertion(&strict, Name::OutOfSequence).found, Some(0.005));
    assert!(!strict.holds);
    let lenient = Expectations { max_out_of_sequence: Some(0.005), ..expected };
    assert!(report(&events, &lenient).holds);
}

#[test]
fn one_slow_minute_is_too_slow() {
    let mut events = run(400);
    for event in events.iter_mut().filter(|event| event.stored_at / 60 == 12) {
        event.enqueued_at -= 20_000;
    }
    let report = report(&events, &Expectations::default());
    assert_eq!(assertion(&report, Name::Latency).found, Some(21.0));
    assert!(!report.holds);
}

#[test]
fn a_time_in_the_future_hides_no_late_event() {
    let mut events = run(400);
    for event in events.iter_mut().filter(|event| event.stored_at / 60 == 12) {
        event.enqueued_at -= 20_000;
    }
    let late = events.iter().position(|event| event.stored_at / 60 == 12).unwrap();
    events[late].enqueued_at += 80 * 365 * 86_400_000;
    events[late + 1].enqueued_at = i64::MAX;
    let hidden = report(&events, &Expectations::default());
    let latency = assertion(&hidden, Name::Latency);
    assert_eq!((latency.found, latency.holds, hidden.enqueued_after_stored), (Some(21.0), false, 2));
    assert_eq!(latency.note.as_deref(), Some("2 documents enqueued after they were stored are left out"));
    assert!(hidden.windows.iter().all(|window| window.latency >= Some(0.0)), "{:?}", hidden.windows);
}

#[test]
fn clocks_that_differ_by_little_are_no_finding() {
    let mut events = run(400);
    events[17].enqueued_at = events[17].stored_at * 1000 + 500 + 5_000;
    assert_eq!(report(&events, &Expectations::default()).enqueued_after_stored, 0);
    events[17].enqueued_at += 1;
    assert_eq!(report(&events, &Expectations::default()).enqueued_after_stored, 1);
}

#[test]
fn an_empty_container_holds_nothing_unless_nothing_was_expected() {
    let all = Expectations { min_rate: Some(1.0), ..Expectations::default() };
    let empty = report(&[], &all);
    assert!(empty.assertions.iter().all(|assertion| !assertion.holds), "{:?}", empty.assertions);
    let nothing = Expectations {
        max_latency: None,
        max_duplicates: None,
        max_missing: None,
        max_out_of_sequence: None,
        count: Some(0),
        ..Expectations::default()
    };
    assert!(report(&[], &nothing).holds);
}

#[test]
fn documents_that_are_no_events_are_said_to_be_left_out() {
    let mut tally = Tally::default();
    tally.add(&Document { stored_at: 5, ..Document::default() });
    let report = judge(&tally, &Expectations::default(), (0.0, Duration::ZERO));
    assert_eq!((report.without_event_id, report.without_sequence, report.without_enqueued_at), (1, 1, 1));
    for assertion in &report.assertions {
        assert!(assertion.note.as_ref().unwrap().starts_with("1 documents without"), "{assertion:?}");
    }
}

#[test]
fn only_the_first_twenty_findings_are_named_and_all_are_counted() {
    let events: Vec<Event> = (0..100).map(|n| event(0, 2 * n, 600)).collect();
    let report = report(&events, &Expectations { count: Some(100), ..Expectations::default() });
    assert_eq!((report.missing.total, report.missing.examples.len()), (99, 20));
}

proptest! {
    /// Against every number counted from the list of all events.
    #[test]
    fn a_report_is_what_counting_everything_gives(
        seen in prop::collection::vec((0_u64..4, 0_u64..30, 600_i64..900, 0_i64..40_000), 1..120),
        most in 0_u64..5,
    ) {
        let events: Vec<Event> = seen.iter().map(|&(device, sequence, stored_at, latency)| Event {
            enqueued_at: stored_at * 1000 + 500 - latency,
            ..event(device, sequence, stored_at)
        }).collect();
        let expected = Expectations { max_duplicates: Some(most), count: Some(7), ..Expectations::default() };
        let report = report(&events, &expected);

        let ids: BTreeSet<&str> = events.iter().map(|event| event.id.as_str()).collect();
        let duplicates = events.len() - ids.len();
        prop_assert_eq!(report.events, ids.len() as u64);
        prop_assert_eq!(report.duplicates.total, duplicates as u64);
        prop_assert_eq!(assertion(&report, Name::Duplicates).holds, duplicates as u64 <= most);
        prop_assert_eq!(assertion(&report, Name::Events).holds, ids.len() == 7);

        let mut of_device = BTreeMap::<&str, BTreeSet<u64>>::new();
        for event in &events {
            of_device.entry(&event.device).or_default().insert(event.sequence);
        }
        let missing: u64 = of_device.values().map(|n| n.last().unwrap() + 1 - n.len() as u64).sum();
        prop_assert_eq!(report.missing.total, missing);

        let out = events.iter().filter(|event| events.iter().any(|other|
            other.device == event.device && other.sequence > event.sequence && other.stored_at < event.stored_at));
        prop_assert_eq!(report.out_of_sequence.total, out.count() as u64);

        let mut by_minute = BTreeMap::<i64, Vec<f64>>::new();
        for event in &events {
            let latency = (event.stored_at * 1000 + 500 - event.enqueued_at) as f64 / 1000.0;
            by_minute.entry(event.stored_at / 60).or_default().push(latency);
        }
        let worst = by_minute.values().map(|l| l.iter().sum::<f64>() / l.len() as f64).fold(0.0, f64::max);
        let latency = assertion(&report, Name::Latency);
        prop_assert!((latency.found.unwrap() - worst).abs() < 1e-6);
        prop_assert_eq!(&latency.asserted, &Bound::AtMost(15.0));
        prop_assert_eq!(report.holds, report.assertions.iter().all(|assertion| assertion.holds));
    }
}
