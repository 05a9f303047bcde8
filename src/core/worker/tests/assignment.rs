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
    assert!(matches!(effects.as_slice(), [Effect::WindDown(..), Effect::Pause(_)]), "{effects:?}");
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
    assert!(matches!(effects.as_slice(), [Effect::Pause(_), Effect::Unassign(_)]), "{effects:?}");
}

#[test]
fn a_revoked_partition_abandons_its_writes_when_the_time_is_over() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.settle(&batch, [10]);
    bench.revoke(0, false);
    assert!(!unassigned(&bench.after(24_999)));
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
}

#[test]
fn an_assignment_is_answered_in_time_even_if_kafka_does_not_tell_the_start() {
    let mut bench = Bench::new(settings());
    bench.worker.apply(Input::Assigned(vec![tp(0), tp(1)]), bench.now);
    let effects = bench.after(0);
    let [Effect::FindStart(wanted)] = effects.as_slice() else { panic!("{effects:?}") };
    let (first, epoch) = wanted[0].clone();
    bench.worker.apply(Input::Begin { partition: first, epoch, at: Begin::At(Offset(5)) }, bench.now);
    assert!(bench.after(19_999).is_empty());
    let effects = bench.after(1);
    let [Effect::Held(held, Hold::UnknownStart), Effect::Assign(assigned)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(*held, tp(1));
    assert_eq!(*assigned, [(tp(0), Some(Offset(5))), (tp(1), None)]);
    // It is looked for again, and then reading begins.
    let effects = bench.after(2_000);
    let [Effect::FindStart(again)] = effects.as_slice() else { panic!("{effects:?}") };
    let at = Begin::At(Offset(7));
    bench.worker.apply(Input::Begin { partition: tp(1), epoch: again[0].1, at }, bench.now);
    let effects = bench.after(0);
    assert!(
        matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(7)), Effect::Released(_)]),
        "{effects:?}"
    );
}

#[test]
fn draining_settles_commits_and_says_so_once() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.worker.apply(Input::Drain, bench.now);
    bench.after(0);
    bench.settle(&batch, 10..14);
    bench.end(&batch);
    assert_eq!(commits(&bench.after(1_000)), [(0, 14)]);
    bench.answer(0, 14, CommitOutcome::Kept);
    assert!(matches!(bench.after(0).as_slice(), [Effect::Drained]));
    assert!(bench.after(0).is_empty());
    // The group may give us something at the last moment: it is not read.
    bench.worker.apply(Input::Assigned(vec![tp(1)]), bench.now);
    let effects = bench.after(0);
    assert!(
        matches!(effects.as_slice(), [Effect::Assign(assigned)] if assigned[0].1.is_none()),
        "{effects:?}"
    );
}
