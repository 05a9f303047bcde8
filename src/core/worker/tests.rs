//! The worker against small, readable situations, and against a random world with an oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::core::kafka::Offset;
use crate::core::settled::{Policy, Settled, Settlement};

fn tp(number: i32) -> TopicPartition {
    TopicPartition::new("t", number)
}

fn record(offset: i64, value: &[u8]) -> RawRecord<'_> {
    RawRecord {
        offset: Offset(offset),
        timestamp_millis: Some(offset),
        key: None,
        value: Some(value),
        headers: &[],
    }
}

fn settings() -> Settings {
    Settings { max_events: 4, interval: Duration::from_millis(100), ..Settings::default() }
}

/// A worker, a clock, and what the worker asked for.
struct Bench {
    worker: Worker,
    now: Instant,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Self { worker: Worker::new(settings, Budget::new(1 << 20)), now: Instant::now() }
    }

    /// Owns partition 0, reading from offset 10.
    fn reading(settings: Settings) -> Self {
        let mut bench = Self::new(settings);
        bench.assign(&[(0, 10)]);
        bench
    }

    fn assign(&mut self, starts: &[(i32, i64)]) {
        self.worker.apply(Input::Assigned(starts.iter().map(|(number, _)| tp(*number)).collect()), self.now);
        let effects = self.worker.effects(self.now);
        let [Effect::FindStart(wanted)] = effects.as_slice() else { panic!("{effects:?}") };
        for ((partition, epoch), (_, offset)) in wanted.iter().zip(starts) {
            let at = Begin::At(Offset(*offset));
            self.worker.apply(Input::Begin { partition: partition.clone(), epoch: *epoch, at }, self.now);
        }
        let effects = self.worker.effects(self.now);
        assert!(matches!(effects.as_slice(), [Effect::Assign(_)]), "{effects:?}");
    }

    fn take(&mut self, number: i32, offsets: impl IntoIterator<Item = i64>) {
        for offset in offsets {
            self.worker.take("t", number, &record(offset, b"{}"), self.now);
        }
    }

    fn after(&mut self, millis: u64) -> Vec<Effect> {
        self.now += Duration::from_millis(millis);
        self.worker.effects(self.now)
    }

    fn batch(&mut self, millis: u64) -> Batch {
        match self.after(millis).pop() {
            Some(Effect::Write(batch)) => *batch,
            other => panic!("a micro-batch was expected, not {other:?}"),
        }
    }

    fn settle(&mut self, batch: &Batch, offsets: impl IntoIterator<Item = i64>) {
        let settlements = offsets
            .into_iter()
            .map(|offset| Settlement { offset: Offset(offset), outcome: Settled::Stored })
            .collect();
        let (partition, epoch) = (batch.partition.clone(), batch.epoch);
        self.worker.apply(Input::Settled { partition, epoch, settlements }, self.now);
    }

    fn end(&mut self, batch: &Batch) {
        let (partition, epoch) = (batch.partition.clone(), batch.epoch);
        self.worker.apply(Input::Ended { partition, epoch }, self.now);
    }

    fn answer(&mut self, number: i32, offset: i64, outcome: CommitOutcome) {
        self.worker.apply(Input::Committed(vec![(tp(number), Offset(offset), outcome)]), self.now);
    }

    fn revoke(&mut self, number: i32, lost: bool) {
        self.worker.apply(Input::Revoked { partitions: vec![tp(number)], lost }, self.now);
    }
}

fn commits(effects: &[Effect]) -> Vec<(i32, i64)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Commit(offsets) => Some(offsets),
            _ => None,
        })
        .flatten()
        .map(|(name, offset)| (name.partition, offset.0))
        .collect()
}

fn unassigned(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Unassign(_)))
}

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
    assert!(matches!(effects.as_slice(), [Effect::Write(_), Effect::Commit(_)]), "{effects:?}");
}

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
fn a_worker_with_nothing_to_do_sleeps() {
    let mut bench = Bench::reading(settings());
    bench.take(0, [10]);
    let batch = bench.batch(100);
    bench.settle(&batch, [10]);
    bench.end(&batch);
    assert_eq!(commits(&bench.after(0)), [(0, 11)]);
    let sleep = |bench: &Bench| bench.worker.wake_at(bench.now).duration_since(bench.now);
    assert_eq!(sleep(&bench), settings().longest_sleep, "while a commit is on its way");
    bench.answer(0, 11, CommitOutcome::Kept);
    bench.after(60_000);
    assert_eq!(sleep(&bench), settings().longest_sleep, "long after the last commit");
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
fn a_revoked_partition_settles_and_commits_before_it_is_given_up() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.take(0, [14]);
    bench.revoke(0, false);
    let effects = bench.after(0);
    assert!(matches!(effects.as_slice(), [Effect::Pause(_)]), "{effects:?}");
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

#[test]
fn records_of_a_batch_whose_writer_broke_down_are_read_again() {
    let mut bench = Bench::reading(settings());
    bench.take(0, 10..14);
    let batch = bench.batch(0);
    bench.take(0, [14]);
    bench.settle(&batch, [10, 12]);
    bench.end(&batch);
    let effects = bench.after(0);
    let [Effect::SeekAndResume(_, Offset(11)), Effect::Commit(_)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    bench.take(0, 11..15);
    assert_eq!(bench.batch(0).records.range(), Some((Offset(11), Offset(14))));
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

/// What the random world knows: what every partition holds, what was stored, what was committed.
#[derive(Default)]
struct World {
    /// Offsets of each partition's records; there are gaps.
    logs: BTreeMap<i32, Vec<i64>>,
    stored: BTreeSet<(i32, i64)>,
    committed: BTreeMap<i32, i64>,
    owned: BTreeMap<i32, Reader>,
    writing: Vec<Writing>,
    asked: Vec<(TopicPartition, Offset)>,
}

#[derive(Default)]
struct Reader {
    position: i64,
    paused: bool,
}

struct Writing {
    batch: Batch,
    left: Vec<i64>,
    abandoned: bool,
}

impl World {
    fn perform(&mut self, worker: &mut Worker, effects: Vec<Effect>, now: Instant) {
        for effect in effects {
            match effect {
                Effect::FindStart(wanted) => {
                    for (partition, epoch) in wanted {
                        let at = self.committed.get(&partition.partition).copied().unwrap_or(0);
                        worker.apply(Input::Begin { partition, epoch, at: Begin::At(Offset(at)) }, now);
                    }
                    let effects = worker.effects(now);
                    self.perform(worker, effects, now);
                }
                Effect::Assign(partitions) => {
                    for (name, at) in partitions {
                        let reader = Reader { position: at.map_or(0, |at| at.0), paused: at.is_none() };
                        self.owned.insert(name.partition, reader);
                    }
                }
                Effect::Unassign(names) => {
                    for name in names {
                        let busy = |writing: &&Writing| writing.batch.partition == name && !writing.abandoned;
                        assert_eq!(self.writing.iter().filter(busy).count(), 0, "unassigned while writing");
                        self.owned.remove(&name.partition);
                    }
                }
                Effect::Pause(name) => self.owned.get_mut(&name.partition).unwrap().paused = true,
                Effect::Resume(name) => self.owned.get_mut(&name.partition).unwrap().paused = false,
                Effect::Write(batch) => {
                    let busy =
                        |writing: &&Writing| writing.batch.partition == batch.partition && !writing.abandoned;
                    assert_eq!(self.writing.iter().filter(busy).count(), 0, "two batches at once");
                    let left = (0..batch.records.len()).map(|index| batch.records.offset(index).0).collect();
                    self.writing.push(Writing { batch: *batch, left, abandoned: false });
                }
                Effect::Abandon(name, epoch) => {
                    for writing in &mut self.writing {
                        if writing.batch.partition == name && writing.batch.epoch == epoch {
                            writing.abandoned = true;
                        }
                    }
                }
                Effect::Commit(offsets) => {
                    assert!(self.asked.is_empty(), "two commits at once");
                    for (name, offset) in &offsets {
                        assert!(
                            self.owned.contains_key(&name.partition),
                            "commit of {name}, which is not ours"
                        );
                        let before = self.committed.get(&name.partition).copied().unwrap_or(0);
                        assert!(offset.0 >= before, "{name} went back from {before} to {offset}");
                        for record in self.logs[&name.partition].iter().filter(|record| **record < offset.0) {
                            assert!(
                                self.stored.contains(&(name.partition, *record)),
                                "{name} {record} is lost"
                            );
                        }
                    }
                    self.asked = offsets;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Assign(i32),
    Revoke(i32),
    Lose(i32),
    Produce(i32, i64),
    Deliver(i32, usize),
    Settle(usize, usize),
    Answer(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..3i32;
    prop_oneof![
        2 => number.clone().prop_map(Step::Assign),
        1 => number.clone().prop_map(Step::Revoke),
        1 => number.clone().prop_map(Step::Lose),
        6 => (number.clone(), 1..4i64).prop_map(|(number, gap)| Step::Produce(number, gap)),
        8 => (number, 1..6usize).prop_map(|(number, count)| Step::Deliver(number, count)),
        8 => (0..9usize, 0..9usize).prop_map(|(which, record)| Step::Settle(which, record)),
        4 => any::<bool>().prop_map(Step::Answer),
        4 => prop_oneof![1..300u64, Just(2_000), Just(26_000)].prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the group, the clock, the writes and the commits do: nothing is committed that is not
    /// stored, commits never go back, and never leave the partitions that are ours.
    #[test]
    fn nothing_is_lost_in_a_random_world(steps in prop::collection::vec(step(), 1..250)) {
        let mut world = World::default();
        (0..3).for_each(|number| { world.logs.insert(number, Vec::new()); });
        let mut worker = Worker::new(settings(), Budget::new(40_000));
        let mut now = Instant::now();
        let mut members: BTreeSet<i32> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Assign(number) if !members.contains(&number) && !world.owned.contains_key(&number) => {
                    members.insert(number);
                    worker.apply(Input::Assigned(vec![tp(number)]), now);
                }
                Step::Revoke(number) if members.remove(&number) => {
                    worker.apply(Input::Revoked { partitions: vec![tp(number)], lost: false }, now);
                }
                Step::Lose(number) if members.remove(&number) => {
                    // Kafka takes no commit of a generation that is over.
                    world.asked.retain(|(name, _)| name.partition != number);
                    worker.apply(Input::Revoked { partitions: vec![tp(number)], lost: true }, now);
                }
                Step::Produce(number, gap) => {
                    let log = world.logs.get_mut(&number).unwrap();
                    log.push(log.last().map_or(0, |last| last + gap));
                }
                Step::Deliver(number, count) => {
                    for _ in 0..count {
                        if matches!(worker.appetite(now), Appetite::Wait(_)) {
                            break;
                        }
                        let effects = worker.effects(now);
                        world.perform(&mut worker, effects, now);
                        let Some(reader) = world.owned.get_mut(&number).filter(|reader| !reader.paused) else { break };
                        let next = world.logs[&number].iter().find(|offset| **offset >= reader.position);
                        let Some(offset) = next.copied() else { break };
                        reader.position = offset + 1;
                        worker.take("t", number, &record(offset, &[b'x'; 900]), now);
                    }
                }
                Step::Settle(which, which_record) if !world.writing.is_empty() => {
                    let which = which % world.writing.len();
                    let writing = &mut world.writing[which];
                    let (partition, epoch) = (writing.batch.partition.clone(), writing.batch.epoch);
                    if !writing.left.is_empty() && !writing.abandoned {
                        let offset = writing.left.swap_remove(which_record % writing.left.len());
                        world.stored.insert((partition.partition, offset));
                        let settlements = vec![Settlement { offset: Offset(offset), outcome: Settled::Stored }];
                        worker.apply(Input::Settled { partition, epoch, settlements }, now);
                    } else {
                        world.writing.swap_remove(which);
                        worker.apply(Input::Ended { partition, epoch }, now);
                    }
                }
                Step::Answer(kept) if !world.asked.is_empty() => {
                    let outcome = if kept { CommitOutcome::Kept } else { CommitOutcome::TryAgain };
                    let asked = std::mem::take(&mut world.asked);
                    for (name, offset) in &asked {
                        if kept && world.owned.contains_key(&name.partition) {
                            world.committed.insert(name.partition, offset.0);
                        }
                    }
                    worker.apply(Input::Committed(asked.into_iter().map(|(name, offset)| (name, offset, outcome)).collect()), now);
                }
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    // Kafka answers every commit before the worker gives up waiting for it.
                    let asked = std::mem::take(&mut world.asked);
                    let refused = asked.into_iter().map(|(name, offset)| (name, offset, CommitOutcome::TryAgain));
                    worker.apply(Input::Committed(refused.collect()), now);
                }
                _ => {}
            }
            let effects = worker.effects(now);
            world.perform(&mut worker, effects, now);
            prop_assert!(worker.budget.used() <= 40_000 + 3 * 2_000, "the budget is kept");
        }
    }
}
