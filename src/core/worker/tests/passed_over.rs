//! Records that the client may have passed over, and ones that are in hand and nowhere else any more.

use super::*;

/// The client has passed over something, and the probe is asked for.
fn doubt(bench: &mut Bench) -> Probed {
    bench.worker.apply(Input::Unreadable, bench.now);
    let effects = bench.after(0);
    let places = effects.into_iter().find_map(|effect| match effect {
        Effect::Probe(places) => Some(places),
        _ => None,
    });
    let (partition, epoch, place) = places.expect("a probe").remove(0);
    Probed { partition, epoch, place, finding: Finding::Unknown }
}

fn found(bench: &mut Bench, probed: &Probed, finding: Finding) -> Vec<Effect> {
    bench.worker.apply(Input::Probed(vec![Probed { finding, ..probed.clone() }]), bench.now);
    bench.after(0)
}

fn readable(first: i64) -> Finding {
    Finding::Readable { first: Some(Offset(first)) }
}

/// The worker asks for the limits of its one partition, and is told.
fn limits(bench: &mut Bench, asked: &[Effect], low: i64, high: i64) -> Vec<Effect> {
    let [.., Effect::ReadRange(wanted)] = asked else { panic!("{asked:?}") };
    let (partition, epoch, position) = wanted[0].clone();
    let range = Range { partition, epoch, position, low: Offset(low), high: Offset(high) };
    bench.worker.apply(Input::Ranges(vec![range]), bench.now);
    bench.after(0)
}

#[test]
fn records_that_were_passed_over_and_can_be_read_later_are_read() {
    let mut bench = Bench::reading(settings());
    let probed = doubt(&mut bench);
    bench.take(0, [15]);
    let effects = found(&mut bench, &probed, readable(10));
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(10))]), "{effects:?}");
    bench.take(0, 10..14);
    assert_eq!(bench.batch(0).records.range(), Some((Offset(10), Offset(13))));
}

#[test]
fn as_long_as_nothing_comes_it_is_read_from_the_doubtful_place() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    let probed = doubt(&mut bench);
    let effects = found(&mut bench, &probed, readable(12));
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(12))]), "{effects:?}");
    bench.take(0, [12]);
    assert_eq!(bench.batch(100).records.len(), 2, "what was in hand is kept");
}

#[test]
fn a_probe_that_was_asked_for_before_says_nothing_about_what_is_passed_over_after() {
    let mut bench = Bench::reading(settings());
    let probed = doubt(&mut bench);
    // The probe saw the end of the partition; then a record came, and was passed over.
    bench.worker.apply(Input::Unreadable, bench.now);
    let effects = found(&mut bench, &probed, Finding::Readable { first: None });
    assert!(matches!(effects.as_slice(), [Effect::Probe(_)]), "{effects:?}");
    let effects = found(&mut bench, &probed, readable(10));
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(10))]), "{effects:?}");
}

#[test]
fn an_end_that_was_read_before_the_latest_records_came_is_no_end() {
    let mut bench = Bench::reading(settings());
    bench.worker.apply(Input::OffsetGone, bench.now);
    let asked = bench.after(0);
    bench.take(0, [10, 11]);
    let effects = limits(&mut bench, &asked, 0, 10);
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(12))]), "{effects:?}");
    assert_eq!(bench.batch(100).records.len(), 2);
}

#[test]
fn a_doubtful_place_that_is_deleted_is_an_offset_that_does_not_exist() {
    for policy in [OutOfRangePolicy::Hold, OutOfRangePolicy::Earliest, OutOfRangePolicy::Latest] {
        let mut bench = Bench::reading(Settings { on_out_of_range: policy, ..settings() });
        let probed = doubt(&mut bench);
        bench.take(0, [30]);
        let asked = found(&mut bench, &probed, Finding::Unknown);
        let effects = limits(&mut bench, &asked, 20, 40);
        match (policy, effects.as_slice()) {
            (OutOfRangePolicy::Hold, [Effect::OutOfRange(_), Effect::Pause(_), Effect::Held(_, hold)]) => {
                assert_eq!(*hold, Hold::OutOfRange { offset: Offset(10), low: Offset(20), high: Offset(40) });
            }
            // What is left is in doubt still.
            (
                _,
                [
                    Effect::OutOfRange(_),
                    Effect::Skipped(_, Policy::OutOfRange, 10),
                    Effect::Probe(places),
                    Effect::Commit(..),
                ],
            ) => assert_eq!(places[0].2, Offset(20)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_read_before_its_offset_was_gone_is_written_and_an_operators_offset_is_left_alone() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10, 11]);
    bench.worker.apply(Input::OffsetGone, bench.now);
    let asked = bench.after(0);
    limits(&mut bench, &asked, 50, 90);
    let batch = bench.batch(100);
    bench.settle(&batch, [10, 11]);
    bench.end(&batch);
    assert_eq!(commits(&bench.after(5_000)), []);
    bench.revoke(0, false);
    let effects = bench.after(0);
    assert!(unassigned(&effects) && commits(&effects).is_empty(), "{effects:?}");
}

#[test]
fn a_jump_leaves_out_only_what_was_not_read() {
    let mut bench = Bench::reading(Settings { on_out_of_range: OutOfRangePolicy::Earliest, ..settings() });
    bench.take(0, [10, 11]);
    bench.worker.apply(Input::OffsetGone, bench.now);
    let asked = bench.after(0);
    let effects = limits(&mut bench, &asked, 50, 90);
    assert!(matches!(effects.as_slice(), [.., Effect::SeekAndResume(_, Offset(50))]), "{effects:?}");
    let batch = bench.batch(100);
    assert_eq!(batch.records.len(), 2);
    bench.settle(&batch, [10, 11]);
    bench.end(&batch);
    assert_eq!(commits(&bench.after(0)), [(0, 50)]);
}
