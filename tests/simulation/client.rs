//! What librdkafka does for one worker: it is a member of the group, tells the worker of rebalances and
//! waits for the answers, reads the partitions that it is given, and commits.
//!
//! It keeps to what librdkafka promises: one rebalance at a time; no records of any partition while one is
//! open; it joins anew only when its commits are answered; what cannot be read is reported without saying
//! where, and passed over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamproc::core::kafka::{Offset, TopicPartition};
use streamproc::core::worker::CommitOutcome;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::events::Number;
use super::group::{Generation, Heartbeat, MemberId, Partitions, Round};
use super::inbox::Inbox;
use super::kafka::Next;
use super::world::World;

const HEARTBEAT: Duration = Duration::from_millis(900);

/// How long a partition waits for an empty queue before it is read elsewhere all the same.
const QUIET_LIMIT: Duration = Duration::from_secs(1);

/// How long a client may take to end.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// A member's client.
#[derive(Clone)]
pub(crate) struct Client {
    world: World,
    place: usize,
    worker: Arc<Inbox>,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

/// What the group wants.
#[derive(Debug)]
pub(crate) enum Notice {
    Assigned(Vec<TopicPartition>),
    Revoked { partitions: Vec<TopicPartition>, lost: bool },
}

/// What is met when the worker polls.
pub(crate) enum Polled {
    Record(TopicPartition, Number),
    Unreadable,
    OffsetGone,
    Nothing,
}

#[derive(Default)]
struct State {
    /// As whom it commits.
    member: Option<(MemberId, Generation)>,
    /// What the group has given and not got back.
    owned: Partitions,
    /// A rebalance waits for the worker's answer.
    is_open: bool,
    notices: Vec<Notice>,
    /// The membership is over. Until the worker has answered to that, it is given nothing.
    is_lost: bool,
    readers: BTreeMap<TopicPartition, Reader>,
    /// Where to read on, once now is a time for it.
    moves: BTreeMap<TopicPartition, Reader>,
    moving_since: Option<Instant>,
    is_committing: bool,
    is_closed: bool,
}

#[derive(Clone, Copy)]
struct Reader {
    position: i64,
    is_paused: bool,
    /// It has met an offset that does not exist.
    is_stopped: bool,
}

impl Reader {
    fn at(offset: Offset) -> Self {
        Self { position: offset.0, is_paused: false, is_stopped: false }
    }
}

/// How a membership ends.
enum End {
    /// A new generation forms.
    Forming,
    /// The group has given the member up, or does not answer for so long that it must have.
    Lost,
}

impl Client {
    pub(crate) fn new(world: World, place: usize, worker: Arc<Inbox>) -> Self {
        Self { world, place, worker, state: Arc::default(), changed: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }
}

// Being a member.
impl Client {
    /// Is a member of the group until it is closed.
    pub(crate) async fn run(self) {
        tokio::select! {
            biased;
            () = self.until(|state| state.is_closed) => {}
            () = self.be_a_member() => {}
        }
    }

    async fn be_a_member(&self) {
        loop {
            self.until(|state| !state.is_committing).await;
            let Some(assigned) = self.join().await else {
                self.lose().await;
                continue;
            };
            let (given, wanted_back) = self.compare(&assigned);
            let is_asked_back = !wanted_back.is_empty();
            let notice = if is_asked_back {
                Notice::Revoked { partitions: wanted_back, lost: false }
            } else {
                Notice::Assigned(given)
            };
            let end = match self.tell(notice).await {
                None if is_asked_back => continue,
                None => self.stay().await,
                Some(end) => end,
            };
            if matches!(end, End::Lost) {
                self.lose().await;
            }
        }
    }

    /// Joins the group, or its next generation; none if the group does not know this member any more.
    async fn join(&self) -> Option<Partitions> {
        self.world.reach_kafka(self.place).await;
        let (member, owned) = {
            let state = self.lock();
            (state.member.map(|(member, _)| member), state.owned.clone())
        };
        let now = Instant::now();
        let member = self.world.change(|world| world.group.join(member, owned, now))?;
        self.world.until(|world| !matches!(world.group.round(member), Round::Forming)).await;
        self.world.reach_kafka(self.place).await;
        let Round::Formed(generation, assigned) = self.world.lock().group.round(member) else { return None };
        self.lock().member = Some((member, generation));
        Some(assigned)
    }

    /// What the group gives, and what it wants back.
    fn compare(&self, assigned: &Partitions) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let mut state = self.lock();
        let given: Vec<_> = assigned.difference(&state.owned).cloned().collect();
        let wanted_back = state.owned.difference(assigned).cloned().collect();
        state.owned.extend(given.iter().cloned());
        (given, wanted_back)
    }

    /// Tells the worker, and waits for its answer. Says if the membership is over before.
    async fn tell(&self, notice: Notice) -> Option<End> {
        self.world.trace.note(|| format!("{} hears: {notice:?}", self.worker));
        self.change(|state| {
            state.is_open = true;
            state.notices.push(notice);
        });
        self.worker.wake();
        tokio::select! {
            biased;
            () = self.until(|state| !state.is_open) => None,
            () = self.be_lost() => Some(End::Lost),
        }
    }

    /// Waits until the membership is over.
    async fn be_lost(&self) {
        while !matches!(self.stay().await, End::Lost) {}
    }

    /// Sends heartbeats as long as all is well.
    async fn stay(&self) -> End {
        let mut heard_at = Instant::now();
        loop {
            sleep(HEARTBEAT).await;
            match timeout_at(heard_at + self.world.plan.session, self.heartbeat()).await {
                Ok(Heartbeat::Well) => heard_at = Instant::now(),
                Ok(Heartbeat::Forming) => return End::Forming,
                Ok(Heartbeat::Unknown) | Err(_) => return End::Lost,
            }
        }
    }

    async fn heartbeat(&self) -> Heartbeat {
        self.world.reach_kafka(self.place).await;
        let Some((member, _)) = self.lock().member else { return Heartbeat::Unknown };
        self.world.lock().group.heartbeat(member, Instant::now())
    }

    /// The membership is over: the worker is told so, as soon as no other rebalance is open.
    async fn lose(&self) {
        self.world.trace.note(|| format!("the membership of {} is over", self.worker));
        self.change(|state| {
            state.member = None;
            state.is_lost = true;
        });
        self.until(|state| !state.is_open).await;
        let owned: Vec<_> = self.lock().owned.iter().cloned().collect();
        if !owned.is_empty() {
            self.change(|state| {
                state.is_open = true;
                state.notices.push(Notice::Revoked { partitions: owned, lost: true });
            });
            self.worker.wake();
            self.until(|state| !state.is_open).await;
        }
        self.change(|state| state.is_lost = false);
    }
}

// What the worker does with it.
impl Client {
    pub(crate) fn member(&self) -> Option<MemberId> {
        self.lock().member.map(|(member, _)| member)
    }

    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.lock().notices)
    }

    /// Something that comes next, of any of the partitions.
    pub(crate) fn poll(&self) -> Polled {
        let mut state = self.lock();
        let world = self.world.lock();
        if state.is_open || world.cut.contains(&self.place) {
            return Polled::Nothing;
        }
        let mut ready: Vec<_> = state
            .readers
            .iter_mut()
            .filter(|(_, reader)| !reader.is_paused && !reader.is_stopped)
            .map(|(name, reader)| (name, world.kafka.log(name).next(reader.position), reader))
            .filter(|(_, next, _)| !matches!(next, Next::End))
            .collect();
        if ready.is_empty() {
            return Polled::Nothing;
        }
        let (name, next, reader) = ready.swap_remove(self.world.dice.pick(0..ready.len()));
        match next {
            Next::Record(offset, number) => {
                reader.position = offset + 1;
                Polled::Record(name.clone(), number)
            }
            Next::Unreadable(offset) => {
                // What it does next is not to be relied on.
                reader.position = offset + self.world.dice.one_of(&[0, 1, 1, 1, 3]);
                Polled::Unreadable
            }
            Next::Gone => {
                reader.is_stopped = true;
                Polled::OffsetGone
            }
            Next::End => Polled::Nothing,
        }
    }

    /// Answers an assignment.
    pub(crate) fn accept(&self) {
        self.change(|state| state.is_open = false);
    }

    /// Begins to read partitions.
    pub(crate) fn assign(&self, partitions: Vec<(TopicPartition, Offset)>) {
        let mut state = self.lock();
        for (name, offset) in partitions {
            let reader = Reader::at(offset);
            if state.is_lost {
                state.moves.insert(name, reader);
                state.moving_since.get_or_insert_with(Instant::now);
            } else {
                state.readers.insert(name, reader);
            }
        }
    }

    /// Gives partitions back to the group.
    pub(crate) fn unassign(&self, partitions: &[TopicPartition]) {
        self.change(|state| {
            for name in partitions {
                state.readers.remove(name);
                state.moves.remove(name);
                state.owned.remove(name);
            }
            state.is_open = false;
        });
    }

    /// Fetches nothing of a partition for a while.
    pub(crate) fn pause(&self, partition: &TopicPartition, is_paused: bool) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let reader = state.moves.get_mut(partition).or_else(|| state.readers.get_mut(partition));
        if let Some(reader) = reader {
            reader.is_paused = is_paused;
        }
    }

    /// Fetches nothing of a partition until it is read from another place.
    pub(crate) fn stop(&self, partition: &TopicPartition) {
        let mut state = self.lock();
        state.moves.remove(partition);
        if let Some(reader) = state.readers.get_mut(partition) {
            reader.is_paused = true;
        }
    }

    /// Reads a partition from another place, before long.
    pub(crate) fn read_from(&self, partition: &TopicPartition, to: Offset) {
        self.stop(partition);
        let mut state = self.lock();
        state.moves.insert(partition.clone(), Reader::at(to));
        state.moving_since.get_or_insert_with(Instant::now);
    }

    /// Does that, if now is a time for it.
    pub(crate) fn move_on(&self, is_quiet: bool) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let is_time = state.moving_since.is_some_and(|since| is_quiet || since.elapsed() >= QUIET_LIMIT);
        if is_time && !state.is_open && !state.is_lost {
            state.readers.append(&mut state.moves);
            state.moving_since = None;
        }
    }

    /// Commits, in the name of whatever generation this is a member of by now. The commit arrives even if
    /// the process is gone by then.
    pub(crate) async fn commit(&self, offsets: Vec<(TopicPartition, Offset)>) -> CommitOutcome {
        self.lock().is_committing = true;
        self.world.until(|world| !world.cut.contains(&self.place)).await;
        let (answer_to, answer) = oneshot::channel();
        let member = self.lock().member;
        if let Some((member, generation)) = member {
            let world = self.world.clone();
            tokio::spawn(async move {
                sleep(world.dice.millis(1..20)).await;
                let outcome = world.commit(member, generation, &offsets);
                sleep(world.dice.millis(1..20)).await;
                let _ = answer_to.send(outcome);
            });
        } else {
            drop(answer_to);
        }
        let outcome = answer.await.unwrap_or(CommitOutcome::Refused);
        self.change(|state| state.is_committing = false);
        outcome
    }

    /// Leaves the group and ends.
    pub(crate) async fn close(&self) {
        let limit = Instant::now() + CLOSE_LIMIT;
        let _ = timeout_at(limit, self.until(|state| !state.is_committing)).await;
        let member = self.lock().member.take();
        if let Some((member, _)) = member
            && timeout_at(limit, self.world.reach_kafka(self.place)).await.is_ok()
        {
            self.world.change(|world| world.group.leave(member, Instant::now()));
        }
        self.change(|state| state.is_closed = true);
    }
}
