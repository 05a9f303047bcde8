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
