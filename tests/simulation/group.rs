//! The consumer group, as its coordinator sees it: members, rounds of the cooperative protocol, and
//! whose commits are taken.
//!
//! A round begins when a member joins, leaves or is not heard of for too long; the others learn of it by
//! their heartbeats, and join too. Once all have, there is a new generation, in which each keeps what it
//! had or is asked for some of it. What it gives back it is rid of when it joins the next round, and only
//! then can another get it. (KIP-429; the coordinator of Kafka takes a commit of any partition from any
//! member of the present generation.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamproc::core::kafka::TopicPartition;
use tokio::time::Instant;

/// How long a round waits for members that are heard of and do not join.
const LONGEST_ROUND: Duration = Duration::from_mins(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(u32);

/// Counts the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u32);

pub(crate) type Partitions = BTreeSet<TopicPartition>;

/// The group.
pub(crate) struct Group {
    partitions: Vec<TopicPartition>,
    /// After so long without a word a member is taken for dead.
    session: Duration,
    generation: u32,
    members: BTreeMap<MemberId, Member>,
    members_ever: u32,
    forming_since: Option<Instant>,
}

struct Member {
    heard_at: Instant,
    has_joined: bool,
    /// What it has, as far as the group knows, with what it is asked for.
    holds: Partitions,
    /// What it is to have in this generation.
    assigned: Partitions,
}

/// What a heartbeat is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    Well,
    /// A new generation forms: join.
    Forming,
    /// The group does not know this member, or not any more.
    Unknown,
}

/// Where a round stands that a member has joined.
pub(crate) enum Round {
    Forming,
    Formed(Generation, Partitions),
    Unknown,
}

impl Group {
    pub(crate) fn new(partitions: &[TopicPartition], session: Duration) -> Self {
        Self {
            partitions: partitions.to_vec(),
            session,
            generation: 0,
            members: BTreeMap::new(),
            members_ever: 0,
            forming_since: None,
        }
    }

    /// A member joins, a new one or one that the group knows; none if it knows that one no more.
    pub(crate) fn join(
        &mut self,
        member: Option<MemberId>,
        has: Partitions,
        now: Instant,
    ) -> Option<MemberId> {
        let id = if let Some(id) = member {
            self.members.contains_key(&id).then_some(id)?
        } else {
            self.members_ever += 1;
            MemberId(self.members_ever)
        };
        let joined = Member { heard_at: now, has_joined: true, holds: has, assigned: Partitions::new() };
        self.members.insert(id, joined);
        self.forming_since.get_or_insert(now);
        self.form(now);
        Some(id)
    }

    pub(crate) fn round(&self, member: MemberId) -> Round {
        match self.members.get(&member) {
            None => Round::Unknown,
            Some(member) if member.has_joined => Round::Forming,
            Some(member) => Round::Formed(Generation(self.generation), member.assigned.clone()),
        }
    }

    pub(crate) fn heartbeat(&mut self, member: MemberId, now: Instant) -> Heartbeat {
        let Some(member) = self.members.get_mut(&member) else { return Heartbeat::Unknown };
        member.heard_at = now;
        if self.forming_since.is_some() { Heartbeat::Forming } else { Heartbeat::Well }
    }

    pub(crate) fn leave(&mut self, member: MemberId, now: Instant) {
        if self.members.remove(&member).is_some() {
            self.forming_since.get_or_insert(now);
            self.form(now);
        }
    }

    /// Gives up members that are silent for too long, and gives who they were.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<MemberId> {
        let is_late = self.forming_since.is_some_and(|since| now - since > LONGEST_ROUND);
        let is_gone =
            |member: &Member| !member.has_joined && (is_late || now - member.heard_at > self.session);
        let gone: Vec<_> =
            self.members.iter().filter(|(_, member)| is_gone(member)).map(|(id, _)| *id).collect();
        for id in &gone {
            self.leave(*id, now);
        }
        gone
    }

    /// Whether a commit is taken that was made in the name of this generation.
    pub(crate) fn takes_commit(&self, member: MemberId, generation: Generation) -> bool {
        self.members.contains_key(&member) && generation.0 == self.generation
    }

    /// Who has the partition, as far as the group knows.
    pub(crate) fn owner(&self, partition: &TopicPartition) -> Option<MemberId> {
        self.members.iter().find(|(_, member)| member.holds.contains(partition)).map(|(id, _)| *id)
    }

    fn form(&mut self, now: Instant) {
        if self.members.values().any(|member| !member.has_joined) {
            return;
        }
        self.generation += 1;
        self.forming_since = None;
        self.assign();
        for member in self.members.values_mut() {
            member.has_joined = false;
            member.heard_at = now;
            member.holds.extend(member.assigned.iter().cloned());
        }
    }

    /// Shares the partitions out evenly. Whoever has one keeps it if that is fair; what nobody has goes to
    /// those who have too few.
    fn assign(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let held: Partitions =
            self.members.values().flat_map(|member| member.holds.iter().cloned()).collect();
        let mut free = self.partitions.iter().filter(|name| !held.contains(*name)).cloned();
        let (least, one_more) =
            (self.partitions.len() / self.members.len(), self.partitions.len() % self.members.len());
        let mut members: Vec<_> = self.members.values_mut().collect();
        members.sort_by_key(|member| std::cmp::Reverse(member.holds.len()));
        for (rank, member) in members.into_iter().enumerate() {
            let share = least + usize::from(rank < one_more);
            member.assigned = member.holds.iter().take(share).cloned().collect();
            let missing = share - member.assigned.len();
            member.assigned.extend(free.by_ref().take(missing));
        }
    }
}
