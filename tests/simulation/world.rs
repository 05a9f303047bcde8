//! One world: all that its processes have outside of themselves, and the one lock around it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamproc::core::kafka::{Offset, TopicPartition};
use streamproc::core::worker::{CommitOutcome, Hold, OutOfRangePolicy};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::cosmos::Cosmos;
use super::dice::Dice;
use super::events::{Draft, Events};
use super::group::{Generation, Group, MemberId};
use super::kafka::Kafka;
use super::letters;
use super::oracle::Oracle;
use super::plan::Plan;
use super::trace::Trace;

/// A world, for everybody in it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

/// How it is at present.
pub(crate) struct State {
    pub(crate) events: Events,
    pub(crate) kafka: Kafka,
    pub(crate) group: Group,
    pub(crate) cosmos: Cosmos,
    pub(crate) letters: letters::Mood,
    pub(crate) oracle: Oracle,
    /// Places whose processes cannot reach Kafka.
    pub(crate) cut: BTreeSet<usize>,
    /// What the workers say of their partitions: the process, the worker's number and who it is in the
    /// group.
    pub(crate) holds: BTreeMap<(usize, usize, TopicPartition), (Option<MemberId>, Hold)>,
}

impl World {
    pub(crate) fn new(plan: Plan, dice: Dice, is_traced: bool) -> Self {
        let changed = Arc::new(Notify::new());
        let state = State {
            events: Events::default(),
            kafka: Kafka::new(&plan.partitions),
            group: Group::new(&plan.partitions, plan.session),
            cosmos: Cosmos::new(plan.well),
            letters: letters::Mood::default(),
            oracle: Oracle::new(Arc::clone(&changed)),
            cut: BTreeSet::new(),
            holds: BTreeMap::new(),
        };
        Self {
            plan: Arc::new(plan),
            dice,
            trace: Trace::new(is_traced),
            state: Arc::new(Mutex::new(state)),
            changed,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that somebody may wait for.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.lock());
        self.changed.notify_waiters();
        done
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            // Made before the look, so that a change in between is heard.
            let changed = self.changed.notified();
            if is_so(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// The way to Kafka and back. While it is cut nothing comes of a question; it is asked again.
    pub(crate) async fn reach_kafka(&self, place: usize) {
        self.until(|state| !state.cut.contains(&place)).await;
        sleep(self.dice.millis(1..20)).await;
    }

    /// A device sends an event.
    pub(crate) fn send(&self, draft: &Draft) {
        let name = &self.plan.partitions[draft.partition];
        let mut guard = self.lock();
        let state = &mut *guard;
        let log = state.kafka.log_mut(name);
        let offset = log.next_offset(draft.gap);
        let number = state.events.sent(draft, name.clone(), offset);
        log.append(offset, number, draft.is_readable);
        drop(guard);
        self.trace.note(|| format!("sent {number}, {:?}, to {name}@{offset}: {draft:?}", draft.fate));
    }

    /// Time has passed, and Kafka deletes the oldest records of a partition.
    pub(crate) fn delete_below(&self, name: &TopicPartition, low: i64) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let log = state.kafka.log_mut(name);
        log.delete_below(low);
        let (low, committed) = (log.low(), log.committed.unwrap_or(0));
        state.oracle.excuse(state.events.between(name, committed, low));
        drop(guard);
        self.trace.note(|| format!("what is below {low} of {name} is deleted"));
    }

    /// An operator sets the offset of a partition that is held because its own does not exist.
    pub(crate) fn set_offset(&self, name: &TopicPartition) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let log = state.kafka.log_mut(name);
        let to = log.low();
        log.committed = Some(to);
        state.oracle.offset_set(name, to);
        drop(guard);
        self.trace.note(|| format!("an operator sets the offset of {name} to {to}"));
    }

    /// A worker reads on elsewhere because an offset does not exist. With one policy, what is left out by
    /// that may be missing; with the others, nothing is that Kafka still has.
    pub(crate) fn jumps(&self, name: &TopicPartition, stood_at: i64, to: i64) {
        if self.plan.worker.on_out_of_range != OutOfRangePolicy::Latest {
            return;
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        // A partition that had not begun stood nowhere.
        let from = if stood_at < to { stood_at } else { state.kafka.log(name).committed.unwrap_or(0) };
        state.oracle.excuse(state.events.between(name, from, to));
    }

    /// A worker leaves out what cannot be read.
    pub(crate) fn leaves_out(&self, name: &TopicPartition) {
        if self.plan.worker.skip_corrupt {
            let mut guard = self.lock();
            let state = &mut *guard;
            state.oracle.excuse(state.kafka.log_mut(name).leave_out());
        }
    }

    /// The coordinator has got a commit.
    pub(crate) fn commit(
        &self,
        by: MemberId,
        generation: Generation,
        offsets: &[(TopicPartition, Offset)],
    ) -> CommitOutcome {
        let mut guard = self.lock();
        let state = &mut *guard;
        let is_taken = state.group.takes_commit(by, generation);
        let fails = state.kafka.commits_fail;
        // Of those that fail, some are kept all the same.
        if is_taken && (!fails || self.dice.chance(0.3)) {
            for (name, offset) in offsets {
                state.kafka.log_mut(name).committed = Some(offset.0);
                let owner = state.group.owner(name);
                state.oracle.committed(&state.events, name, offset.0, by, owner);
            }
            state.oracle.count("commits");
        }
        let outcome = match (is_taken, fails) {
            (false, _) => CommitOutcome::Refused,
            (true, true) => CommitOutcome::TryAgain,
            (true, false) => CommitOutcome::Kept,
        };
        if outcome != CommitOutcome::Kept {
            state.oracle.count("commits not kept");
        }
        drop(guard);
        self.trace.note(|| {
            let offsets: Vec<_> = offsets.iter().map(|(name, offset)| format!("{name}@{offset}")).collect();
            format!("{by:?} commits {}: {outcome:?}", offsets.join(" "))
        });
        outcome
    }

    /// The coordinator looks who is still there.
    pub(crate) async fn watch_members(self) {
        loop {
            sleep(std::time::Duration::from_millis(500)).await;
            let gone = self.lock().group.expire(Instant::now());
            if !gone.is_empty() {
                self.trace.note(|| format!("the group gives up {gone:?}"));
                self.change(|state| gone.iter().for_each(|_| state.oracle.count("members given up")));
            }
        }
    }

    /// An operator looks at what is held for good, by whoever has it: the command refuses all else.
    pub(crate) async fn operate(self) {
        loop {
            sleep(self.dice.millis(1_000..4_000)).await;
            let state = self.lock();
            let is_due = |name: &TopicPartition, member: &Option<MemberId>, hold: &Hold| {
                matches!(hold, Hold::OutOfRange { .. })
                    && state.group.owner(name) == *member
                    && state.kafka.log(name).is_out_of_range()
            };
            let due = state.holds.iter().filter(|((.., name), (member, hold))| is_due(name, member, hold));
            let due: BTreeSet<_> = due.map(|((.., name), _)| name.clone()).collect();
            drop(state);
            for name in &due {
                self.set_offset(name);
            }
        }
    }
}
