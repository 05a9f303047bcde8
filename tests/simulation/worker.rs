//! A worker of a process: the loop of `src/worker/thread.rs`, with effects performed in virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use streamproc::core::kafka::{Epoch, Offset, TopicPartition};
use streamproc::core::records::RawRecord;
use streamproc::core::settled::Policy;
use streamproc::core::worker::{Appetite, Batch, Effect, Input, Worker as Machine};
use streamproc::sink::Stop;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{Client, Notice, Polled};
use super::events::Number;
use super::group::MemberId;
use super::hand::Hand;
use super::inbox::Inbox;
use super::oracle::{Oracle, Writer};
use super::process::Shared;
use super::questions::{Open, Questions};
use super::store::WRITER;

/// The most records taken from the client before other things are looked at.
const BURST: usize = 8;

/// How soon a client that was broken is replaced.
const RECONNECT: Duration = Duration::from_secs(1);

/// One worker.
pub(crate) struct Worker {
    number: usize,
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    machine: Machine,
    link: Option<Link>,
    reconnect_at: Option<Instant>,
    in_flight: BTreeMap<(TopicPartition, Epoch), Stop>,
    owned: usize,
    hand: Hand,
    /// Partitions whose offset does not exist, and where they stood then.
    jumps_from: BTreeMap<TopicPartition, i64>,
    overdrawn_at: Option<Instant>,
    is_done: bool,
}

/// A client, who asks through it, and their tasks.
struct Link {
    client: Client,
    questions: Questions,
    tasks: [AbortHandle; 2],
}

impl Worker {
    pub(crate) fn new(number: usize, shared: Arc<Shared>, inbox: Arc<Inbox>) -> Self {
        let machine = Machine::new(shared.world.plan.worker.clone(), shared.budget.clone());
        Self {
            number,
            shared,
            inbox,
            machine,
            link: None,
            reconnect_at: None,
            in_flight: BTreeMap::new(),
            owned: 0,
            hand: Hand::default(),
            jumps_from: BTreeMap::new(),
            overdrawn_at: None,
            is_done: false,
        }
    }

    /// Runs until drained.
    pub(crate) async fn run(mut self) {
        while !self.is_done {
            if self.shared.breaks_client.swap(false, Ordering::Relaxed) {
                self.replace_client().await;
            }
            self.keep_a_client();
            while let Some(input) = self.inbox.take() {
                self.hear(input);
            }
            self.perform();
            let appetite = self.machine.appetite(now());
            self.perform();
            let is_busy = appetite == Appetite::Hungry && self.poll();
            self.perform();
            if let Some(link) = &self.link {
                link.client.move_on(!is_busy && appetite == Appetite::Hungry);
            }
            if is_busy {
                // What it takes to fetch more.
                sleep(self.shared.world.dice.millis(1..15)).await;
            } else if !self.is_done {
                let mut until = self.machine.wake_at(now());
                if let Appetite::Wait(at) = appetite {
                    until = until.min(at);
                }
                tokio::select! {
                    biased;
                    () = self.inbox.nudged() => {}
                    () = sleep_until(until.into()) => {}
                }
            }
        }
        if let Some(link) = self.link.take() {
            link.close().await;
        }
        self.shared.assigned.fetch_sub(self.owned, Ordering::Relaxed);
    }

    fn keep_a_client(&mut self) {
        if self.link.is_some() || self.reconnect_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let Shared { world, place, life, seen, .. } = &*self.shared;
        let client = Client::new(world.clone(), *place, Arc::clone(&self.inbox));
        let questions =
            Questions::new(world.clone(), *place, client.clone(), Arc::clone(&self.inbox), seen.clone());
        let tasks = [life.spawn(client.clone().run()), life.spawn(questions.clone().run())];
        self.link = Some(Link { client, questions, tasks });
    }

    async fn replace_client(&mut self) {
        self.machine.apply(Input::ClientLost, now());
        self.perform();
        self.hand = Hand::default();
        if let Some(link) = self.link.take() {
            link.close().await;
        }
        self.reconnect_at = Some(Instant::now() + RECONNECT);
    }

    fn hear(&mut self, input: Input) {
        match &input {
            Input::Ended { partition, epoch } => {
                self.in_flight.remove(&(partition.clone(), *epoch));
            }
            Input::Settled { partition, epoch, settlements } => {
                self.hand.ended(partition, *epoch, settlements);
            }
            _ => {}
        }
        self.machine.apply(input, now());
    }

    /// Takes records and notices from the client. Gives whether there may be more at once.
    fn poll(&mut self) -> bool {
        let mut taken = 0;
        while taken < BURST
            && let Some(link) = &self.link
        {
            let goes_on = match link.client.poll() {
                Polled::Nothing => break,
                Polled::Record(name, number) => self.take(&name, number),
                Polled::Unreadable => {
                    self.machine.apply(Input::Unreadable, now());
                    false
                }
                Polled::OffsetGone => {
                    self.machine.apply(Input::OffsetGone, now());
                    false
                }
            };
            taken += 1;
            if !goes_on {
                break;
            }
        }
        let notices = self.link.as_ref().map(|link| link.client.take_notices()).unwrap_or_default();
        for notice in notices {
            self.shared.world.lock().oracle.count("rebalances");
            let input = match notice {
                Notice::Assigned(partitions) => Input::Assigned(partitions),
                Notice::Revoked { partitions, lost } => Input::Revoked { partitions, lost },
            };
            self.machine.apply(input, now());
        }
        taken > 0
    }

    /// Takes a record; gives whether its partition has room for another.
    fn take(&mut self, name: &TopicPartition, number: Number) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut guard = shared.world.lock();
        let state = &mut *guard;
        let event = state.events.get(number);
        let record = RawRecord {
            offset: Offset(event.offset),
            timestamp_millis: Some(event.timestamp_millis),
            key: Some(event.device.as_bytes()),
            value: event.value.as_deref(),
            headers: &[],
        };
        let (all, own) = (shared.budget.used(), shared.budget.room(name).used);
        let is_empty = self.hand.first(name).is_none();
        let has_room = self.machine.take(&name.topic, name.partition, &record, now());
        let offset = record.offset;
        if !is_empty && shared.budget.used() > all {
            self.watch_budget(all, own, &mut state.oracle);
        }
        let stands = self.machine.standing().find(|standing| standing.partition == *name);
        if let Some(standing) = stands.filter(|standing| standing.position == offset.next()) {
            self.hand.takes(name, standing.epoch, offset);
        }
        has_room
    }

    /// Bytes were taken beside those that all partitions held, and its own. A partition that holds nothing
    /// takes any record, and its share is its own.
    fn watch_budget(&mut self, all: usize, own: usize, oracle: &mut Oracle) {
        let Shared { world, assigned, .. } = &*self.shared;
        let share = world.plan.budget / 2 / assigned.load(Ordering::Relaxed).max(1);
        if all <= world.plan.most_held() || own <= share {
            return;
        }
        // Now and then a record is taken in spite of all, because notices come by the same queue.
        let last = self.overdrawn_at.replace(Instant::now());
        if last.is_some_and(|last| last.elapsed() < world.plan.worker.patience) {
            oracle.breaks("A4", || format!("{all} bytes were held when {} took one more record", self.inbox));
        }
        oracle.count("records taken beside the budget");
    }

    fn perform(&mut self) {
        let effects = self.machine.effects(now());
        if effects.is_empty() {
            return;
        }
        if let Some(link) = &self.link {
            let owned = self.machine.standing().map(|standing| (standing.partition, standing.epoch));
            let owned: Vec<_> = owned.collect();
            link.questions.ask(|open| open.owned = owned);
        }
        for effect in effects {
            self.perform_one(effect);
        }
        let owned = self.machine.owned();
        self.shared.assigned.fetch_add(owned, Ordering::Relaxed);
        self.shared.assigned.fetch_sub(std::mem::replace(&mut self.owned, owned), Ordering::Relaxed);
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Write(batch) => self.write(*batch),
            Effect::WindDown(name, epoch) => {
                if let Some(batch) = self.in_flight.get(&(name, epoch)) {
                    batch.wind_down();
                }
            }
            Effect::Abandon(name, epoch) => {
                if let Some(batch) = self.in_flight.remove(&(name, epoch)) {
                    batch.abandon();
                }
            }
            Effect::Commit(number, offsets, known) => {
                for (name, offset) in &offsets {
                    self.passes(self.hand.first(name), name, *offset, "commits");
                }
                self.ask(|open| open.given_back.clear());
                if let Some(link) = &self.link {
                    self.shared.life.spawn(link.questions.clone().commit(number, offsets, known));
                }
            }
            Effect::FindStart(wanted) => self.ask(|open| open.starts.extend(wanted)),
            Effect::FindOffset(wanted) => self.ask(|open| {
                open.held.extend(wanted.into_iter().map(|(name, epoch, held)| (name, (epoch, held))));
            }),
            Effect::ReadRange(wanted) => self.ask(|open| {
                open.ranges.extend(wanted.into_iter().map(|(name, epoch, at)| (name, (epoch, at))));
            }),
            Effect::Probe(stretches) => self.ask(|open| open.probe(stretches)),
            Effect::Accept => self.tell(Client::accept),
            Effect::Assign(partitions) => {
                for (name, at) in &partitions {
                    self.goes_on(name, *at);
                }
                self.tell(|client| client.assign(partitions));
            }
            Effect::Unassign(partitions) => {
                for name in &partitions {
                    self.hand.lets_go(name);
                }
                self.ask(|open| open.given_back.extend_from_slice(&partitions));
                self.tell(|client| client.unassign(&partitions));
            }
            Effect::Pause(name) => self.tell(|client| client.pause(&name, true)),
            Effect::Resume(name) => self.tell(|client| client.pause(&name, false)),
            Effect::Stop(name) => self.tell(|client| client.stop(&name)),
            Effect::SeekAndResume(name, to) => {
                self.goes_on(&name, to);
                self.tell(|client| client.read_from(&name, to));
            }
            Effect::Held(name, hold) => {
                let world = &self.shared.world;
                world.trace.note(|| format!("{} holds {name}: {hold}", self.inbox));
                let whose = (self.member(), hold);
                world.lock().holds.insert((self.shared.number, self.number, name), whose);
            }
            Effect::Released(name) => {
                self.shared.world.lock().holds.remove(&(self.shared.number, self.number, name));
            }
            Effect::OutOfRange(name) => {
                let stands = self.machine.standing().find(|standing| standing.partition == name);
                self.jumps_from.insert(name, stands.map_or(0, |standing| standing.position.0));
            }
            Effect::Skipped(name, Policy::Corrupt, _) => self.shared.world.leaves_out(&name),
            Effect::Skipped(..) => {}
            Effect::Drained => self.is_done = true,
        }
    }

    /// Nothing that the worker has in hand may lie before the place to which it commits or goes.
    fn passes(&self, left: Option<Offset>, name: &TopicPartition, to: Offset, does: &str) {
        if let Some(left) = left.filter(|left| *left < to) {
            let what = || format!("{} {does} {name}@{to}, and has not written {left}", self.inbox);
            self.shared.world.lock().oracle.breaks("A3", what);
        }
    }

    /// A partition is read from a place. What lies before it may be left out, if that is the policy.
    fn goes_on(&mut self, name: &TopicPartition, to: Offset) {
        let present = self.machine.standing().find(|standing| standing.partition == *name);
        let left = present.and_then(|present| self.hand.lets_go_before(name, present.epoch));
        self.passes(left, name, to, "goes on at");
        if let Some(from) = self.jumps_from.remove(name) {
            self.shared.world.jumps(name, from, to.0);
        }
    }

    /// Who it is in the group.
    fn member(&self) -> Option<MemberId> {
        self.link.as_ref().and_then(|link| link.client.member())
    }

    fn ask(&self, change: impl FnOnce(&mut Open)) {
        if let Some(link) = &self.link {
            link.questions.ask(change);
        }
    }

    fn tell(&self, act: impl FnOnce(&Client)) {
        if let Some(link) = &self.link {
            act(&link.client);
        }
    }

    fn write(&mut self, batch: Batch) {
        let (partition, epoch) = (batch.partition.clone(), batch.epoch);
        let writer = Writer {
            process: self.shared.number,
            worker: self.number,
            member: self.member(),
            partition: partition.clone(),
            epoch,
        };
        let stop = Stop::default();
        self.in_flight.insert((partition.clone(), epoch), stop.clone());
        let (shared, inbox) = (Arc::clone(&self.shared), Arc::clone(&self.inbox));
        let writing = self.shared.life.spawn(WRITER.scope(writer, async move {
            let ended = Ended { inbox: Arc::clone(&inbox), partition: partition.clone(), epoch };
            let report = |settlements| {
                inbox.tell(Input::Settled { partition: partition.clone(), epoch, settlements });
            };
            shared.sink.write(batch, &report, &stop).await;
            drop(ended);
        }));
        if self.shared.breaks_writer.swap(false, Ordering::Relaxed) {
            let after = self.shared.world.dice.millis(1..200);
            self.shared.life.spawn(async move {
                sleep(after).await;
                writing.abort();
            });
        }
    }
}

impl Link {
    async fn close(self) {
        self.client.close().await;
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Tells the worker that a micro-batch is over, however its task ends.
struct Ended {
    inbox: Arc<Inbox>,
    partition: TopicPartition,
    epoch: Epoch,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.inbox.tell(Input::Ended { partition: self.partition.clone(), epoch: self.epoch });
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
