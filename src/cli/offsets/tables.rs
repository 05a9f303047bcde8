//! What `streamproc offsets` prints.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use crate::cli::table;
use crate::core::shown;
use crate::offsets::group::Group;
use crate::offsets::plan::{Move, Present};
use crate::source::committed::Committed;

/// A group and its partitions.
pub(super) fn shown_group(name: &str, group: &Group, partitions: &[Present]) -> String {
    let mut text = format!("group {}: {}\n", shown::text(name), state(group));
    for member in group.members() {
        let (client, host) = (shown::text(&member.client_id), shown::text(&member.host));
        let _ = writeln!(text, "  member {client} at {host}");
    }
    let mut table = table(&["topic", "partition", "committed", "oldest", "end", "lag", ""]);
    for present in partitions {
        table.add_row([
            present.name.topic.to_string(),
            present.name.partition.to_string(),
            offset(present.committed),
            present.low.to_string(),
            present.high.to_string(),
            present.lag().map_or_else(String::new, |lag| lag.to_string()),
            remark(present),
        ]);
    }
    align(&mut table, 1..6);
    format!("{text}{table}\n")
}

fn state(group: &Group) -> String {
    match group {
        Group::Known { state, members } if members.is_empty() && state == "Dead" => {
            "no such group, or one without offsets".to_owned()
        }
        Group::Known { state, members } => match members.len() {
            1 => format!("{}, 1 member", shown::text(state)),
            count => format!("{}, {count} members", shown::text(state)),
        },
        Group::Unknown(reason) => format!("its members cannot be told: {}", shown::text(reason)),
    }
}

fn remark(present: &Present) -> String {
    match present.committed {
        Committed::Withdrawn(offset) => format!("withdrawn: {offset} was of the topic before"),
        Committed::At(_) if present.is_out_of_range() => "not in the topic".to_owned(),
        Committed::At(_) | Committed::Nothing => String::new(),
    }
}

/// What moves do.
pub(super) fn moves(moves: &[Move]) -> String {
    let header = ["topic", "partition", "from", "to", "skipped", "read again", "oldest", "end"];
    let mut table = table(&header);
    for one in moves {
        let cost = one.cost();
        table.add_row([
            one.name().topic.to_string(),
            one.name().partition.to_string(),
            offset(one.from.committed),
            one.to.to_string(),
            cost.skipped.to_string(),
            cost.again.to_string(),
            one.from.low.to_string(),
            one.from.high.to_string(),
        ]);
    }
    align(&mut table, 1..header.len());
    format!("{table}\n")
}

/// The same as JSON.
pub(super) fn moves_as_json(group: &str, moves: &[Move], batch: Option<u64>, dry_run: bool) -> Value {
    let partitions = moves.iter().map(|one| {
        let cost = one.cost();
        json!({
            "topic": *one.name().topic,
            "partition": one.name().partition,
            "from": one.from.committed.offset().map(|offset| offset.0),
            "to": one.to.0,
            "skipped": cost.skipped,
            "read_again": cost.again,
            "low": one.from.low.0,
            "end": one.from.high.0,
        })
    });
    let partitions: Vec<_> = partitions.collect();
    json!({ "group": group, "dry_run": dry_run, "batch": batch, "partitions": partitions })
}

/// JSON on a line.
pub(super) fn line(value: &Value) -> String {
    format!("{}\n", shown::json(&value.to_string()))
}

fn offset(committed: Committed) -> String {
    committed.offset().map_or_else(|| "none".to_owned(), |offset| offset.to_string())
}

fn align(table: &mut Table, numbers: std::ops::Range<usize>) {
    for column in table.column_iter_mut().skip(numbers.start).take(numbers.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kafka::{Offset, TopicPartition};
    use crate::offsets::group::Member;

    fn present(partition: i32, committed: Committed) -> Present {
        Present { name: TopicPartition::new("t", partition), committed, low: Offset(10), high: Offset(20) }
    }

    fn cells(table: &str, row: usize) -> Vec<&str> {
        let line = table.lines().filter(|line| line.starts_with('│')).nth(row).unwrap();
        line.trim_matches('│').split_whitespace().collect()
    }

    #[test]
    fn a_group_is_shown_with_who_reads_and_what_is_wrong() {
        let member =
            Member { client_id: "\u{1b}[2J".into(), host: "/10.0.0.7".into(), member_id: "m".into() };
        let group = Group::Known { state: "Stable".into(), members: vec![member] };
        let partitions = [
            present(0, Committed::At(Offset(12))),
            present(1, Committed::At(Offset(3))),
            present(2, Committed::Nothing),
            present(3, Committed::Withdrawn(Offset(7))),
        ];
        let text = shown_group("g", &group, &partitions);
        assert!(text.starts_with("group g: Stable, 1 member\n  member \\u{1b}[2J at /10.0.0.7\n"), "{text}");
        assert_eq!(cells(&text, 1), ["t", "0", "12", "10", "20", "8"]);
        assert_eq!(cells(&text, 2), ["t", "1", "3", "10", "20", "10", "not", "in", "the", "topic"]);
        assert_eq!(cells(&text, 3), ["t", "2", "none", "10", "20"]);
        assert!(text.contains("withdrawn: 7 was of the topic before"), "{text}");
        let unknown = shown_group("g", &Group::Unknown("no list".into()), &[]);
        assert!(unknown.starts_with("group g: its members cannot be told: no list\n"), "{unknown}");
    }

    #[test]
    fn a_move_is_shown_with_its_cost() {
        let all = [
            Move { from: present(0, Committed::At(Offset(12))), to: Offset(15) },
            Move { from: present(1, Committed::At(Offset(18))), to: Offset(10) },
        ];
        let text = moves(&all);
        assert_eq!(cells(&text, 1), ["t", "0", "12", "15", "3", "0", "10", "20"]);
        assert_eq!(cells(&text, 2), ["t", "1", "18", "10", "0", "8", "10", "20"]);
        let json = moves_as_json("g", &all, Some(4), true);
        assert_eq!(json["batch"], 4);
        assert_eq!(json["partitions"][1]["read_again"], 8);
        assert_eq!(json["partitions"][0]["skipped"], 3);
    }
}
