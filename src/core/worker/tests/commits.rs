//! Commits: when they are asked for, and what their answers mean.

use super::*;

#[test]
fn what_is_contiguous_is_committed_once_a_second() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.settle(&batch, [10, 12]);
    assert_eq!(commits(&bench.after(0)), [(0, 11)]);
    bench.answer(0, 11, CommitOutcome::Kept);
    bench.settle(&batch, [11]);
    assert_eq!(commits(&bench.after(999)), []);
    assert_eq!(commits(&bench.after(1)), [(0, 13)]);
}

#[test]
fn a_failed_commit_is_asked_for_again() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    let batch = bench.batch(100);
    bench.settle(&batch, [10]);
    assert_eq!(commits(&bench.after(0)), [(0, 11)]);
    bench.answer(0, 11, CommitOutcome::TryAgain);
    assert_eq!(commits(&bench.after(1_000)), [(0, 11)]);
}

#[test]
fn there_is_one_commit_at_a_time_however_long_kafka_takes() {
    let mut bench = Bench::committing();
    bench.take(0, [11]);
    let batch = bench.batch(100);
    bench.settle(&batch, [11]);
    assert_eq!(commits(&bench.after(60_000)), []);
    bench.answer(0, 11, CommitOutcome::Kept);
    assert_eq!(commits(&bench.after(0)), [(0, 12)]);
}

#[test]
fn an_answer_to_a_commit_of_an_earlier_assignment_counts_for_nothing() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.settle(&batch, 10..14);
    assert_eq!(commits(&bench.after(0)), [(0, 14)]);
    bench.revoke(0, true);
    bench.after(0);
    // The next owner got as far as 12 before the partition came back.
    bench.assign(&[(0, 12)]);
    bench.answer(0, 14, CommitOutcome::Kept);
    bench.take(0, [12]);
    let batch = bench.batch(100);
    bench.settle(&batch, [12]);
    assert_eq!(commits(&bench.after(1_000)), [(0, 13)]);
}

#[test]
fn an_answer_that_a_lost_client_still_gives_is_for_nobody() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    let batch = bench.batch(100);
    bench.settle(&batch, [10]);
    assert_eq!(commits(&bench.after(0)), [(0, 11)]);
    let first = bench.commit;
    bench.worker.apply(Input::ClientLost, bench.now);
    bench.after(1_000);
    bench.assign(&[(0, 10)]);
    bench.take(0, [10]);
    let batch = bench.batch(100);
    bench.settle(&batch, [10]);
    assert_eq!(commits(&bench.after(0)), [(0, 11)]);
    let second = std::mem::replace(&mut bench.commit, first);
    bench.answer(0, 11, CommitOutcome::Refused);
    assert!(bench.after(5_000).is_empty(), "the second commit is still on its way");
    bench.commit = second;
    bench.answer(0, 11, CommitOutcome::Kept);
    assert!(bench.after(5_000).is_empty(), "all is committed");
}

#[test]
fn a_hand_over_does_not_ask_for_its_commit_over_and_over() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    let batch = bench.batch(100);
    bench.settle(&batch, [10]);
    bench.end(&batch);
    bench.revoke(0, false);
    assert_eq!(commits(&bench.after(0)), [(0, 11)]);
    bench.answer(0, 11, CommitOutcome::TryAgain);
    assert_eq!(commits(&bench.after(99)), []);
    assert_eq!(commits(&bench.after(1)), [(0, 11)]);
    bench.answer(0, 11, CommitOutcome::Kept);
    assert!(unassigned(&bench.after(0)));
}

#[test]
fn a_hand_over_takes_no_for_an_answer_and_a_drain_asks_again() {
    for (revoked, asked_again) in [(true, false), (false, true)] {
        let mut bench = Bench::reading(settings());
        bench.take(0, [10]);
        let batch = bench.batch(100);
        bench.settle(&batch, [10]);
        bench.end(&batch);
        if revoked {
            bench.revoke(0, false);
        } else {
            bench.worker.apply(Input::Drain, bench.now);
        }
        assert_eq!(commits(&bench.after(0)), [(0, 11)]);
        bench.answer(0, 11, CommitOutcome::Refused);
        let effects = bench.after(100);
        assert_eq!(!commits(&effects).is_empty(), asked_again, "revoked: {revoked}, {effects:?}");
        assert_eq!(unassigned(&effects), revoked, "{effects:?}");
    }
}
