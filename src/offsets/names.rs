//! How partitions, offsets and topics are written as arguments.

use std::collections::BTreeMap;

use crate::core::kafka::{Offset, TopicPartition};

/// A partition and the offset of the next record to read.
pub type Place = (TopicPartition, Offset);

/// A topic that has another name here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renaming {
    /// Its name where the offsets come from.
    pub from: String,
    /// Its name here.
    pub to: String,
}

/// Reads `TOPIC:PARTITION=OFFSET`.
///
/// # Errors
/// What was expected.
pub fn place(text: &str) -> Result<Place, String> {
    let read = || {
        let (name, offset) = text.split_once('=')?;
        let (topic, partition) = name.rsplit_once(':')?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if topic.is_empty() || !is_number(partition) || !is_number(offset) {
            return None;
        }
        let name = TopicPartition::new(topic, partition.parse().ok()?);
        Some((name, Offset(offset.parse().ok()?)))
    };
    read().ok_or_else(|| "expected TOPIC:PARTITION=OFFSET, such as streaming:3=1200".to_owned())
}

/// Reads `OLD=NEW`.
///
/// # Errors
/// What was expected.
pub fn renaming(text: &str) -> Result<Renaming, String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => {
            Ok(Renaming { from: from.to_owned(), to: to.to_owned() })
        }
        _ => Err("expected OLD=NEW, such as events-old=streaming".to_owned()),
    }
}

/// The offsets under the names that their topics have here. Two topics that become one are two sets of
/// offsets, of which neither can be right.
///
/// # Errors
/// A name that two topics would have.
pub fn rename(
    offsets: BTreeMap<TopicPartition, Offset>,
    renamings: &[Renaming],
) -> Result<BTreeMap<TopicPartition, Offset>, String> {
    let mut renamed = BTreeMap::new();
    for (name, offset) in offsets {
        let new = renamings.iter().find(|renaming| *renaming.from == *name.topic);
        let here = new.map_or(name.clone(), |new| TopicPartition::new(new.to.as_str(), name.partition));
        if renamed.insert(here.clone(), offset).is_some() {
            return Err(format!("two topics would be {}: --topic-map gives each its own name", here.topic));
        }
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_a_topic_a_partition_and_an_offset() {
        assert_eq!(place("a.b-c:3=1200"), Ok((TopicPartition::new("a.b-c", 3), Offset(1200))));
        for wrong in ["", "a", "a:3", "a=3", ":3=1", "a:=1", "a:3=", "a:-1=3", "a:3=-2", "a:3=+2", "a:3=x"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
        assert!(place("a:3=99999999999999999999").is_err() && place("a:99999999999=3").is_err());
    }

    #[test]
    fn a_topic_gets_the_name_it_has_here_and_no_two_get_one() {
        let at = |topic: &str, offset| (TopicPartition::new(topic, 0), Offset(offset));
        let map = [renaming("old=new").unwrap()];
        assert_eq!(
            rename([at("old", 1), at("other", 2)].into(), &map),
            Ok([at("new", 1), at("other", 2)].into())
        );
        assert!(rename([at("old", 1), at("new", 2)].into(), &map).is_err_and(|error| error.contains("new")));
        for wrong in ["", "a", "=b", "a="] {
            assert!(renaming(wrong).is_err(), "{wrong}");
        }
    }
}
