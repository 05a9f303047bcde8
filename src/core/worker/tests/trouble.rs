//! Records that cannot be read, offsets that do not exist.

use super::*;

#[test]
fn no_commit_passes_a_place_in_doubt_until_a_probe_has_found_it_readable() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10, 11]);
    bench.worker.apply(Input::Unreadable, bench.now);
    let effects = bench.after(0);
    let [Effect::Probe(places)] = effects.as_slice() else { panic!("{effects:?}") };
    let (partition, epoch, place) = places[0].clone();
    assert_eq!(place, Offset(12));
    bench.take(0, [20, 21]);
    let batch = bench.batch(0);
    bench.settle(&batch, [10, 11, 20, 21]);
    bench.end(&batch);
    assert_eq!(commits(&bench.after(0)), [(0, 12)]);
    bench.answer(0, 12, CommitOutcome::Kept);
    assert_eq!(commits(&bench.after(1_000)), []);
    let finding = Finding::Readable;
    bench.worker.apply(Input::Probed(vec![Probed { partition, epoch, place, finding }]), bench.now);
    assert_eq!(commits(&bench.after(0)), [(0, 22)]);
}

#[test]
fn an_unreadable_batch_holds_the_partition_where_it_is() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    bench.worker.apply(Input::Unreadable, bench.now);
    let (partition, epoch, place) = match bench.after(0).remove(0) {
        Effect::Probe(mut places) => places.remove(0),
        other => panic!("{other:?}"),
    };
    bench.take(0, [15]);
    let finding = Finding::Unreadable { resumes_at: Some(Offset(15)) };
    let probed = Probed { partition, epoch, place, finding };
    bench.worker.apply(Input::Probed(vec![probed.clone()]), bench.now);
    let effects = bench.after(0);
    let [Effect::Pause(_), Effect::Held(_, Hold::Corrupt { at: Offset(11) })] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    // Healed, it reads on from behind what is settled: nothing is.
    let effects = bench.after(30_000);
    assert!(matches!(effects.as_slice(), [Effect::Probe(_)]), "{effects:?}");
    bench.worker.apply(Input::Probed(vec![Probed { finding: Finding::Readable, ..probed }]), bench.now);
    let effects = bench.after(0);
    assert!(
        matches!(effects.as_slice(), [Effect::Released(_), Effect::SeekAndResume(_, Offset(10))]),
        "{effects:?}"
    );
}

#[test]
fn an_unreadable_batch_is_left_out_and_counted_if_the_user_wants_so() {
    let mut bench = Bench::reading(Settings { skip_corrupt: true, ..settings() });
    bench.take(0, [10]);
    bench.worker.apply(Input::Unreadable, bench.now);
    let (partition, epoch, place) = match bench.after(0).remove(0) {
        Effect::Probe(mut places) => places.remove(0),
        other => panic!("{other:?}"),
    };
    bench.take(0, [15]);
    let finding = Finding::Unreadable { resumes_at: Some(Offset(15)) };
    bench.worker.apply(Input::Probed(vec![Probed { partition, epoch, place, finding }]), bench.now);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Skipped(_, Policy::Corrupt, 4)]), "{effects:?}");
    let batch = bench.batch(100);
    bench.settle(&batch, [10, 15]);
    assert_eq!(commits(&bench.after(0)), [(0, 16)]);
}

#[test]
fn an_offset_that_is_gone_holds_its_partition_alone() {
    let mut bench = Bench::new(settings());
    bench.assign(&[(0, 10), (1, 10)]);
    bench.worker.apply(Input::OffsetGone, bench.now);
    let epochs = match bench.after(0).remove(0) {
        Effect::ReadRange(wanted) => wanted,
        other => panic!("{other:?}"),
    };
    let ranges = |low: i64| {
        let limits = [(low, 90), (0, 90)];
        epochs.iter().zip(limits).map(|((partition, epoch), (low, high))| Range {
            partition: partition.clone(),
            epoch: *epoch,
            low: Offset(low),
            high: Offset(high),
        })
    };
    bench.worker.apply(Input::Ranges(ranges(50).collect()), bench.now);
    let effects = bench.after(0);
    let [Effect::OutOfRange(_), Effect::Pause(paused), Effect::Held(held, why)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((paused, held), (&tp(0), &tp(0)));
    assert_eq!(*why, Hold::OutOfRange { offset: Offset(10), low: Offset(50), high: Offset(90) });
    // An operator sets the offset; it is seen at the next look.
    let effects = bench.after(30_000);
    let [Effect::FindStart(wanted)] = effects.as_slice() else { panic!("{effects:?}") };
    let (partition, epoch) = wanted[0].clone();
    bench.worker.apply(Input::Begin { partition, epoch, at: Begin::At(Offset(50)) }, bench.now);
    let effects = bench.after(0);
    assert!(
        effects.iter().any(|effect| matches!(effect, Effect::SeekAndResume(_, Offset(50)))),
        "{effects:?}"
    );
}

#[test]
fn an_offset_that_is_gone_is_jumped_over_and_counted_if_the_user_wants_so() {
    let mut bench = Bench::reading(Settings { on_out_of_range: OutOfRangePolicy::Earliest, ..settings() });
    bench.worker.apply(Input::OffsetGone, bench.now);
    let (partition, epoch) = match bench.after(0).remove(0) {
        Effect::ReadRange(mut wanted) => wanted.remove(0),
        other => panic!("{other:?}"),
    };
    let range = Range { partition, epoch, low: Offset(50), high: Offset(90) };
    bench.worker.apply(Input::Ranges(vec![range]), bench.now);
    let effects = bench.after(0);
    assert!(
        matches!(
            effects.as_slice(),
            [
                Effect::OutOfRange(_),
                Effect::Skipped(_, Policy::OutOfRange, 40),
                Effect::SeekAndResume(_, Offset(50)),
                Effect::Commit(_)
            ]
        ),
        "{effects:?}"
    );
    assert_eq!(commits(&effects), [(0, 50)]);
}
