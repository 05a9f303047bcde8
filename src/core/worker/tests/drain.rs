//! The end: in whatever state it comes, what is in flight ends, what is settled is committed, and
//! that is said once.

use super::*;

fn is_drained(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Drained))
}

fn drain(bench: &mut Bench) -> Vec<Effect> {
    bench.worker.apply(Input::Drain, bench.now);
    bench.after(0)
}

#[test]
fn a_worker_that_owns_nothing_is_drained_at_once() {
    assert!(is_drained(&drain(&mut Bench::new(settings()))));
}

#[test]
fn a_start_that_is_being_looked_for_is_not_waited_for() {
    let mut bench = Bench::new(settings());
    let wanted = bench.give(&[0]);
    assert!(is_drained(&drain(&mut bench)));
    bench.begin(0, wanted[0].1, Begin::At(Offset(5)));
    assert!(bench.after(0).is_empty());
}

#[test]
fn a_held_partition_is_not_waited_for() {
    let mut bench = Bench::new(settings());
    let wanted = bench.give(&[0]);
    bench.begin(0, wanted[0].1, Begin::Hold(Hold::NoOffset));
    bench.after(0);
    let effects = drain(&mut bench);
    assert!(matches!(effects.as_slice(), [Effect::Released(_), Effect::Drained]), "{effects:?}");
}

#[test]
fn records_that_wait_to_be_written_are_left_to_the_next_owner() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    let effects = drain(&mut bench);
    assert!(matches!(effects.as_slice(), [Effect::Stop(_), Effect::Drained]), "{effects:?}");
}

#[test]
fn what_is_in_flight_ends_and_is_committed_first() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    assert!(!is_drained(&drain(&mut bench)));
    bench.settle(&batch, 10..14);
    bench.end(&batch);
    let effects = bench.after(1);
    assert_eq!(commits(&effects), [(0, 14)]);
    assert!(!is_drained(&effects));
    bench.answer(0, 14, CommitOutcome::Kept);
    assert!(is_drained(&bench.after(0)));
}

#[test]
fn a_commit_on_its_way_is_waited_for() {
    let mut bench = Bench::committing();
    assert!(!is_drained(&drain(&mut bench)));
    bench.answer(0, 11, CommitOutcome::Kept);
    assert!(is_drained(&bench.after(0)));
}

#[test]
fn neither_writes_nor_commits_keep_it_longer_than_the_user_has_set() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.settle(&batch, [10]);
    assert_eq!(commits(&bench.after(0)), [(0, 11)], "and Kafka does not answer");
    drain(&mut bench);
    let effects = bench.after(20_000);
    assert!(matches!(effects.as_slice(), [Effect::Abandon(..)]), "{effects:?}");
    assert!(!is_drained(&bench.after(4_999)));
    assert!(is_drained(&bench.after(1)));
}

#[test]
fn a_partition_that_was_asked_back_before_is_given_back_without_the_others() {
    let mut bench = Bench::new(settings());
    bench.assign(&[(0, 10), (1, 10)]);
    bench.take(0, 10..14);
    let first = bench.batch(0);
    bench.take(1, 10..14);
    let second = bench.batch(0);
    bench.revoke(0, false);
    bench.after(0);
    drain(&mut bench);
    bench.settle(&first, 10..14);
    bench.end(&first);
    bench.after(0);
    bench.answer(0, 14, CommitOutcome::Kept);
    let effects = bench.after(0);
    assert!(unassigned(&effects) && !is_drained(&effects), "{effects:?}");
    bench.settle(&second, 10..14);
    bench.end(&second);
    bench.after(1_000);
    bench.answer(1, 14, CommitOutcome::Kept);
    assert!(is_drained(&bench.after(0)));
}

#[test]
fn what_is_lost_meanwhile_is_not_waited_for() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    bench.batch(0);
    drain(&mut bench);
    bench.revoke(0, true);
    let effects = bench.after(0);
    assert!(
        matches!(effects.as_slice(), [Effect::Abandon(..), Effect::Unassign(_), Effect::Drained]),
        "{effects:?}"
    );
}

#[test]
fn a_client_that_is_lost_meanwhile_ends_it() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    bench.batch(0);
    drain(&mut bench);
    bench.worker.apply(Input::ClientLost, bench.now);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Abandon(..), Effect::Drained]), "{effects:?}");
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
    assert!(matches!(effects.as_slice(), [Effect::Accept]), "{effects:?}");
}
