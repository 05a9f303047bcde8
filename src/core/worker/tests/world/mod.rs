//! The worker in a random world: Kafka, its client, the group, Cosmos DB and the clock do whatever
//! they may do, and after every step an oracle that knows everything looks at what the worker asks for.
//!
//! The world keeps to what librdkafka promises: one rebalance at a time, which it waits for an answer
//! to; no records of any partition meanwhile; nobody else gets our partitions while a commit of ours
//! is on its way, unless our membership is over, and then the commit is refused.

mod kafka;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use self::kafka::{Log, Open, Reader};
use super::*;
use crate::core::start::{partition_start, reset_start};

const PARTITIONS: i32 = 3;
const BUDGET: usize = 40_000;
const VALUE: [u8; 900] = [b'x'; 900];

struct World {
    settings: Settings,
    worker: Worker,
    now: Instant,
    logs: BTreeMap<i32, Log>,
    /// Partitions that the group has given us and not got back.
    ours: BTreeSet<i32>,
    /// The rebalance that waits for our answer.
    open: Option<Open>,
    /// The group has given us up, and nobody has told us yet.
    expired: bool,
    client: BTreeMap<i32, Reader>,
    writing: Vec<Writing>,
    commit: Option<Asked>,
    questions: Vec<Question>,
    /// Answers on their way.
    answers: Vec<Input>,
    held: BTreeSet<i32>,
    drained: bool,
}

/// A micro-batch that is being written.
struct Writing {
    batch: Batch,
    /// Its records that have not ended.
    left: Vec<i64>,
    /// What only waits ends unsettled.
    winds_down: bool,
    abandoned: bool,
}

/// A commit on its way.
struct Asked {
    number: CommitNumber,
    offsets: Vec<(TopicPartition, Offset)>,
    /// Our membership was over before it arrived.
    too_late: bool,
}

enum Question {
    Start(TopicPartition, Epoch),
    Offset(TopicPartition, Epoch, Offset),
    Ranges(Vec<(TopicPartition, Epoch, Offset)>),
    Probes(Vec<(TopicPartition, Epoch, Stretch)>),
}

impl Question {
    /// What a probe says that could not tell; other questions are asked until they are answered.
    fn in_vain(self) -> Option<Input> {
        let Self::Probes(stretches) = self else { return None };
        let unknown =
            |(partition, epoch, stretch)| Probed { partition, epoch, stretch, finding: Finding::Unknown };
        Some(Input::Probed(stretches.into_iter().map(unknown).collect()))
    }
}

impl World {
    fn new(settings: Settings) -> Self {
        let worker = Worker::new(settings.clone(), Budget::new(BUDGET));
        Self {
            settings,
            worker,
            now: Instant::now(),
            logs: (0..PARTITIONS).map(|number| (number, Log::default())).collect(),
            ours: BTreeSet::new(),
            open: None,
            expired: false,
            client: BTreeMap::new(),
            writing: Vec::new(),
            commit: None,
            questions: Vec::new(),
            answers: Vec::new(),
            held: BTreeSet::new(),
            drained: false,
        }
    }

    fn log(&mut self, number: i32) -> &mut Log {
        self.logs.get_mut(&number).expect("a partition of the world")
    }

    fn tell(&mut self, input: Input) {
        self.worker.apply(input, self.now);
        self.perform_all();
    }

    fn perform_all(&mut self) {
        for effect in self.worker.effects(self.now) {
            self.perform(effect);
        }
        let unabandoned = self.writing.iter().filter(|writing| !writing.abandoned).count();
        let free = self.worker.budget.used() <= BUDGET + unabandoned.max(1) * 2_000;
        assert!(free, "{} bytes are held", self.worker.budget.used());
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Accept => {
                assert!(matches!(self.open, Some(Open::Give)), "nothing was given: {:?}", self.open);
                self.open = None;
            }
            Effect::Assign(partitions) => {
                for (name, at) in partitions {
                    assert!(self.ours.contains(&name.partition), "{name} is not ours");
                    let before = self.client.insert(name.partition, Reader::at(at.0));
                    assert!(before.is_none(), "the client has {name} already");
                }
            }
            Effect::Unassign(names) => self.unassigned(&names),
            Effect::SeekAndResume(name, at) => {
                let reader = self.client.get_mut(&name.partition).expect("the client has it");
                *reader = Reader::at(at.0);
                self.let_go(name.partition, |record| record < at.0);
            }
            Effect::Pause(name) | Effect::Stop(name) => {
                self.client.get_mut(&name.partition).expect("assigned").paused = true;
            }
            Effect::Resume(name) => self.client.get_mut(&name.partition).expect("assigned").paused = false,
            Effect::Write(batch) => self.written(*batch),
            Effect::WindDown(name, epoch) => self.writing_of(&name, epoch, |batch| batch.winds_down = true),
            Effect::Abandon(name, epoch) => {
                self.writing_of(&name, epoch, |batch| batch.abandoned = true);
                self.let_go(name.partition, |_| false);
            }
            Effect::Commit(number, offsets, _) => self.asked_to_commit(number, offsets),
            Effect::FindStart(wanted) => {
                self.questions.extend(wanted.into_iter().map(|(name, epoch)| Question::Start(name, epoch)));
            }
            Effect::FindOffset(wanted) => {
                let questions =
                    wanted.into_iter().map(|(name, epoch, held)| Question::Offset(name, epoch, held));
                self.questions.extend(questions);
            }
            Effect::ReadRange(wanted) => self.questions.push(Question::Ranges(wanted)),
            Effect::Probe(stretches) => self.questions.push(Question::Probes(stretches)),
            Effect::Held(name, _) => drop(self.held.insert(name.partition)),
            Effect::Released(name) => {
                assert!(self.held.remove(&name.partition), "{name} was not held");
            }
            Effect::Skipped(name, Policy::OutOfRange, _) => self.log(name.partition).jumped(),
            Effect::Skipped(name, Policy::Corrupt, count) => {
                assert!(count > 0, "nothing was left out of {name}");
                self.log(name.partition).left_out();
            }
            Effect::Skipped(_, Policy::Tombstone, _) => panic!("not the worker's to say"),
            Effect::OutOfRange(_) => {}
            Effect::Drained => {
                assert!(self.writing.iter().all(|writing| writing.abandoned), "drained while writing");
                self.drained = true;
            }
        }
    }

    fn unassigned(&mut self, names: &[TopicPartition]) {
        let Some(Open::Revoke { partitions, .. }) = self.open.take() else {
            panic!("nothing is wanted back")
        };
        let given: BTreeSet<i32> = names.iter().map(|name| name.partition).collect();
        assert_eq!(given, partitions, "given back is not what is wanted back");
        for number in given {
            let busy = |writing: &Writing| writing.batch.partition == tp(number) && !writing.abandoned;
            assert!(!self.writing.iter().any(busy), "partition {number} is unassigned while it is written");
            self.gone(number);
        }
    }

    /// A partition is somebody else's now.
    fn gone(&mut self, number: i32) {
        self.ours.remove(&number);
        self.client.remove(&number);
        self.let_go(number, |_| false);
    }

    /// The worker has in hand only records that are being written, and those that fit `keep`.
    fn let_go(&mut self, number: i32, keep: impl Fn(i64) -> bool) {
        let written: BTreeSet<i64> = self
            .writing
            .iter()
            .filter(|writing| writing.batch.partition == tp(number) && !writing.abandoned)
            .flat_map(|writing| writing.left.iter().copied())
            .collect();
        self.log(number).let_go(|record| keep(record) || written.contains(&record));
    }

    fn writing_of(&mut self, name: &TopicPartition, epoch: Epoch, act: impl Fn(&mut Writing)) {
        let these = |writing: &&mut Writing| writing.batch.partition == *name && writing.batch.epoch == epoch;
        self.writing.iter_mut().filter(these).for_each(act);
    }

    fn written(&mut self, batch: Batch) {
        let busy = |writing: &&Writing| writing.batch.partition == batch.partition && !writing.abandoned;
        assert_eq!(self.writing.iter().filter(busy).count(), 0, "two micro-batches of a partition at once");
        let left = (0..batch.records.len()).map(|index| batch.records.offset(index).0).collect();
        self.writing.push(Writing { batch, left, winds_down: false, abandoned: false });
    }

    fn asked_to_commit(&mut self, number: CommitNumber, offsets: Vec<(TopicPartition, Offset)>) {
        assert!(self.commit.is_none(), "two commits at once");
        for (name, offset) in &offsets {
            assert!(self.ours.contains(&name.partition), "commit of {name}, which is not ours");
            let log = &self.logs[&name.partition];
            if !self.expired {
                assert!(offset.0 >= log.committed, "{name} goes back from {} to {offset}", log.committed);
            }
            let lost: Vec<i64> = log.lost_below(offset.0).collect();
            assert!(lost.is_empty(), "commit of {name} up to {offset}: {lost:?} are lost");
        }
        self.commit = Some(Asked { number, offsets, too_late: self.expired });
    }

    /// The answer to a question, as things are now, if there is one.
    fn look(&mut self, question: Question) -> Option<Input> {
        let policy = self.settings.on_out_of_range;
        Some(match question {
            Question::Start(partition, epoch) => {
                let log = self.log(partition.partition);
                let (low, high) = log.limits(policy);
                let at = partition_start(Some(Offset(log.committed)), None, low, high, policy);
                Input::Begin { partition, epoch, at }
            }
            Question::Offset(partition, epoch, held) => {
                let log = self.log(partition.partition);
                let (low, high) = log.limits(policy);
                let at = reset_start(Some(Offset(log.committed)), held, low, high, policy)?;
                Input::OffsetSet { partition, epoch, at }
            }
            Question::Ranges(wanted) => {
                let ranges = wanted.into_iter().map(|(partition, epoch, position)| {
                    let (low, high) = self.log(partition.partition).limits(policy);
                    Range { partition, epoch, position, low, high }
                });
                Input::Ranges(ranges.collect())
            }
            Question::Probes(stretches) => {
                let found = stretches.into_iter().map(|(partition, epoch, stretch)| {
                    let finding = self.log(partition.partition).probe(stretch);
                    Probed { partition, epoch, stretch, finding }
                });
                Input::Probed(found.collect())
            }
        })
    }

    /// Kafka takes the commit, or not, and the worker hears of it, or of something else.
    fn answer_commit(&mut self, is_kept: bool, told: CommitOutcome) {
        let Some(Asked { number, offsets, too_late }) = self.commit.take() else { return };
        let is_kept = is_kept && !too_late;
        let told = if too_late { CommitOutcome::Refused } else { told };
        for (name, offset) in offsets.iter().filter(|_| is_kept) {
            self.log(name.partition).committed = offset.0;
        }
        let told = if told == CommitOutcome::Kept && !is_kept { CommitOutcome::TryAgain } else { told };
        let answers = offsets.into_iter().map(|(name, offset)| (name, offset, told)).collect();
        self.tell(Input::Committed { number, answers });
    }

    fn is_held_out_of_range(&self, number: i32) -> bool {
        self.worker.standing().any(|standing| {
            standing.partition.partition == number && matches!(standing.hold, Some(Hold::OutOfRange { .. }))
        })
    }
}
