//! What `show` tells, as JSON, and reading it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::group::{Group, Member};
use super::plan::Present;
use crate::core::kafka::{Offset, TopicPartition};
use crate::source::committed::Committed;

/// A group and its offsets. The names of its fields are promises.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    group: String,
    /// None when it cannot be looked at.
    state: Option<String>,
    members: Vec<Member>,
    partitions: Vec<Row>,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    /// What the group had of the topic before this one.
    withdrawn: Option<i64>,
    low: i64,
    end: i64,
    lag: Option<i64>,
    out_of_range: bool,
}

impl Snapshot {
    /// What is told of a group.
    pub fn new(name: &str, group: &Group, partitions: &[Present]) -> Self {
        let state = match group {
            Group::Known { state, .. } => Some(state.clone()),
            Group::Unknown(_) => None,
        };
        let partitions = partitions.iter().map(Row::from).collect();
        Self { group: name.to_owned(), state, members: group.members().to_vec(), partitions }
    }
}

impl From<&Present> for Row {
    fn from(present: &Present) -> Self {
        let withdrawn = match present.committed {
            Committed::Withdrawn(offset) => Some(offset.0),
            Committed::Nothing | Committed::At(_) => None,
        };
        Self {
            topic: present.name.topic.to_string(),
            partition: present.name.partition,
            committed: present.committed.offset().map(|offset| offset.0),
            withdrawn,
            low: present.low.0,
            end: present.high.0,
            lag: present.lag(),
            out_of_range: present.is_out_of_range(),
        }
    }
}

/// Offsets that were saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The group that had them.
    pub group: String,
    /// What it had. Partitions without an offset are left out.
    pub offsets: BTreeMap<TopicPartition, Offset>,
}

/// What was saved is not what `show --output json` prints.
#[derive(Debug, thiserror::Error)]
#[error("it is not what `streamproc offsets show --output json` prints: {0}")]
pub struct SnapshotError(String);

/// Reads what `show --output json` has printed.
///
/// # Errors
/// When it is something else.
pub fn saved(text: &str) -> Result<Saved, SnapshotError> {
    #[derive(Deserialize)]
    struct Raw {
        group: String,
        partitions: Vec<RawRow>,
    }
    #[derive(Deserialize)]
    struct RawRow {
        topic: String,
        partition: i32,
        committed: Option<i64>,
    }
    let raw: Raw = serde_json::from_str(text).map_err(|error| SnapshotError(error.to_string()))?;
    let mut offsets = BTreeMap::new();
    for RawRow { topic, partition, committed } in raw.partitions {
        let Some(offset) = committed else { continue };
        let name = TopicPartition::new(topic, partition);
        if partition < 0 || offset < 0 {
            return Err(SnapshotError(format!("{name} has the offset {offset}")));
        }
        if offsets.insert(name.clone(), Offset(offset)).is_some_and(|other| other.0 != offset) {
            return Err(SnapshotError(format!("{name} stands in it twice")));
        }
    }
    Ok(Saved { group: raw.group, offsets })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(partition: i32, committed: Committed) -> Present {
        Present { name: TopicPartition::new("t", partition), committed, low: Offset(10), high: Offset(20) }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let partitions = [
            present(0, Committed::At(Offset(12))),
            present(1, Committed::Nothing),
            present(2, Committed::Withdrawn(Offset(7))),
            present(3, Committed::At(Offset(4))),
        ];
        let group = Group::Known { state: "Empty".into(), members: Vec::new() };
        let text = serde_json::to_string(&Snapshot::new("g", &group, &partitions)).unwrap();
        let first = r#"{"topic":"t","partition":0,"committed":12,"withdrawn":null,"low":10,"end":20,"lag":8,"out_of_range":false}"#;
        assert!(text.contains(first), "{text}");
        let offsets =
            [(TopicPartition::new("t", 0), Offset(12)), (TopicPartition::new("t", 3), Offset(4))].into();
        assert_eq!(saved(&text).unwrap(), Saved { group: "g".into(), offsets });
    }

    #[test]
    fn what_is_something_else_is_refused() {
        let row = |offset: i64| format!(r#"{{"topic":"t","partition":0,"committed":{offset}}}"#);
        let file = |rows: &[String]| format!(r#"{{"group":"g","partitions":[{}]}}"#, rows.join(","));
        for wrong in ["", "[]", "{}", r#"{"group":"g"}"#, r#"{"group":"g","partitions":[{"topic":"t"}]}"#] {
            assert!(saved(wrong).is_err(), "{wrong}");
        }
        assert!(saved(&file(&[row(-1)])).is_err_and(|error| error.to_string().contains("t[0]")));
        assert!(saved(&file(&[row(1), row(2)])).is_err_and(|error| error.to_string().contains("twice")));
        assert!(saved(&file(&[row(1), row(1)])).is_ok());
    }
}
