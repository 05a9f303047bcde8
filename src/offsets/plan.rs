//! From wishes to moves: what each partition has, what it is to get, what that costs, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::kafka::{Offset, TopicPartition};
use crate::source::committed::Committed;

/// One partition as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Which.
    pub name: TopicPartition,
    /// What the group has of it.
    pub committed: Committed,
    /// The oldest offset that the topic holds.
    pub low: Offset,
    /// The offset that the next record gets.
    pub high: Offset,
}

impl Present {
    /// Whether the group has an offset that the topic does not hold.
    pub fn is_out_of_range(&self) -> bool {
        self.committed.offset().is_some_and(|offset| !self.holds(offset))
    }

    /// How many offsets of the topic are before the group, if it has one.
    pub fn lag(&self) -> Option<i64> {
        let offset = self.committed.offset()?;
        Some(self.high.0 - offset.clamp(self.low, self.high).0)
    }

    fn holds(&self, offset: Offset) -> bool {
        (self.low..=self.high).contains(&offset)
    }
}

/// What a command is about.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// All topics of the pipeline.
    pub known: Vec<String>,
    /// Those that are meant.
    pub topics: Vec<String>,
    /// Numbers of partitions; none is all of them.
    pub partitions: Vec<i32>,
}

impl Selection {
    /// Whether a partition is meant.
    pub fn contains(&self, name: &TopicPartition) -> bool {
        self.topics.iter().any(|topic| **topic == *name.topic)
            && (self.partitions.is_empty() || self.partitions.contains(&name.partition))
    }

    fn knows(&self, name: &TopicPartition) -> bool {
        self.known.iter().any(|topic| **topic == *name.topic)
    }
}

/// A partition that gets an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// What it has.
    pub from: Present,
    /// The offset of the next record to read.
    pub to: Offset,
}

/// What a move costs, in offsets of the topic; where it is compacted or has transactions, there are fewer
/// records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// So many are passed over and will not be read. Of a partition without an offset, all before it.
    pub skipped: u64,
    /// So many are read again.
    pub again: u64,
}

impl Move {
    /// Which partition.
    pub fn name(&self) -> &TopicPartition {
        &self.from.name
    }

    /// Whether it changes anything.
    pub fn is_change(&self) -> bool {
        self.from.committed != Committed::At(self.to)
    }

    /// What it costs. What the topic has lost by itself is not counted.
    pub fn cost(&self) -> Cost {
        let Present { committed, low, high, .. } = self.from;
        let begin = committed.offset().unwrap_or(low).clamp(low, high);
        let distance = begin.0.abs_diff(self.to.0);
        if self.to >= begin {
            Cost { skipped: distance, again: 0 }
        } else {
            Cost { skipped: 0, again: distance }
        }
    }
}

/// What cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The topic does not hold the offset.
    #[error("{name}: offset {to} is not in the topic, which holds {low} to {high}{}", gone(*.to, *.low))]
    OutOfRange {
        /// Which partition.
        name: TopicPartition,
        /// The offset that was asked for.
        to: Offset,
        /// The oldest there is.
        low: Offset,
        /// The end.
        high: Offset,
    },
    /// The topic has no such partition.
    #[error("{name}: the topic has {count} partitions, counted from 0")]
    NoPartition {
        /// Which partition.
        name: TopicPartition,
        /// How many there are.
        count: usize,
    },
    /// It is no topic of the pipeline.
    #[error("{name}: {} is not among kafka.topics ({})", .name.topic, .topics.join(", "))]
    NotOurs {
        /// Which partition.
        name: TopicPartition,
        /// The topics of `kafka.topics`.
        topics: Vec<String>,
    },
    /// There is nothing for a topic where offsets are taken from.
    #[error("{topic}: there is no offset for it in {source_name}, which has {}", names(.found))]
    NothingFor {
        /// The topic.
        topic: String,
        /// Where they are taken from.
        source_name: String,
        /// The topics that there are.
        found: Vec<String>,
    },
}

fn gone(to: Offset, low: Offset) -> String {
    if to >= low {
        return String::new();
    }
    format!(": {to} to {} are gone", low.0 - 1)
}

fn names(found: &[String]) -> String {
    if found.is_empty() { "none of any topic".to_owned() } else { found.join(", ") }
}

/// Moves for these wishes, in the order of the partitions. Wishes for what is not meant are left out.
///
/// # Errors
/// All that is refused of them.
pub fn moves(
    present: &[Present],
    selection: &Selection,
    wishes: &BTreeMap<TopicPartition, Offset>,
) -> Result<Vec<Move>, Vec<Refusal>> {
    let mut moves = Vec::new();
    let mut refused = Vec::new();
    for (name, to) in wishes {
        if !selection.knows(name) {
            refused.push(Refusal::NotOurs { name: name.clone(), topics: selection.known.clone() });
        } else if selection.contains(name) {
            match one(present, name, *to) {
                Ok(one) => moves.push(one),
                Err(refusal) => refused.push(refusal),
            }
        }
    }
    if refused.is_empty() { Ok(moves) } else { Err(refused) }
}

fn one(present: &[Present], name: &TopicPartition, to: Offset) -> Result<Move, Refusal> {
    let Some(from) = present.iter().find(|present| present.name == *name) else {
        let count = present.iter().filter(|present| present.name.topic == name.topic).count();
        return Err(Refusal::NoPartition { name: name.clone(), count });
    };
    if !from.holds(to) {
        return Err(Refusal::OutOfRange { name: name.clone(), to, low: from.low, high: from.high });
    }
    Ok(Move { from: from.clone(), to })
}

/// What is taken over from somewhere else: of the topics that are meant. Each of them has to have an offset
/// there, for a topic that was forgotten would begin anew.
///
/// # Errors
/// The topics for which there is nothing.
pub fn taken_over(
    selection: &Selection,
    source_name: &str,
    offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<TakenOver, Vec<Refusal>> {
    let found: BTreeSet<_> = offsets.keys().map(|name| name.topic.to_string()).collect();
    let found: Vec<_> = found.into_iter().collect();
    let missing = selection.topics.iter().filter(|topic| !found.contains(topic)).map(|topic| {
        let (topic, source_name, found) = (topic.clone(), source_name.to_owned(), found.clone());
        Refusal::NothingFor { topic, source_name, found }
    });
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let wishes = offsets.iter().filter(|(name, _)| selection.contains(name));
    let wishes = wishes.map(|(name, offset)| (name.clone(), *offset)).collect();
    let others = found.into_iter().filter(|topic| !selection.topics.contains(topic)).collect();
    Ok(TakenOver { wishes, others })
}

/// What comes from somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// Offsets of topics that are meant.
    pub wishes: BTreeMap<TopicPartition, Offset>,
    /// Topics that are not.
    pub others: Vec<String>,
}

/// Partitions that are meant and get nothing.
pub fn left_alone<'a>(present: &'a [Present], selection: &Selection, moves: &[Move]) -> Vec<&'a Present> {
    let is_moved = |name: &TopicPartition| moves.iter().any(|one| one.name() == name);
    present.iter().filter(|one| selection.contains(&one.name) && !is_moved(&one.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(topic: &str, partition: i32, committed: Committed) -> Present {
        Present { name: TopicPartition::new(topic, partition), committed, low: Offset(10), high: Offset(20) }
    }

    fn at(offset: i64) -> Committed {
        Committed::At(Offset(offset))
    }

    fn selection(partitions: &[i32]) -> Selection {
        Selection { known: vec!["t".into()], topics: vec!["t".into()], partitions: partitions.to_vec() }
    }

    fn wish(topic: &str, partition: i32, offset: i64) -> (TopicPartition, Offset) {
        (TopicPartition::new(topic, partition), Offset(offset))
    }

    #[test]
    fn a_move_costs_what_it_passes_over_or_reads_again() {
        for (committed, to, skipped, again) in [
            (at(12), 15, 3, 0),
            (at(15), 12, 0, 3),
            (at(12), 12, 0, 0),
            // What the topic has lost by itself is not skipped.
            (at(3), 12, 2, 0),
            (at(3), 10, 0, 0),
            // The topic was made anew: what it holds now was never read further than its end.
            (at(90), 12, 0, 8),
            (Committed::Nothing, 10, 0, 0),
            (Committed::Nothing, 20, 10, 0),
            (Committed::Withdrawn(Offset(15)), 12, 2, 0),
        ] {
            let one = Move { from: present("t", 0, committed), to: Offset(to) };
            assert_eq!(one.cost(), Cost { skipped, again }, "{committed:?} to {to}");
            assert_eq!(one.is_change(), committed != at(to));
        }
    }

    #[test]
    fn the_lag_counts_what_there_is_to_read() {
        for (committed, lag) in [
            (at(12), Some(8)),
            (at(20), Some(0)),
            (at(3), Some(10)),
            (at(99), Some(0)),
            (Committed::Nothing, None),
            (Committed::Withdrawn(Offset(3)), None),
        ] {
            assert_eq!(present("t", 0, committed).lag(), lag, "{committed:?}");
        }
        assert!(present("t", 0, at(9)).is_out_of_range() && present("t", 0, at(21)).is_out_of_range());
        assert!(!present("t", 0, at(10)).is_out_of_range() && !present("t", 0, at(20)).is_out_of_range());
        assert!(!present("t", 0, Committed::Withdrawn(Offset(3))).is_out_of_range());
    }

    #[test]
    fn an_offset_that_the_topic_does_not_hold_is_refused_with_what_it_holds() {
        let all = [present("t", 0, at(12)), present("t", 1, at(12))];
        let wishes = [wish("t", 0, 9), wish("t", 1, 21), wish("t", 2, 12), wish("u", 0, 12)].into();
        let refused = moves(&all, &selection(&[]), &wishes).unwrap_err();
        let said: Vec<_> = refused.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "t[0]: offset 9 is not in the topic, which holds 10 to 20: 9 to 9 are gone",
                "t[1]: offset 21 is not in the topic, which holds 10 to 20",
                "t[2]: the topic has 2 partitions, counted from 0",
                "u[0]: u is not among kafka.topics (t)",
            ]
        );
        let within = [wish("t", 0, 10), wish("t", 1, 20)].into();
        assert_eq!(moves(&all, &selection(&[]), &within).map(|moves| moves.len()), Ok(2));
    }

    #[test]
    fn a_selection_leaves_the_other_partitions_alone() {
        let all = [present("t", 0, at(12)), present("t", 1, at(12)), present("t", 2, at(12))];
        // One that is not meant is not judged either.
        let wishes = [wish("t", 0, 99), wish("t", 1, 15)].into();
        let moves = moves(&all, &selection(&[1, 2]), &wishes).unwrap();
        assert_eq!(moves, [Move { from: all[1].clone(), to: Offset(15) }]);
        assert_eq!(left_alone(&all, &selection(&[1, 2]), &moves), [&all[2]]);
        let other =
            Selection { known: vec!["t".into(), "u".into()], topics: vec!["u".into()], partitions: vec![] };
        assert_eq!(super::moves(&all, &other, &wishes), Ok(vec![]), "a topic of ours that is not meant");
    }

    #[test]
    fn offsets_are_taken_over_for_every_topic_that_is_meant_or_for_none() {
        let topics = vec!["t".to_owned(), "u".to_owned()];
        let both = Selection { known: topics.clone(), topics, partitions: Vec::new() };
        let offsets = [wish("t", 0, 1), wish("v", 0, 2)].into();
        let taken = taken_over(&selection(&[]), "it", &offsets).unwrap();
        assert_eq!(taken, TakenOver { wishes: [wish("t", 0, 1)].into(), others: vec!["v".into()] });
        let refused = taken_over(&both, "the checkpoint", &offsets).unwrap_err();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].to_string(), "u: there is no offset for it in the checkpoint, which has t, v");
        let none = taken_over(&both, "it", &BTreeMap::new()).unwrap_err();
        assert!(none[0].to_string().ends_with("none of any topic"));
    }
}
