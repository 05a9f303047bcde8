//! Micro-batches: when they are cut, and who waits for whom.

use super::*;

#[test]
fn a_batch_is_cut_when_it_is_full() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    assert_eq!(bench.batch(0).records.len(), 4);
}

#[test]
fn a_batch_is_cut_when_the_interval_is_over() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    assert!(bench.after(99).is_empty());
    assert_eq!(bench.batch(1).records.len(), 1);
}

#[test]
fn the_next_batch_waits_until_the_one_before_has_ended() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let first = bench.batch(0);
    bench.take(0, 14..18);
    assert!(bench.after(500).is_empty());
    bench.settle(&first, 10..14);
    bench.end(&first);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Write(_), Effect::Commit(..)]), "{effects:?}");
}

#[test]
fn a_full_partition_makes_the_others_wait_a_moment_and_is_then_paused_alone() {
    let mut bench = Bench::new(settings());
    bench.assign(&[(0, 10), (1, 10)]);
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    assert_eq!(bench.worker.appetite(bench.now), Appetite::Hungry);
    bench.take(0, 14..18);
    let until = bench.now + Duration::from_millis(200);
    assert_eq!(bench.worker.appetite(bench.now), Appetite::Wait(until));
    bench.now = until;
    assert_eq!(bench.worker.appetite(bench.now), Appetite::Hungry);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Pause(name)] if *name == tp(0)), "{effects:?}");
    // Once there is room again, it goes on.
    bench.settle(&batch, 10..14);
    bench.end(&batch);
    bench.after(0);
    assert_eq!(bench.worker.appetite(bench.now), Appetite::Hungry);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Resume(name)] if *name == tp(0)), "{effects:?}");
    // It has been slow: the next time it is paused at once.
    bench.take(0, 18..22);
    assert_eq!(bench.worker.appetite(bench.now), Appetite::Hungry);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Pause(_)]), "{effects:?}");
}

/// Pausing throws away what the client has prefetched, so it is done for somebody's sake only.
#[test]
fn nothing_is_paused_while_all_have_something_to_write() {
    let mut bench = Bench::new(settings());
    bench.assign(&[(0, 10), (1, 10)]);
    bench.take(0, 10..14);
    let first = bench.batch(0);
    bench.take(1, [10]);
    bench.after(500);
    bench.take(0, 14..18);
    let begun = bench.now;
    let mut taken = 0;
    while bench.now < begun + Duration::from_secs(10) {
        match bench.worker.appetite(bench.now) {
            Appetite::Wait(until) => bench.now = until,
            // What the group wants would come now, behind a record.
            Appetite::Hungry => {
                bench.take(0, [18 + taken]);
                taken += 1;
            }
        }
        assert!(bench.after(0).is_empty());
    }
    assert_eq!(taken, 49, "one each 200 ms");
    bench.settle(&first, 10..14);
    bench.end(&first);
    let effects = bench.after(0);
    let next = effects.iter().find_map(|effect| match effect {
        Effect::Write(batch) => batch.records.range(),
        _ => None,
    });
    assert_eq!(next, Some((Offset(14), Offset(17))), "no batch is larger for that");
}

#[test]
fn records_of_a_batch_whose_writer_broke_down_are_read_again() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.take(0, [14]);
    bench.settle(&batch, [10, 12]);
    bench.end(&batch);
    let effects = bench.after(0);
    let [Effect::SeekAndResume(_, Offset(11)), Effect::Commit(..)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    bench.take(0, 11..15);
    assert_eq!(bench.batch(0).records.range(), Some((Offset(11), Offset(14))));
}

#[test]
fn a_worker_with_nothing_to_do_sleeps() {
    let mut bench = Bench::committing();
    let sleep = |bench: &Bench| bench.worker.wake_at(bench.now).duration_since(bench.now);
    assert_eq!(sleep(&bench), settings().longest_sleep, "while a commit is on its way");
    bench.answer(0, 11, CommitOutcome::Kept);
    bench.after(60_000);
    assert_eq!(sleep(&bench), settings().longest_sleep, "long after the last commit");
}

/// For a moment another as large is expected.
#[test]
fn one_large_record_does_not_keep_the_batches_behind_it_small() {
    let mut bench = Bench::reading(Settings { max_events: 100, ..settings() });
    let large = vec![b'x'; 600 << 10];
    bench.worker.take("t", 0, &record(10, &large), bench.now);
    let batch = bench.batch(0);
    bench.store(&batch);
    drop(batch);
    let mut sizes = Vec::new();
    let mut next = 11;
    for _ in 0..4 {
        let all = next + 50;
        while next < all {
            next += 1;
            if !bench.worker.take("t", 0, &record(next, b"{}"), bench.now) {
                break;
            }
        }
        let batch = super::trouble::write_of(&mut bench.after(100));
        sizes.push(batch.records.len());
        bench.store(&batch);
    }
    assert_eq!(sizes, [1, 50, 50, 50]);
}

/// What the group wants comes behind the records, so some are taken all the same. They are few.
#[test]
fn what_is_taken_while_all_are_full_stays_within_half_a_mebibyte() {
    let budget = 32 << 20;
    let mut bench = Bench::new(Settings { max_events: 100_000, ..settings() });
    bench.worker.budget = Budget::new(budget);
    bench.assign(&[(0, 0), (1, 0)]);
    let value = vec![b'x'; 1_000];
    let mut next = [0, 0];
    // As many as come in one go; gives whether there may be more.
    let mut burst = |bench: &mut Bench, number: usize| {
        (0..256).all(|_| {
            let record = record(next[number], &value);
            next[number] += 1;
            bench.worker.take("t", number as i32, &record, bench.now)
        })
    };
    let mut held = Vec::new();
    // The first has all that it may have, and is written. The second comes late.
    for number in [0, 1, 0] {
        while burst(&mut bench, number) {}
        held.extend(bench.after(100));
    }
    let begun = bench.now;
    while !held.iter().any(|effect| matches!(effect, Effect::Pause(_))) {
        match bench.worker.appetite(bench.now) {
            Appetite::Wait(until) => bench.now = until,
            Appetite::Hungry => drop(burst(&mut bench, 1)),
        }
        held.extend(bench.after(1));
    }
    assert!(bench.now > begun + Duration::from_mins(1), "after {:?}", bench.now - begun);
    let beside = bench.worker.budget.used().saturating_sub(budget);
    assert!((1..=(512 << 10) + (64 << 10)).contains(&beside), "{beside} bytes beside the budget");
}
