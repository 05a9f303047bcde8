//! Partitions come and go.

use super::*;

#[test]
fn a_revoked_partition_settles_and_commits_before_it_is_given_up() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.take(0, [14]);
    bench.revoke(0, false);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::WindDown(..), Effect::Stop(_)]), "{effects:?}");
    bench.settle(&batch, 10..14);
    bench.end(&batch);
    let effects = bench.after(1);
    assert_eq!(commits(&effects), [(0, 14)], "the record that waited is left to the next owner");
    assert!(!unassigned(&effects));
    bench.answer(0, 14, CommitOutcome::Kept);
    assert!(unassigned(&bench.after(0)));
    assert_eq!(bench.worker.owned(), 0);
}

#[test]
fn a_revoked_partition_does_not_wait_for_what_its_batch_could_not_write() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.settle(&batch, [10, 12, 13]);
    bench.revoke(0, false);
    let effects = bench.after(0);
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::WindDown(_, epoch) if *epoch == batch.epoch)),
        "{effects:?}"
    );
    bench.end(&batch);
    assert_eq!(commits(&effects), [(0, 11)], "not above the record that has not ended");
    bench.answer(0, 11, CommitOutcome::Kept);
    assert!(unassigned(&bench.after(0)));
}

#[test]
fn a_partition_without_a_batch_in_flight_has_nothing_to_wind_down() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    bench.revoke(0, false);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Stop(_), Effect::Unassign(_)]), "{effects:?}");
}

#[test]
fn a_revoked_partition_abandons_its_writes_when_the_time_is_over() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.settle(&batch, [10]);
    bench.revoke(0, false);
    assert!(!unassigned(&bench.after(19_999)));
    let effects = bench.after(1);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Abandon(..))), "{effects:?}");
    // The commit of offset 11, asked for before, is still without an answer.
    assert!(!unassigned(&effects));
    bench.answer(0, 11, CommitOutcome::Kept);
    assert!(unassigned(&bench.after(0)));
}

#[test]
fn a_lost_partition_is_given_up_at_once_and_never_committed() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.settle(&batch, 10..14);
    bench.revoke(0, true);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Abandon(..), Effect::Unassign(_)]), "{effects:?}");
    assert_eq!(commits(&bench.after(5_000)), []);
}

#[test]
fn outcomes_of_an_earlier_assignment_settle_nothing() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let old = bench.batch(0);
    bench.revoke(0, true);
    bench.after(0);
    bench.assign(&[(0, 10)]);
    bench.take(0, 10..14);
    let new = bench.batch(0);
    assert_ne!(old.epoch, new.epoch);
    bench.settle(&old, 10..14);
    bench.end(&old);
    assert_eq!(commits(&bench.after(5_000)), []);
    bench.take(0, 14..18);
    assert!(bench.after(5_000).is_empty(), "the present micro-batch has not ended");
}

#[test]
fn an_assignment_is_answered_at_once_and_each_partition_read_when_its_start_is_known() {
    let mut bench = Bench::new(settings());
    let wanted = bench.give(&[0, 1]);
    bench.begin(0, wanted[0].1, Begin::At(Offset(5)));
    let effects = bench.after(0);
    let [Effect::Assign(assigned)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(*assigned, [(tp(0), Offset(5))]);
    assert!(bench.after(4_999).is_empty());
    // The other is looked for again and again, for everybody to see.
    let effects = bench.after(1);
    let [Effect::Held(held, Hold::UnknownStart)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(*held, tp(1));
    for _ in 0..3 {
        assert!(bench.after(1_999).is_empty());
        let effects = bench.after(1);
        assert!(matches!(effects.as_slice(), [Effect::FindStart(_)]), "{effects:?}");
    }
    bench.begin(1, wanted[1].1, Begin::At(Offset(7)));
    let effects = bench.after(0);
    let [Effect::Released(_), Effect::Assign(assigned)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(*assigned, [(tp(1), Offset(7))]);
}

#[test]
fn a_partition_asked_back_before_its_start_is_known_is_given_back_at_once() {
    let mut bench = Bench::new(settings());
    let wanted = bench.give(&[0]);
    bench.revoke(0, false);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Unassign(_)]), "{effects:?}");
    // Its start is found too late.
    bench.begin(0, wanted[0].1, Begin::At(Offset(5)));
    assert!(bench.after(60_000).is_empty());
    assert_eq!(bench.worker.owned(), 0);
}

#[test]
fn a_start_found_for_an_earlier_assignment_is_not_where_this_one_begins() {
    let mut bench = Bench::new(settings());
    let first = bench.give(&[0]);
    bench.revoke(0, true);
    bench.after(0);
    let second = bench.give(&[0]);
    bench.begin(0, first[0].1, Begin::At(Offset(5)));
    assert!(bench.after(0).is_empty());
    bench.begin(0, second[0].1, Begin::At(Offset(7)));
    let effects = bench.after(0);
    let [Effect::Assign(assigned)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(*assigned, [(tp(0), Offset(7))]);
}

#[test]
fn an_empty_revocation_is_answered() {
    let mut bench = Bench::reading(settings());
    for lost in [false, true] {
        bench.worker.apply(Input::Revoked { partitions: Vec::new(), lost }, bench.now);
        let effects = bench.after(0);
        assert!(matches!(effects.as_slice(), [Effect::Unassign(names)] if names.is_empty()), "{effects:?}");
        assert!(bench.after(0).is_empty());
    }
}

#[test]
fn what_is_asked_back_together_is_given_back_together() {
    let mut bench = Bench::new(settings());
    bench.assign(&[(0, 10), (1, 10)]);
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.worker.apply(Input::Revoked { partitions: vec![tp(0), tp(1)], lost: false }, bench.now);
    assert!(!unassigned(&bench.after(0)));
    bench.settle(&batch, 10..14);
    bench.end(&batch);
    assert_eq!(commits(&bench.after(0)), [(0, 14)]);
    bench.answer(0, 14, CommitOutcome::Kept);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Unassign(names)] if names.len() == 2), "{effects:?}");
}

#[test]
fn a_jump_by_policy_at_a_start_found_late_is_counted_and_committed() {
    let mut bench = Bench::new(Settings { on_out_of_range: OutOfRangePolicy::Earliest, ..settings() });
    let wanted = bench.give(&[0]);
    bench.after(5_000);
    bench.begin(0, wanted[0].1, Begin::Jump { to: Offset(50), lost: 40 });
    let effects = bench.after(0);
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::Skipped(_, Policy::OutOfRange, 40))),
        "{effects:?}"
    );
    assert!(effects.iter().any(|effect| matches!(effect, Effect::OutOfRange(_))), "{effects:?}");
    assert_eq!(commits(&effects), [(0, 50)]);
}
