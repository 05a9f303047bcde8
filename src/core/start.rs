//! Where reading begins.
//!
//! | the group has committed          | and                        | then                                  |
//! |----------------------------------|----------------------------|---------------------------------------|
//! | an offset for the partition      | the topic still holds it   | there                                 |
//! | an offset for the partition      | the topic does not hold it | `kafka.on_out_of_range` decides       |
//! | nothing, where it had an offset  |                            | `kafka.on_out_of_range`: made anew     |
//! | nothing for this partition       | but for others of the topic | at the oldest: it was added later    |
//! | nothing for any of the topic     | we own its partition 0     | `kafka.start`, committed for all of them first |
//! | nothing for any of the topic     | somebody else owns it      | wait until they have                  |
//!
//! What is read already and held because its offset does not exist is not in the table: that waits for
//! somebody to set another ([`reset_start`]).
//!
//! Committing the starts of all partitions at once, by whoever owns partition 0, makes "applies
//! once" true for the whole group: otherwise the member that comes second would find offsets of
//! others and take its own partitions for ones that were added later.

use super::kafka::Offset;
use super::worker::{Begin, Hold, OutOfRangePolicy};

/// `kafka.start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// At the oldest record.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// Nowhere: somebody has to set offsets.
    Fail,
}

/// What to do for the partitions of one topic before any of them begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicStart {
    /// The group knows the topic: each partition begins by [`partition_start`].
    Known,
    /// Commit the oldest offset of every partition of the topic, then look again.
    CommitEarliest,
    /// Commit the end of every partition of the topic, then look again.
    CommitLatest,
    /// Look again in a moment: another member commits the starts.
    Wait,
    /// Begin nowhere.
    Fail,
}

/// Decides for a topic, from what the group has committed for each of its partitions, and whether it is
/// known to have had an offset of it before.
pub fn topic_start(
    committed: &[Option<Offset>],
    is_known: bool,
    first: FirstStart,
    owns_partition_zero: bool,
) -> TopicStart {
    if is_known || committed.iter().any(Option::is_some) {
        return TopicStart::Known;
    }
    match (first, owns_partition_zero) {
        (FirstStart::Fail, _) => TopicStart::Fail,
        (_, false) => TopicStart::Wait,
        (FirstStart::Earliest, true) => TopicStart::CommitEarliest,
        (FirstStart::Latest, true) => TopicStart::CommitLatest,
    }
}

/// Decides for a partition of a topic that the group knows. `before` is an offset that the group is known
/// to have had: Kafka deletes it with the topic alone.
pub fn partition_start(
    committed: Option<Offset>,
    before: Option<Offset>,
    low: Offset,
    high: Offset,
    out_of_range: OutOfRangePolicy,
) -> Begin {
    match (committed, before) {
        (None, None) => Begin::Unset(low),
        (None, Some(before)) => out_of_range.apply_anew(before, low, high),
        (Some(offset), _) if (low..=high).contains(&offset) => Begin::At(offset),
        (Some(offset), _) => out_of_range.apply(offset, low, high),
    }
}

/// Decides for a partition that is held because the offset `held` does not exist. Only another offset
/// helps, one that somebody has set. That the topic holds this one by now is no repair: it has been
/// cut off or made anew, and grown again with other records. Nor is it one that the group has none
/// any more: Kafka deletes them with a topic.
pub fn reset_start(
    committed: Option<Offset>,
    held: Offset,
    low: Offset,
    high: Offset,
    out_of_range: OutOfRangePolicy,
) -> Option<Begin> {
    let set = committed.filter(|offset| *offset != held)?;
    Some(partition_start(Some(set), None, low, high, out_of_range))
}

/// What every partition of a topic gets under [`TopicStart::Fail`].
pub fn refused_start() -> Begin {
    Begin::Hold(Hold::NoOffset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_setting_applies_only_while_the_group_has_no_offset_for_any_partition() {
        let none = [None, None];
        let some = [None, Some(Offset(4))];
        assert_eq!(topic_start(&none, false, FirstStart::Earliest, true), TopicStart::CommitEarliest);
        assert_eq!(topic_start(&none, false, FirstStart::Latest, true), TopicStart::CommitLatest);
        assert_eq!(topic_start(&none, false, FirstStart::Latest, false), TopicStart::Wait);
        assert_eq!(topic_start(&none, false, FirstStart::Fail, true), TopicStart::Fail);
        for first in [FirstStart::Earliest, FirstStart::Latest, FirstStart::Fail] {
            assert_eq!(topic_start(&some, false, first, false), TopicStart::Known);
            assert_eq!(topic_start(&none, true, first, true), TopicStart::Known, "it was made anew");
        }
    }

    #[test]
    fn a_partition_begins_where_the_table_says() {
        let (low, high) = (Offset(10), Offset(20));
        let hold = |offset| Begin::Hold(Hold::OutOfRange { offset: Offset(offset), low, high });
        for (committed, policy, expected) in [
            (None, OutOfRangePolicy::Hold, Begin::Unset(low)),
            (Some(10), OutOfRangePolicy::Hold, Begin::At(Offset(10))),
            (Some(20), OutOfRangePolicy::Hold, Begin::At(high)),
            (Some(9), OutOfRangePolicy::Hold, hold(9)),
            (Some(21), OutOfRangePolicy::Hold, hold(21)),
            (Some(4), OutOfRangePolicy::Earliest, Begin::Jump { to: low, lost: 6 }),
            (Some(4), OutOfRangePolicy::Latest, Begin::Jump { to: high, lost: 16 }),
            (Some(90), OutOfRangePolicy::Earliest, Begin::Jump { to: low, lost: 0 }),
        ] {
            for before in [None, Some(Offset(15))] {
                if committed.is_some() || before.is_none() {
                    let begin = partition_start(committed.map(Offset), before, low, high, policy);
                    assert_eq!(begin, expected, "{committed:?}");
                }
            }
        }
        for (policy, expected) in [
            (OutOfRangePolicy::Hold, hold(15)),
            (OutOfRangePolicy::Earliest, Begin::Jump { to: low, lost: 0 }),
            (OutOfRangePolicy::Latest, Begin::Jump { to: high, lost: 10 }),
        ] {
            assert_eq!(partition_start(None, Some(Offset(15)), low, high, policy), expected, "made anew");
        }
    }

    #[test]
    fn nothing_but_another_offset_that_exists_lets_a_partition_go_on_whose_offset_does_not() {
        let (low, high) = (Offset(10), Offset(20));
        let hold = Begin::Hold(Hold::OutOfRange { offset: Offset(4), low, high });
        for (committed, expected) in [
            (None, None),
            (Some(15), None),
            (Some(10), Some(Begin::At(low))),
            (Some(20), Some(Begin::At(high))),
            (Some(4), Some(hold)),
        ] {
            let begin = reset_start(committed.map(Offset), Offset(15), low, high, OutOfRangePolicy::Hold);
            assert_eq!(begin, expected, "{committed:?}");
        }
    }
}
