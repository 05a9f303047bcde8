//! The worker in a random world with an oracle.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

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
    winding_down: bool,
    abandoned: bool,
}

impl World {
    fn writing_of(&mut self, name: &TopicPartition, epoch: Epoch) -> impl Iterator<Item = &mut Writing> {
        let name = name.clone();
        self.writing
            .iter_mut()
            .filter(move |writing| writing.batch.partition == name && writing.batch.epoch == epoch)
    }

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
                    self.writing.push(Writing { batch: *batch, left, winding_down: false, abandoned: false });
                }
                Effect::WindDown(name, epoch) => {
                    self.writing_of(&name, epoch).for_each(|writing| writing.winding_down = true);
                }
                Effect::Abandon(name, epoch) => {
                    self.writing_of(&name, epoch).for_each(|writing| writing.abandoned = true);
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
                    // What only waits ends unsettled while the batch winds down.
                    let gives_up = writing.abandoned || writing.winding_down && which_record > 5;
                    if !writing.left.is_empty() && !gives_up {
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
