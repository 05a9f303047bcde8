//! What may happen in the world, and that it comes to rest when nothing more goes wrong.

use proptest::prelude::*;

use super::kafka::{Next, Open};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// The group gives a partition.
    Give(i32),
    /// The group wants a partition back.
    Revoke(i32),
    /// The group has given us up; it says so when nothing else is open.
    Expire,
    Lose,
    /// Another member works on a partition that is not ours.
    Others(i32, usize),
    Produce(i32, i64, bool),
    Delete(i32, i64),
    /// The first thing of a partition that cannot be read is repaired, or all of them are.
    Repair(i32),
    Heal,
    Deliver(i32, usize),
    /// A record of a micro-batch ends, or the micro-batch does.
    Settle(usize, usize),
    /// Whoever writes a micro-batch breaks down.
    Break(usize),
    /// A question is looked into; its answer is heard later.
    Look(usize),
    /// Probes cannot tell.
    LookInVain,
    Hear(usize),
    AnswerCommit(bool, CommitOutcome),
    Operator(i32),
    Wait(u64),
    Drain,
    ClientLost,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..PARTITIONS;
    let outcome = prop_oneof![
        6 => Just(CommitOutcome::Kept),
        1 => Just(CommitOutcome::TryAgain),
        1 => Just(CommitOutcome::Refused)
    ];
    let wait = prop_oneof![6 => 1..300u64, 2 => Just(2_000), 1 => Just(6_000), 1 => Just(31_000)];
    prop_oneof![
        12 => number().prop_map(Step::Give),
        4 => number().prop_map(Step::Revoke),
        1 => Just(Step::Expire),
        2 => Just(Step::Lose),
        2 => (number(), 1..4usize).prop_map(|(number, count)| Step::Others(number, count)),
        14 => (number(), 1..4i64, prop::bool::weighted(0.9))
            .prop_map(|(number, gap, readable)| Step::Produce(number, gap, readable)),
        1 => (number(), 1..200i64).prop_map(|(number, low)| Step::Delete(number, low)),
        1 => number().prop_map(Step::Repair),
        1 => Just(Step::Heal),
        20 => (number(), 1..8usize).prop_map(|(number, count)| Step::Deliver(number, count)),
        20 => (0..9usize, 0..9usize).prop_map(|(which, record)| Step::Settle(which, record)),
        1 => (0..9usize).prop_map(Step::Break),
        14 => (0..9usize).prop_map(Step::Look),
        2 => Just(Step::LookInVain),
        14 => (0..9usize).prop_map(Step::Hear),
        8 => (prop::bool::weighted(0.9), outcome).prop_map(|(kept, told)| Step::AnswerCommit(kept, told)),
        1 => number().prop_map(Step::Operator),
        8 => wait.prop_map(Step::Wait),
        1 => Just(Step::Drain),
        1 => Just(Step::ClientLost),
        1 => Just(Step::Kill),
    ]
}

fn machine() -> impl Strategy<Value = Settings> {
    let policy = prop_oneof![
        Just(OutOfRangePolicy::Hold),
        Just(OutOfRangePolicy::Earliest),
        Just(OutOfRangePolicy::Latest)
    ];
    (policy, any::<bool>()).prop_map(|(on_out_of_range, skip_corrupt)| Settings {
        on_out_of_range,
        skip_corrupt,
        ..settings()
    })
}

impl World {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Give(number) => self.give(number),
            Step::Revoke(number) => self.revoke(BTreeSet::from([number]), false),
            Step::Expire => self.expire(),
            Step::Lose => {
                self.expire();
                self.revoke(self.ours.clone(), true);
            }
            Step::Others(number, count) => {
                let on_its_way = self.commit.as_ref().is_some_and(|commit| !commit.too_late);
                if (!self.ours.contains(&number) && !on_its_way) || self.expired {
                    self.log(number).others_go_on(count);
                }
            }
            Step::Produce(number, gap, is_readable) => self.log(number).produce(gap, is_readable),
            Step::Delete(number, low) => self.log(number).delete_below(low),
            Step::Repair(number) => self.log(number).repair(),
            Step::Heal => self.logs.values_mut().for_each(Log::heal),
            Step::Deliver(number, count) => self.deliver(number, count),
            Step::Settle(which, record) => self.settle(which, record),
            Step::Break(which) if !self.writing.is_empty() => {
                let writing = self.writing.swap_remove(which % self.writing.len());
                let (partition, epoch) = (writing.batch.partition, writing.batch.epoch);
                if !writing.abandoned {
                    self.log(partition.partition).let_go(|record| !writing.left.contains(&record));
                }
                self.tell(Input::Ended { partition, epoch });
            }
            Step::Look(which) if !self.questions.is_empty() => {
                let question = self.questions.swap_remove(which % self.questions.len());
                let answer = self.look(question);
                self.answers.extend(answer);
            }
            Step::LookInVain => {
                let probes = self.questions.extract_if(.., |asked| matches!(asked, Question::Probes(_)));
                self.answers.extend(probes.filter_map(Question::in_vain));
            }
            Step::Hear(which) if !self.answers.is_empty() => {
                let answer = self.answers.swap_remove(which % self.answers.len());
                self.tell(answer);
            }
            Step::AnswerCommit(is_kept, told) => self.answer_commit(is_kept, told),
            Step::Operator(number) => {
                let on_its_way = self.commit.is_some();
                if self.is_held_out_of_range(number) && !on_its_way && !self.expired {
                    self.log(number).set_offset();
                }
            }
            Step::Wait(millis) => self.wait(millis),
            Step::Drain => self.tell(Input::Drain),
            Step::ClientLost => {
                self.expire();
                self.client_is_new();
                self.tell(Input::ClientLost);
            }
            Step::Kill => self.start_anew(),
            Step::Break(_) | Step::Look(_) | Step::Hear(_) => {}
        }
        if self.drained {
            self.start_anew();
        }
    }

    fn give(&mut self, number: i32) {
        // The client joins the group again only when its commits are answered.
        let on_its_way = self.commit.as_ref().is_some_and(|commit| {
            !commit.too_late && commit.offsets.iter().any(|(name, _)| name.partition == number)
        });
        if self.open.is_none() && !self.expired && !on_its_way && self.ours.insert(number) {
            self.open = Some(Open::Give);
            self.tell(Input::Assigned(vec![tp(number)]));
        }
    }

    fn revoke(&mut self, partitions: BTreeSet<i32>, lost: bool) {
        let is_due = self.open.is_none() && self.expired == lost && partitions.is_subset(&self.ours);
        if !is_due || partitions.is_empty() {
            return;
        }
        let names = partitions.iter().copied().map(tp).collect();
        self.open = Some(Open::Revoke { partitions, since: self.now });
        self.tell(Input::Revoked { partitions: names, lost });
        // With its answer the client joins anew.
        self.expired = self.expired && !lost;
    }

    fn expire(&mut self) {
        self.expired = !self.ours.is_empty();
        if let Some(commit) = &mut self.commit {
            commit.too_late |= self.expired;
        }
    }

    fn deliver(&mut self, number: i32, count: usize) {
        for _ in 0..count {
            if matches!(self.worker.appetite(self.now), Appetite::Wait(_)) {
                return;
            }
            self.perform_all();
            let is_read = |reader: &&mut Reader| !reader.paused && !reader.stopped;
            let Some(reader) = self.client.get_mut(&number).filter(is_read) else { return };
            if self.open.is_some() {
                return;
            }
            match self.logs[&number].next(reader.position) {
                Next::End => return,
                Next::Deleted => {
                    reader.stopped = true;
                    self.tell(Input::OffsetGone);
                }
                Next::Unreadable(offset) => {
                    // What the client does next is not to be relied on.
                    reader.position = match count {
                        1 => offset,
                        2 => offset + 7,
                        _ => offset + 1,
                    };
                    self.tell(Input::Unreadable);
                }
                Next::Record(offset) => {
                    reader.position = offset + 1;
                    let before = self.position(number);
                    self.worker.take("t", number, &record(offset, &VALUE), self.now);
                    if self.position(number) != before {
                        self.log(number).taken(offset);
                    }
                }
            }
        }
    }

    fn position(&self, number: i32) -> Option<Offset> {
        let found = self.worker.standing().find(|standing| standing.partition.partition == number);
        found.map(|standing| standing.position)
    }

    fn settle(&mut self, which: usize, record: usize) {
        if self.writing.is_empty() {
            return;
        }
        let which = which % self.writing.len();
        let writing = &mut self.writing[which];
        let (partition, epoch) = (writing.batch.partition.clone(), writing.batch.epoch);
        if writing.left.is_empty() || (writing.winds_down && !writing.abandoned && record > 5) {
            self.writing.swap_remove(which);
            self.tell(Input::Ended { partition, epoch });
            return;
        }
        let offset = writing.left.swap_remove(record % writing.left.len());
        if writing.abandoned {
            // It lands late, and nobody hears of it; or never.
            if record.is_multiple_of(2) {
                self.log(partition.partition).settled(offset);
            }
            return;
        }
        self.log(partition.partition).settled(offset);
        let settlements = vec![Settlement { offset: Offset(offset), outcome: Settled::Stored }];
        self.tell(Input::Settled { partition, epoch, settlements });
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.perform_all();
        if let Some(Open::Revoke { since, .. }) = &self.open {
            let waits = self.now.duration_since(*since);
            assert!(waits < self.settings.shutdown_timeout, "the group waits for {waits:?}");
        }
    }

    /// The client is gone: another one joins the group as a new member.
    fn client_is_new(&mut self) {
        for number in std::mem::take(&mut self.ours) {
            self.gone(number);
        }
        self.open = None;
        self.expired = false;
        // The commit's answer comes all the same, to nobody.
        if let Some(Asked { number, offsets, .. }) = self.commit.take() {
            let answers = offsets.into_iter().map(|(name, at)| (name, at, CommitOutcome::Kept)).collect();
            self.answers.push(Input::Committed { number, answers });
        }
    }

    /// The process ends, in good order or not, and another one takes its place.
    fn start_anew(&mut self) {
        self.expire();
        self.client_is_new();
        self.worker = Worker::new(self.settings.clone(), Budget::new(BUDGET));
        self.writing.iter_mut().for_each(|writing| writing.abandoned = true);
        self.writing.clear();
        (0..PARTITIONS).for_each(|number| self.let_go(number, |_| false));
        self.questions.clear();
        self.answers.clear();
        self.held.clear();
        self.drained = false;
    }

    /// Nothing goes wrong any more. Everything of the partitions that are ours has to be stored and
    /// committed before long, and nothing is held.
    fn come_to_rest(&mut self) {
        self.take(&Step::Heal);
        for _ in 0..400 {
            if self.expired {
                self.take(&Step::Lose);
            }
            (0..PARTITIONS).for_each(|number| self.take(&Step::Operator(number)));
            while !self.questions.is_empty() {
                self.take(&Step::Look(0));
            }
            while !self.answers.is_empty() {
                self.take(&Step::Hear(0));
            }
            (0..PARTITIONS).for_each(|number| self.take(&Step::Deliver(number, 20)));
            while !self.writing.is_empty() {
                self.take(&Step::Settle(0, 0));
            }
            self.take(&Step::AnswerCommit(true, CommitOutcome::Kept));
            self.take(&Step::Wait(250));
            let done = self.ours.iter().all(|number| self.logs[number].is_done());
            if done && self.open.is_none() && self.held.is_empty() {
                return;
            }
        }
        let logs: Vec<_> = self.ours.iter().map(|number| &self.logs[number]).collect();
        panic!("it does not come to rest: {:#?}\n{logs:#?}\n{:#?}", self.worker, self.client);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_stands_still_in_a_random_world(
        machine in machine(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(machine);
        for step in steps {
            world.take(&step);
        }
        world.come_to_rest();
    }
}
