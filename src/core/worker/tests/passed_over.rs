//! Records that the client may have passed over, and ones that are in hand and nowhere else any more.

use super::trouble::{stretch, unreadable, write_of};
use super::*;

fn leaves_out(effects: &[Effect], count: u64) -> bool {
    let fits = |effect: &Effect| matches!(effect, Effect::Skipped(_, Policy::OutOfRange, n) if *n == count);
    effects.iter().any(fits)
}

fn is_held(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Held(..)))
}

#[test]
fn records_that_were_passed_over_and_can_be_read_later_are_read() {
    let mut bench = Bench::reading(settings());
    let probed = bench.meets_something_unreadable();
    bench.take(0, [15]);
    bench.finds(&probed, Finding::Readable);
    let batch = write_of(&mut bench.after(0));
    bench.store(&batch);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(10)), ..]), "{effects:?}");
    bench.take(0, 10..14);
    assert_eq!(bench.batch(0).records.range(), Some((Offset(10), Offset(13))));
}

/// It was met twice, and one of the two was repaired before a probe could tell.
#[test]
fn records_that_were_passed_over_before_others_that_cannot_be_read_are_read() {
    for skip_corrupt in [false, true] {
        let mut bench = Bench::reading(Settings { skip_corrupt, ..settings() });
        let probed = bench.meets_something_unreadable();
        bench.finds(&probed, Finding::Unknown);
        bench.take(0, [15]);
        bench.apply(Input::Unreadable);
        let batch = bench.batch(100);
        bench.store(&batch);
        let probed = bench.probe_after(5_000);
        assert_eq!(probed.stretch, stretch(10, 16));
        bench.finds(&probed, unreadable(16, Some(20)));
        let effects = bench.after(1_000);
        assert!(commits(&effects).iter().all(|(_, offset)| *offset == 10), "{effects:?}");
        assert!(
            matches!(effects.as_slice(), [Effect::Stop(_), Effect::SeekAndResume(_, Offset(10)), ..]),
            "{effects:?}"
        );
        bench.take(0, 10..16);
        let batch = bench.batch(100);
        bench.store(&batch);
        let probed = bench.meets_something_unreadable();
        bench.finds(&probed, unreadable(16, None));
        let effects = bench.after(0);
        assert!(
            effects.iter().any(|effect| matches!(effect, Effect::Held(_, Hold::Corrupt { at: Offset(16) })))
        );
    }
}

#[test]
fn as_long_as_nothing_comes_it_is_read_from_the_doubtful_place() {
    let mut bench = Bench::reading(settings());
    let probed = bench.meets_something_unreadable();
    bench.finds(&probed, Finding::Readable);
    let effects = bench.after(0);
    assert!(
        matches!(effects.as_slice(), [Effect::Stop(_), Effect::SeekAndResume(_, Offset(10)), ..]),
        "{effects:?}"
    );
}

#[test]
fn a_probe_that_was_asked_for_before_says_nothing_about_what_is_passed_over_after() {
    let mut bench = Bench::reading(settings());
    let probed = bench.meets_something_unreadable();
    // The probe saw the end of the partition; then a record came, and was passed over, and another.
    bench.apply(Input::Unreadable);
    bench.take(0, [12]);
    bench.finds(&probed, Finding::Readable);
    let batch = write_of(&mut bench.after(0));
    bench.store(&batch);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(10)), ..]), "{effects:?}");
}

#[test]
fn an_end_that_was_read_before_the_latest_records_came_is_no_end() {
    let mut bench = Bench::reading(settings());
    bench.apply(Input::OffsetGone);
    let asked = bench.after(0);
    bench.take(0, [10, 11]);
    bench.learns_limits(asked, 0, 10);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(12))]), "{effects:?}");
    assert_eq!(bench.batch(100).records.len(), 2);
}

#[test]
fn a_doubtful_place_that_is_deleted_is_an_offset_that_does_not_exist() {
    for policy in [OutOfRangePolicy::Hold, OutOfRangePolicy::Earliest, OutOfRangePolicy::Latest] {
        let mut bench = Bench::reading(Settings { on_out_of_range: policy, ..settings() });
        let probed = bench.meets_something_unreadable();
        bench.take(0, [30]);
        bench.finds(&probed, Finding::Gone);
        let batch = write_of(&mut bench.after(0));
        bench.store(&batch);
        bench.after(0);
        bench.loses_its_place(20, 40);
        let effects = bench.after(1_000);
        let to = if policy == OutOfRangePolicy::Latest { 40 } else { 20 };
        if policy == OutOfRangePolicy::Hold {
            assert!(is_held(&effects), "{effects:?}");
        } else {
            // What is left is read again.
            assert!(leaves_out(&effects, to - 10), "{effects:?}");
            assert_eq!(commits(&effects), [(0, i64::try_from(to).unwrap())]);
        }
    }
}

#[test]
fn what_was_read_before_its_offset_was_gone_is_written_and_an_operators_offset_is_left_alone() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10, 11]);
    bench.loses_its_place(50, 90);
    let batch = write_of(&mut bench.after(0));
    bench.store(&batch);
    // Nobody is asked to set an offset before ours is committed.
    let effects = bench.after(5_000);
    assert!(!is_held(&effects), "{effects:?}");
    assert_eq!(commits(&effects), [(0, 12)]);
    bench.answer(0, 12, CommitOutcome::Kept);
    assert!(is_held(&bench.after(0)));
    assert_eq!(commits(&bench.after(5_000)), []);
    bench.revoke(0, false);
    let effects = bench.after(0);
    assert!(unassigned(&effects) && commits(&effects).is_empty(), "{effects:?}");
}

#[test]
fn a_jump_leaves_out_only_what_was_not_read() {
    let mut bench = Bench::reading(Settings { on_out_of_range: OutOfRangePolicy::Earliest, ..settings() });
    bench.take(0, [10, 11]);
    bench.loses_its_place(50, 90);
    let batch = write_of(&mut bench.after(0));
    assert_eq!(batch.records.len(), 2);
    bench.store(&batch);
    let effects = bench.after(0);
    assert!(leaves_out(&effects, 38), "{effects:?}");
    assert_eq!(commits(&effects), [(0, 50)]);
}
