//! Records that cannot be read, and offsets that do not exist.

use super::*;

impl Bench {
    pub(super) fn apply(&mut self, input: Input) {
        self.worker.apply(input, self.now);
    }

    /// The client has met something unreadable. Gives what is to be probed.
    pub(super) fn meets_something_unreadable(&mut self) -> Probed {
        self.apply(Input::Unreadable);
        self.probe_after(0)
    }

    pub(super) fn probe_after(&mut self, millis: u64) -> Probed {
        let effects = self.after(millis);
        let found = effects.into_iter().find_map(|effect| match effect {
            Effect::Probe(mut wanted) => Some(wanted.remove(0)),
            _ => None,
        });
        let (partition, epoch, stretch) = found.expect("a probe");
        Probed { partition, epoch, stretch, finding: Finding::Unknown }
    }

    pub(super) fn finds(&mut self, probed: &Probed, finding: Finding) {
        self.apply(Input::Probed(vec![Probed { finding, ..probed.clone() }]));
    }

    /// An offset is gone, and the partition holds `low` to `high`.
    pub(super) fn loses_its_place(&mut self, low: i64, high: i64) {
        self.apply(Input::OffsetGone);
        let asked = self.after(0);
        self.learns_limits(asked, low, high);
    }

    /// What was asked about the limits is answered.
    pub(super) fn learns_limits(&mut self, mut asked: Vec<Effect>, low: i64, high: i64) {
        let (partition, epoch, position) = match asked.remove(0) {
            Effect::ReadRange(mut wanted) => wanted.remove(0),
            other => panic!("{other:?}"),
        };
        let range = Range { partition, epoch, position, low: Offset(low), high: Offset(high) };
        self.apply(Input::Ranges(vec![range]));
    }

    /// The group has committed this, Kafka says when asked.
    pub(super) fn hears_of(&mut self, offset: i64) {
        let effects = self.after(30_000);
        let [Effect::FindOffset(wanted)] = effects.as_slice() else { panic!("{effects:?}") };
        let (partition, epoch, _) = wanted[0].clone();
        self.apply(Input::OffsetSet { partition, epoch, at: Begin::At(Offset(offset)) });
    }

    /// Everything of a micro-batch is stored.
    pub(super) fn store(&mut self, batch: &Batch) {
        let offsets: Vec<_> = (0..batch.records.len()).map(|index| batch.records.offset(index).0).collect();
        self.settle(batch, offsets);
        self.end(batch);
    }
}

pub(super) fn write_of(effects: &mut Vec<Effect>) -> Batch {
    let place = effects.iter().position(|effect| matches!(effect, Effect::Write(_)));
    match effects.remove(place.unwrap_or_else(|| panic!("a micro-batch was expected in {effects:?}"))) {
        Effect::Write(batch) => *batch,
        _ => unreachable!(),
    }
}

pub(super) fn stretch(from: i64, to: i64) -> Stretch {
    Stretch { from: Offset(from), to: Offset(to) }
}

pub(super) fn unreadable(at: i64, resumes_at: Option<i64>) -> Finding {
    Finding::Unreadable { at: Offset(at), resumes_at: resumes_at.map(Offset) }
}

#[test]
fn no_commit_passes_a_place_in_doubt_and_what_is_behind_it_is_read_again() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10, 11]);
    let probed = bench.meets_something_unreadable();
    assert_eq!(probed.stretch, stretch(12, 12));
    bench.take(0, [20, 21]);
    let batch = bench.batch(0);
    bench.store(&batch);
    assert_eq!(commits(&bench.after(0)), [(0, 12)]);
    bench.answer(0, 12, CommitOutcome::Kept);
    assert_eq!(commits(&bench.after(1_000)), []);
    // It can be read. Whether the client has read all of it, nobody knows.
    bench.take(0, [22]);
    bench.finds(&probed, Finding::Readable);
    let mut effects = bench.after(0);
    let batch = write_of(&mut effects);
    bench.store(&batch);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(12)), ..]), "{effects:?}");
    bench.take(0, [13, 20, 21, 22]);
    let mut effects = bench.after(0);
    let batch = write_of(&mut effects);
    assert_eq!(commits(&effects), [(0, 13)], "what lies before it is no record");
    bench.answer(0, 13, CommitOutcome::Kept);
    bench.store(&batch);
    assert_eq!(commits(&bench.after(1_000)), [(0, 23)]);
}

#[test]
fn however_often_something_unreadable_is_met_one_probe_is_under_way() {
    let mut bench = Bench::reading(settings());
    let probed = bench.meets_something_unreadable();
    for offset in [10, 11, 12] {
        bench.take(0, [offset]);
        bench.apply(Input::Unreadable);
        assert!(!bench.after(0).iter().any(|effect| matches!(effect, Effect::Probe(_))), "one at a time");
    }
    bench.finds(&probed, Finding::Unknown);
    assert_eq!(bench.probe_after(5_000).stretch, stretch(10, 13), "the whole stretch");
}

/// The owner who reads on from there will meet it, if there is anything.
#[test]
fn a_partition_in_doubt_is_handed_over_at_the_place_in_doubt() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    let probed = bench.meets_something_unreadable();
    bench.take(0, [15]);
    let batch = bench.batch(100);
    bench.revoke(0, false);
    bench.store(&batch);
    bench.finds(&probed, Finding::Readable);
    assert_eq!(commits(&bench.after(0)), [(0, 11)]);
    bench.answer(0, 11, CommitOutcome::Kept);
    assert!(unassigned(&bench.after(0)));
}

#[test]
fn a_probe_that_could_not_tell_is_made_again() {
    let mut bench = Bench::reading(settings());
    let probed = bench.meets_something_unreadable();
    bench.finds(&probed, Finding::Unknown);
    assert!(bench.after(4_999).is_empty());
    assert_eq!(bench.probe_after(1).stretch, probed.stretch);
}

#[test]
fn an_unreadable_batch_holds_the_partition_just_before_it() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    let probed = bench.meets_something_unreadable();
    // Whatever the client gives from behind it, it is not read on.
    bench.take(0, [15]);
    bench.finds(&probed, unreadable(11, Some(15)));
    let mut effects = bench.after(0);
    let batch = write_of(&mut effects);
    let [Effect::Stop(_), Effect::Held(_, Hold::Corrupt { at: Offset(11) })] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    bench.take(0, [16]);
    assert_eq!(batch.records.range(), Some((Offset(10), Offset(15))), "what was read is written");
    bench.store(&batch);
    assert_eq!(commits(&bench.after(0)), [(0, 11)]);
    bench.answer(0, 11, CommitOutcome::Kept);
    assert!(bench.after(29_999).is_empty());
    // Healed, it reads on from there.
    let probed = bench.probe_after(1);
    assert_eq!(probed.stretch, stretch(11, 11));
    bench.finds(&probed, Finding::Readable);
    let effects = bench.after(0);
    assert!(
        matches!(effects.as_slice(), [Effect::Released(_), Effect::SeekAndResume(_, Offset(11)), ..]),
        "{effects:?}"
    );
}

/// A probe may take longer than the time between two looks.
#[test]
fn a_held_place_is_not_probed_again_while_a_probe_is_under_way() {
    let mut bench = Bench::reading(settings());
    let probed = bench.meets_something_unreadable();
    bench.finds(&probed, unreadable(10, None));
    let probed = bench.probe_after(30_000);
    for _ in 0..3 {
        let effects = bench.after(30_000);
        assert!(effects.is_empty(), "{effects:?}");
    }
    bench.finds(&probed, Finding::Unknown);
    bench.probe_after(30_000);
}

/// Whoever else speaks of the same place may have called it over.
#[test]
fn a_place_that_is_still_unreadable_is_said_again() {
    let mut bench = Bench::reading(settings());
    let probed = bench.meets_something_unreadable();
    bench.finds(&probed, unreadable(10, Some(12)));
    bench.after(0);
    let probed = bench.probe_after(30_000);
    bench.finds(&probed, unreadable(10, Some(12)));
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Held(_, Hold::Corrupt { at: Offset(10) })]), "{effects:?}");
}

#[test]
fn an_unreadable_batch_is_left_out_and_counted_if_the_user_wants_so() {
    let mut bench = Bench::reading(Settings { skip_corrupt: true, ..settings() });
    bench.take(0, [10]);
    let probed = bench.meets_something_unreadable();
    bench.take(0, [18]);
    bench.finds(&probed, unreadable(11, Some(15)));
    let mut effects = bench.after(0);
    let batch = write_of(&mut effects);
    assert!(matches!(effects.as_slice(), [Effect::Stop(_)]), "first what was read: {effects:?}");
    bench.store(&batch);
    // From right behind the batch: the client may have passed over more.
    let effects = bench.after(0);
    let [
        Effect::Skipped(_, Policy::Corrupt, 4),
        Effect::SeekAndResume(_, Offset(15)),
        Effect::Commit(_, offsets, _),
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(*offsets, [(tp(0), Offset(15))]);
    bench.answer(0, 15, CommitOutcome::Kept);
    bench.take(0, [17, 18]);
    let batch = bench.batch(100);
    bench.store(&batch);
    assert_eq!(commits(&bench.after(1_000)), [(0, 19)]);
}

#[test]
fn an_unreadable_batch_without_an_end_is_left_out_once_it_has_one() {
    let mut bench = Bench::reading(Settings { skip_corrupt: true, ..settings() });
    let probed = bench.meets_something_unreadable();
    bench.finds(&probed, unreadable(10, None));
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Stop(_), Effect::Held(..)]), "{effects:?}");
    let probed = bench.probe_after(30_000);
    bench.finds(&probed, unreadable(10, Some(12)));
    let effects = bench.after(0);
    assert!(
        matches!(
            effects.as_slice(),
            [
                Effect::Released(_),
                Effect::Skipped(_, Policy::Corrupt, 2),
                Effect::SeekAndResume(_, Offset(12)),
                Effect::Commit(..)
            ]
        ),
        "{effects:?}"
    );
}

#[test]
fn nothing_is_left_out_while_something_before_it_has_not_ended() {
    let mut bench = Bench::reading(Settings { skip_corrupt: true, ..settings() });
    bench.take(0, [10, 11]);
    let probed = bench.meets_something_unreadable();
    bench.finds(&probed, unreadable(12, Some(15)));
    let mut effects = bench.after(0);
    let batch = write_of(&mut effects);
    // Its writer breaks down.
    bench.settle(&batch, [10]);
    bench.end(&batch);
    let effects = bench.after(0);
    let [Effect::SeekAndResume(_, Offset(11)), Effect::Commit(_, offsets, _)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(*offsets, [(tp(0), Offset(11))]);
}

#[test]
fn an_offset_that_is_gone_holds_its_partition_alone() {
    let mut bench = Bench::new(settings());
    bench.assign(&[(0, 10), (1, 10)]);
    bench.apply(Input::OffsetGone);
    let epochs = match bench.after(0).remove(0) {
        Effect::ReadRange(wanted) => wanted,
        other => panic!("{other:?}"),
    };
    let ranges = epochs.iter().zip([50, 0]).map(|((partition, epoch, position), low)| Range {
        partition: partition.clone(),
        epoch: *epoch,
        position: *position,
        low: Offset(low),
        high: Offset(90),
    });
    bench.apply(Input::Ranges(ranges.collect()));
    let effects = bench.after(0);
    // The other is read on: perhaps it was the one, and its offset exists again.
    let [
        Effect::OutOfRange(_),
        Effect::Stop(paused),
        Effect::SeekAndResume(other, _),
        Effect::Held(held, why),
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!((paused, held, other), (&tp(0), &tp(0), &tp(1)));
    assert_eq!(*why, Hold::OutOfRange { offset: Offset(10), low: Offset(50), high: Offset(90) });
    // An operator sets the offset; it is seen at the next look.
    bench.hears_of(50);
    let effects = bench.after(0);
    let [Effect::SeekAndResume(name, Offset(50)), Effect::Released(_)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(*name, tp(0));
}

#[test]
fn what_was_read_before_an_offset_was_gone_is_written_and_committed() {
    for policy in [OutOfRangePolicy::Hold, OutOfRangePolicy::Earliest] {
        let mut bench = Bench::reading(Settings { on_out_of_range: policy, ..settings() });
        bench.take(0, 10..14);
        let first = bench.batch(0);
        bench.take(0, [14, 15]);
        bench.loses_its_place(50, 90);
        bench.after(0);
        bench.store(&first);
        let mut effects = bench.after(0);
        let second = write_of(&mut effects);
        assert_eq!(second.records.range(), Some((Offset(14), Offset(15))), "{policy:?}");
        bench.answer(0, 14, CommitOutcome::Kept);
        bench.store(&second);
        let effects = bench.after(1_000);
        let seen = format!("{policy:?}: {effects:?}");
        if policy == OutOfRangePolicy::Hold {
            assert_eq!(commits(&effects), [(0, 16)], "{seen}");
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::Held(..))), "{seen}");
            // From now on the offset is the operator's.
            bench.answer(0, 16, CommitOutcome::Kept);
            let effects = bench.after(0);
            assert!(matches!(effects.as_slice(), [Effect::Held(..)]), "{effects:?}");
        } else {
            let left_out = |effect: &Effect| matches!(effect, Effect::Skipped(_, Policy::OutOfRange, 34));
            assert!(effects.iter().any(left_out), "16 to 49: {seen}");
            assert_eq!(commits(&effects), [(0, 50)], "{seen}");
        }
    }
}

/// A topic was made anew, or cut off, and has grown again: what is at that offset now is another
/// record, and those before it were never read.
#[test]
fn an_offset_behind_the_end_is_not_taken_when_the_topic_has_grown_up_to_it() {
    let mut bench = Bench::reading(settings());
    bench.loses_its_place(0, 5);
    let effects = bench.after(0);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Held(..))), "{effects:?}");
    bench.hears_of(10);
    assert!(bench.after(0).is_empty(), "nobody has set it");
    bench.hears_of(0);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(0)), Effect::Released(_)]));
}

/// With a topic that is made anew its offsets go, and a group without any begins where kafka.start says.
#[test]
fn a_start_is_no_offset_that_somebody_has_set() {
    let mut bench = Bench::reading(settings());
    bench.loses_its_place(0, 5);
    let epoch = bench.worker.standing().next().expect("a partition").epoch;
    bench.after(0);
    bench.begin(0, epoch, Begin::At(Offset(5)));
    assert!(bench.after(0).is_empty());
    bench.hears_of(3);
    assert!(bench.after(0).iter().any(|effect| matches!(effect, Effect::Released(_))));
}

/// A pause must not call off the move: once an offset was gone the client fetches the partition only
/// after it has been moved.
#[test]
fn a_full_partition_whose_place_exists_again_is_moved_and_paused() {
    let mut bench = Bench::new(settings());
    bench.assign(&[(0, 10), (1, 10)]);
    bench.take(0, 10..14);
    let _first = bench.batch(0);
    bench.take(0, 14..18);
    bench.worker.appetite(bench.now);
    bench.now += Duration::from_millis(300);
    bench.loses_its_place(0, 90);
    bench.worker.appetite(bench.now);
    let effects = bench.after(0);
    assert!(
        matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(18)), Effect::Pause(_)]),
        "{effects:?}"
    );
}

/// Kafka deletes a group's offsets with the topic.
#[test]
fn a_topic_made_anew_that_holds_the_offset_again_is_taken_for_another() {
    for (policy, goes_on) in [
        (OutOfRangePolicy::Hold, None),
        (OutOfRangePolicy::Earliest, Some((0, 0))),
        (OutOfRangePolicy::Latest, Some((20, 20))),
    ] {
        let mut bench = Bench::reading(Settings { on_out_of_range: policy, ..settings() });
        bench.take(0, 10..14);
        let batch = bench.batch(0);
        bench.store(&batch);
        let effects = bench.after(0);
        assert!(
            matches!(&effects[..], [Effect::Commit(_, _, known)] if *known == [(tp(0), Offset(10))]),
            "{effects:?}"
        );
        bench.answer(0, 14, CommitOutcome::Gone);
        let asked = bench.after(0);
        bench.take(0, [14]);
        let batch = bench.batch(100);
        bench.store(&batch);
        assert_eq!(commits(&bench.after(2_000)), [], "{policy:?}: nothing is committed over it");
        bench.learns_limits(asked, 0, 20);
        let effects = bench.after(0);
        let seen = format!("{policy:?}: {effects:?}");
        match goes_on {
            None => {
                let why = Hold::OutOfRange { offset: Offset(10), low: Offset(0), high: Offset(20) };
                assert!(
                    effects.iter().any(|effect| matches!(effect, Effect::Held(_, hold) if *hold == why)),
                    "{seen}"
                );
                assert!(why.to_string().contains("made anew"), "{why}");
                assert_eq!(commits(&bench.after(2_000)), []);
            }
            Some((to, lost)) => {
                assert_eq!(commits(&effects), [(0, to)], "{seen}");
                let skipped = effects.iter().find_map(|effect| match effect {
                    Effect::Skipped(_, Policy::OutOfRange, count) => Some(*count),
                    _ => None,
                });
                assert_eq!(skipped.unwrap_or(0), lost, "{seen}");
            }
        }
    }
}

/// Nothing comes from it, so that nothing would be committed.
#[test]
fn a_partition_that_is_idle_while_its_topic_is_missing_commits_again_to_see_if_its_offset_is_there() {
    let mut bench = Bench::reading(settings());
    bench.apply(Input::TopicMissing);
    assert_eq!(commits(&bench.after(0)), [(0, 10)]);
    bench.answer(0, 10, CommitOutcome::Kept);
    assert!(bench.after(2_000).is_empty());
    bench.apply(Input::TopicMissing);
    bench.after(0);
    bench.answer(0, 10, CommitOutcome::Gone);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::ReadRange(_)]), "{effects:?}");
}

/// What was there before it is not in question.
#[test]
fn the_first_offset_of_a_partition_is_committed_over_nothing() {
    let mut bench = Bench::new(settings());
    let (_, epoch) = bench.give(&[0]).remove(0);
    bench.begin(0, epoch, Begin::Unset(Offset(3)));
    let effects = bench.after(0);
    let [Effect::Assign(_), Effect::Commit(_, offsets, known)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((offsets.as_slice(), known.as_slice()), ([(tp(0), Offset(3))].as_slice(), [].as_slice()));
}

/// Whether the client passed over something there nobody can tell any more.
#[test]
fn a_place_in_doubt_that_is_gone_is_read_from_like_any_offset_that_is_gone() {
    let mut bench = Bench::reading(settings());
    let probed = bench.meets_something_unreadable();
    bench.take(0, [15]);
    bench.finds(&probed, Finding::Gone);
    let mut effects = bench.after(0);
    let batch = write_of(&mut effects);
    assert!(matches!(effects.as_slice(), [Effect::Stop(_)]), "{effects:?}");
    bench.store(&batch);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::SeekAndResume(_, Offset(10)), ..]), "{effects:?}");
    bench.loses_its_place(12, 90);
    let held = |effect: &Effect| {
        matches!(effect, Effect::Held(_, Hold::OutOfRange { offset: Offset(10), low: Offset(12), .. }))
    };
    let effects = bench.after(0);
    assert!(effects.iter().any(held), "{effects:?}");
}

#[test]
fn an_offset_that_is_gone_is_jumped_over_and_counted_if_the_user_wants_so() {
    let mut bench = Bench::reading(Settings { on_out_of_range: OutOfRangePolicy::Earliest, ..settings() });
    bench.loses_its_place(50, 90);
    let effects = bench.after(0);
    let [
        Effect::OutOfRange(_),
        Effect::Stop(_),
        Effect::Skipped(_, Policy::OutOfRange, 40),
        Effect::SeekAndResume(_, Offset(50)),
        Effect::Commit(_, offsets, _),
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(*offsets, [(tp(0), Offset(50))]);
}

/// A start that took long was shown as a hold; found late, the jump is counted as ever.
#[test]
fn a_jump_found_late_is_counted_too() {
    let mut bench = Bench::new(settings());
    let (_, epoch) = bench.give(&[0]).remove(0);
    let effects = bench.after(5_000);
    assert!(matches!(effects.as_slice(), [Effect::Held(_, Hold::UnknownStart)]), "{effects:?}");
    bench.begin(0, epoch, Begin::Jump { to: Offset(50), lost: 40 });
    let effects = bench.after(0);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Skipped(_, Policy::OutOfRange, 40))));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::OutOfRange(_))));
    assert_eq!(commits(&effects), [(0, 50)]);
}
