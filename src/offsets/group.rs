//! Whether a group lets its offsets be set.
//!
//! | the group        | a partition that is                                  | then                                |
//! |------------------|------------------------------------------------------|-------------------------------------|
//! | has no members   |                                                      | an ordinary commit                  |
//! | has members      | held by the service because its offset is not there  | a commit by a transaction           |
//! | has members      | anything else                                        | refused                             |
//! | cannot be looked at |                                                   | an ordinary commit: Kafka refuses it if there are members |
//!
//! Kafka takes ordinary commits of a group that has members from these alone. A commit that is part of a
//! transaction it takes from anybody who names no member (docs/adr/0025). A member that reads a partition
//! would overwrite it within a second, so this is for partitions that nobody reads.

use std::fmt::Write;

use serde::Serialize;

use super::plan::{Move, Present};
use crate::config::OnOutOfRange;
use crate::source::committed::Committed;

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// What the group calls it.
    pub member_id: String,
}

/// A group, as its coordinator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// It answered.
    Known {
        /// `Empty`, `Stable`, `PreparingRebalance`, `CompletingRebalance`; `Dead` when there is no such group.
        state: String,
        /// Who reads.
        members: Vec<Member>,
    },
    /// It did not, for this reason.
    Unknown(String),
}

impl Group {
    /// Who reads, as far as is known.
    pub fn members(&self) -> &[Member] {
        match self {
            Self::Known { members, .. } => members,
            Self::Unknown(_) => &[],
        }
    }
}

/// How offsets can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By an ordinary commit.
    Commit,
    /// By a transaction, although the group has members.
    Transaction,
}

/// The group is being read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "group {group} has members: {}. Kafka sets offsets of a group while nobody reads it, and of a partition that the \
     service has paused as out of range; {why}. Nothing was changed. Stop the group: pause what scales it, scale it to \
     0, wait until `streamproc offsets show` says that it is Empty, repeat this, then scale it up again \
     (docs/operations.md#setting-offsets)",
    names(.members)
)]
pub struct Active {
    /// Its name.
    pub group: String,
    /// Who reads.
    pub members: Vec<Member>,
    /// What keeps it from being done anyway.
    pub why: String,
}

/// More members than these are counted, not named.
const NAMED: usize = 8;

fn names(members: &[Member]) -> String {
    let mut text = String::new();
    for (at, member) in members.iter().take(NAMED).enumerate() {
        let _ = write!(text, "{}{} at {}", if at > 0 { ", " } else { "" }, member.client_id, member.host);
    }
    if members.len() > NAMED {
        let _ = write!(text, " and {} more", members.len() - NAMED);
    }
    text
}

/// How these moves can be done.
///
/// # Errors
/// When the group is being read.
pub fn way(name: &str, group: &Group, moves: &[Move], policy: OnOutOfRange) -> Result<Way, Active> {
    if group.members().is_empty() {
        return Ok(Way::Commit);
    }
    let refuse = |why| Active { group: name.to_owned(), members: group.members().to_vec(), why };
    if policy != OnOutOfRange::Pause {
        return Err(refuse("by kafka.on_out_of_range it pauses none".to_owned()));
    }
    let read: Vec<_> = moves.iter().filter(|one| !may_be_held(&one.from)).map(Move::name).collect();
    match read.first() {
        None => Ok(Way::Transaction),
        Some(first) if read.len() == 1 => Err(refuse(format!("{first} is none"))),
        Some(first) => Err(refuse(format!("{first} and {} others are none", read.len() - 1))),
    }
}

/// Whether the service holds a partition, or will: it cannot read it from what the group has. A partition
/// without an offset may also be about to begin; so it has to stay so for a while ([`stays`]).
fn may_be_held(present: &Present) -> bool {
    match present.committed {
        Committed::At(_) => present.is_out_of_range(),
        Committed::Nothing | Committed::Withdrawn(_) => true,
    }
}

/// The first of these partitions that is not as it was, so that somebody commits for it: a member begins it,
/// or writes what it had read before the topic lost its offset.
pub fn stays<'a>(moves: &'a [Move], now: &[Present]) -> Result<(), &'a Move> {
    let is_same = |one: &&Move| {
        now.iter().any(|present| present.name == *one.name() && present.committed == one.from.committed)
    };
    moves.iter().find(|one| !is_same(one)).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kafka::{Offset, TopicPartition};

    fn one(partition: i32, committed: Committed) -> Move {
        let name = TopicPartition::new("t", partition);
        Move { from: Present { name, committed, low: Offset(10), high: Offset(20) }, to: Offset(12) }
    }

    fn group(members: usize) -> Group {
        let member = |number| Member {
            client_id: format!("streamproc-worker-{number}"),
            host: "/10.0.0.7".into(),
            member_id: format!("id-{number}"),
        };
        Group::Known { state: "Stable".into(), members: (0..members).map(member).collect() }
    }

    const READ: Committed = Committed::At(Offset(15));
    const EXPIRED: Committed = Committed::At(Offset(3));
    const WITHDRAWN: Committed = Committed::Withdrawn(Offset(12));

    #[test]
    fn a_group_without_members_takes_a_commit() {
        for policy in [OnOutOfRange::Pause, OnOutOfRange::Earliest, OnOutOfRange::Latest] {
            for group in [group(0), Group::Unknown("no answer".into())] {
                assert_eq!(way("g", &group, &[one(0, READ), one(1, EXPIRED)], policy), Ok(Way::Commit));
            }
        }
    }

    #[test]
    fn a_group_with_members_is_refused_by_their_names_unless_nobody_can_read_the_partition() {
        let pause = OnOutOfRange::Pause;
        for held in [EXPIRED, WITHDRAWN, Committed::Nothing, Committed::At(Offset(21))] {
            assert_eq!(way("g", &group(2), &[one(0, held)], pause), Ok(Way::Transaction), "{held:?}");
        }
        for read in [READ, Committed::At(Offset(10)), Committed::At(Offset(20))] {
            let refused =
                way("g", &group(2), &[one(0, EXPIRED), one(1, read)], pause).unwrap_err().to_string();
            let members =
                "group g has members: streamproc-worker-0 at /10.0.0.7, streamproc-worker-1 at /10.0.0.7.";
            assert!(refused.starts_with(members) && refused.contains("t[1] is none"), "{refused}");
        }
        let many = way("g", &group(11), &[one(0, READ), one(1, READ)], pause).unwrap_err().to_string();
        assert!(many.contains("worker-7") && !many.contains("worker-8"), "{many}");
        assert!(many.contains("and 3 more.") && many.contains("t[0] and 1 others are none"), "{many}");
        for policy in [OnOutOfRange::Earliest, OnOutOfRange::Latest] {
            let refused = way("g", &group(1), &[one(0, EXPIRED)], policy).unwrap_err();
            assert!(refused.why.contains("on_out_of_range"), "{refused}");
        }
    }

    #[test]
    fn a_partition_for_which_somebody_commits_is_not_held() {
        let moves = [one(0, EXPIRED), one(1, Committed::Nothing)];
        let now: Vec<_> = moves.iter().map(|one| one.from.clone()).collect();
        assert_eq!(stays(&moves, &now), Ok(()));
        let begun = [now[0].clone(), one(1, READ).from];
        assert_eq!(stays(&moves, &begun), Err(&moves[1]));
        assert_eq!(stays(&moves, &now[1..]), Err(&moves[0]));
    }
}
