//! The checkpoint of a Spark Structured Streaming query, as far as offsets go.
//!
//! A query writes `offsets/N` before it runs batch N, and `commits/N` when the batch is done
//! (`OffsetSeqLog`, `CommitLog` in Spark 2.1 to 4.1). `offsets/N` holds where the batch ENDS, source by source,
//! and like a group's offset that is the next record to read. So what a query has done is up to `offsets/N` of
//! the newest N that has a `commits/N`:
//!
//! ```text
//! v1
//! {"batchWatermarkMs":0,"batchTimestampMs":1700000000000,"conf":{...}}
//! {"streaming":{"0":123,"1":456}}
//! ```
//!
//! A source without an offset is a `-`. In version 2 a source's line begins with its id and a colon. A batch
//! that was begun and not finished may have stored a part of its events: they are read again, and become the
//! same documents.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::core::kafka::{Offset, TopicPartition};

/// The versions of `offsets/N` that are known.
const VERSIONS: [&str; 2] = ["v1", "v2"];

/// Of a source that has no offset.
const VOID: &str = "-";

/// Which batch a query has finished last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its number.
    pub batch: u64,
    /// A newer one that was begun and not finished.
    pub begun: Option<u64>,
}

/// Why no batch can be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBatch {
    /// None was finished.
    #[error(
        "no batch of it was finished: there is nothing that has both offsets/N and commits/N{}; the query has to \
         begin anew (streamproc offsets reset --to earliest)",
        .begun.map(|batch| format!(" (batch {batch} was begun)")).unwrap_or_default()
    )]
    NoneFinished {
        /// The newest that was begun.
        begun: Option<u64>,
    },
}

/// The batches that the files of a folder belong to. A batch's file is its number; whatever else is there
/// (checksums, files that were being written, folders of Databricks) is none.
pub fn batches<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<u64> {
    let is_number = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    names.into_iter().filter(is_number).filter_map(|name| name.parse().ok()).collect()
}

/// The newest batch that was finished, of those that have offsets and those that have a commit.
///
/// # Errors
/// When none was.
pub fn newest_finished(offsets: &BTreeSet<u64>, commits: &BTreeSet<u64>) -> Result<Finished, NoBatch> {
    let begun = offsets.last().copied();
    let batch = offsets.intersection(commits).last().copied().ok_or(NoBatch::NoneFinished { begun })?;
    Ok(Finished { batch, begun: begun.filter(|begun| *begun > batch) })
}

/// What `offsets/N` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Where the batch ends, of all sources that are Kafka's. Of a partition that two of them read, the lower.
    pub offsets: BTreeMap<TopicPartition, Offset>,
    /// When the batch was put together.
    pub at: Option<DateTime<Utc>>,
    /// The lines of sources that are something else, and what they hold.
    pub others: Vec<(usize, String)>,
}

/// Reads `offsets/N`.
///
/// # Errors
/// What is wrong with it.
pub fn ends(text: &str) -> Result<Ends, String> {
    let mut lines = text.lines().map(str::trim_end).enumerate();
    let version = match lines.next() {
        Some((_, line)) if VERSIONS.contains(&line) => line,
        Some((_, line)) if !line.is_empty() => {
            return Err(format!("its first line is {}, expected v1 or v2", excerpt(line)));
        }
        _ => return Err("it is empty: it was not written to its end".to_owned()),
    };
    let mut ends = Ends { at: lines.next().and_then(|(_, line)| written_at(line)), ..Ends::default() };
    let mut sources = 0;
    for (at, line) in lines.filter(|(_, line)| !line.is_empty()) {
        sources += 1;
        let offset = if version == "v2" { without_id(line) } else { line };
        if offset == VOID {
            continue;
        }
        match source(offset).map_err(|error| format!("line {}: {error}", at + 1))? {
            Some(offsets) => {
                for (name, offset) in offsets {
                    let lower = ends.offsets.get(&name).map_or(offset, |other| offset.min(*other));
                    ends.offsets.insert(name, lower);
                }
            }
            None => ends.others.push((at + 1, excerpt(offset))),
        }
    }
    match sources {
        0 => Err("it names no source: it was not written to its end".to_owned()),
        _ => Ok(ends),
    }
}

/// Whether `commits/N` was written: Spark asks no more of it.
///
/// # Errors
/// What is wrong with it.
pub fn check_commit(text: &str) -> Result<(), String> {
    match text.lines().next().map(str::trim_end) {
        Some(line) if VERSIONS.contains(&line) => Ok(()),
        Some(line) if !line.is_empty() => {
            Err(format!("its first line is {}, expected v1 or v2", excerpt(line)))
        }
        _ => Err("it is empty: it was not written to its end".to_owned()),
    }
}

fn written_at(metadata: &str) -> Option<DateTime<Utc>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        batch_timestamp_ms: i64,
    }
    let metadata: Metadata = serde_json::from_str(metadata).ok()?;
    DateTime::from_timestamp_millis(metadata.batch_timestamp_ms)
}

/// `0:{"t":{"0":1}}` is of the source 0. Offsets that are an object begin with their brace.
fn without_id(line: &str) -> &str {
    line.split_once(':').map_or(line, |(_, offset)| offset)
}

/// The offsets of a source, or nothing if it is not Kafka's.
fn source(line: &str) -> Result<Option<Vec<(TopicPartition, Offset)>>, String> {
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|error| format!("{} is not JSON: {error}", excerpt(line)))?;
    let Some(topics) = value.as_object().filter(|topics| topics.values().all(serde_json::Value::is_object))
    else {
        return Ok(None);
    };
    let mut offsets = Vec::new();
    for (topic, partitions) in topics {
        for (partition, offset) in partitions.as_object().into_iter().flatten() {
            let Ok(number) = partition.parse::<i32>() else { return Ok(None) };
            let offset = offset.as_i64().filter(|offset| *offset >= 0);
            let offset =
                offset.ok_or_else(|| format!("{topic}[{number}] has no offset that is 0 or more"))?;
            offsets.push((TopicPartition::new(topic.as_str(), number), Offset(offset)));
        }
    }
    Ok(Some(offsets))
}

/// As much of a line as a message has room for.
fn excerpt(line: &str) -> String {
    const MOST: usize = 60;
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}...", &line[..end]),
        None => format!("{line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"batchWatermarkMs":0,"batchTimestampMs":1700000000000,"conf":{"spark.sql.shuffle.partitions":"200"}}"#;

    fn at(topic: &str, partition: i32, offset: i64) -> (TopicPartition, Offset) {
        (TopicPartition::new(topic, partition), Offset(offset))
    }

    fn parsed(sources: &str) -> Result<Ends, String> {
        ends(&format!("v1\n{METADATA}\n{sources}"))
    }

    #[test]
    fn the_newest_batch_with_offsets_and_a_commit_is_taken() {
        let newest = |offsets: &[&str], commits: &[&str]| {
            newest_finished(&batches(offsets.iter().copied()), &batches(commits.iter().copied()))
        };
        let finished = |batch, begun| Ok(Finished { batch, begun });
        assert_eq!(newest(&["0", "1", "2"], &["0", "1"]), finished(1, Some(2)), "2 was not finished");
        assert_eq!(newest(&["0", "1", "2"], &["0", "1", "2"]), finished(2, None));
        assert_eq!(newest(&["8", "9", "10"], &["8", "9", "10"]), finished(10, None), "numbers, not words");
        assert_eq!(newest(&["4", "7"], &["4"]), finished(4, Some(7)));
        assert_eq!(newest(&["4"], &["4", "5"]), finished(4, None), "a commit without offsets says nothing");
        assert_eq!(newest(&["0"], &[]), Err(NoBatch::NoneFinished { begun: Some(0) }));
        assert_eq!(newest(&[], &[]), Err(NoBatch::NoneFinished { begun: None }));
        let other =
            [".3.crc", "3.crc", "3.compact", ".4.9a-b.tmp", "__tmp_path_dir", "-5", "+6", "", "metadata"];
        assert_eq!(newest(&[&["2"][..], &other].concat(), &[&["2"][..], &other].concat()), finished(2, None));
    }

    #[test]
    fn a_batch_ends_where_its_sources_end() {
        let two =
            parsed("{\"streaming\":{\"10\":7,\"0\":123}}\n-\n{\"a\":{\"0\":1},\"b\":{\"0\":0}}\n").unwrap();
        let expected = [at("streaming", 10, 7), at("streaming", 0, 123), at("a", 0, 1), at("b", 0, 0)];
        assert_eq!(two.offsets, expected.into());
        assert_eq!(two.at.map(|at| at.timestamp()), Some(1_700_000_000));
        assert_eq!(two.others, []);
        assert_eq!(parsed("{\"t\":{}}").unwrap().offsets, BTreeMap::new());
        // Spark 2.1 has no conf, and a query may have no metadata at all.
        for metadata in ["{\"batchWatermarkMs\":0,\"batchTimestampMs\":5}", "", "{}"] {
            let read = ends(&format!("v1\r\n{metadata}\r\n{{\"t\":{{\"0\":5}}}}")).unwrap();
            assert_eq!(read.offsets, [at("t", 0, 5)].into(), "{metadata}");
        }
    }

    #[test]
    fn version_two_names_its_sources() {
        let text = format!("v2\n{METADATA}\n0:{{\"t\":{{\"0\":5}}}}\n1:-\norders:{{\"u\":{{\"1\":6}}}}");
        assert_eq!(ends(&text).unwrap().offsets, [at("t", 0, 5), at("u", 1, 6)].into());
    }

    #[test]
    fn of_a_partition_that_two_sources_read_the_lower_offset_counts() {
        for sources in ["{\"t\":{\"0\":5}}\n{\"t\":{\"0\":9}}", "{\"t\":{\"0\":9}}\n{\"t\":{\"0\":5}}"] {
            assert_eq!(parsed(sources).unwrap().offsets, [at("t", 0, 5)].into());
        }
    }

    #[test]
    fn sources_that_are_not_kafkas_are_named() {
        let sources = "{\"logOffset\":4}\n{\"t\":{\"0\":5}}\n17\n\
                       {\"sourceVersion\":1,\"reservoirId\":\"a\",\"index\":3}\n{\"shard\":{\"shardId-0\":{}}}";
        let read = parsed(sources).unwrap();
        assert_eq!(read.offsets, [at("t", 0, 5)].into());
        let lines: Vec<_> = read.others.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 5, 6, 7]);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_and_named() {
        for (text, words) in [
            ("", "empty"),
            ("v3\n{}\n{\"t\":{\"0\":5}}", "\"v3\", expected v1 or v2"),
            ("{\"t\":{\"0\":5}}", "expected v1 or v2"),
            ("v1", "names no source"),
            ("v1\n{}", "names no source"),
            ("v1\n{}\n{\"t\":{\"0\":5", "line 3: \"{\\\"t\\\":{\\\"0\\\":5\" is not JSON"),
            ("v1\n{}\n{\"t\":{\"0\":-2}}", "line 3: t[0] has no offset"),
            ("v1\n{}\n{\"t\":{\"0\":\"5\"}}", "t[0] has no offset"),
            ("v1\n{}\n{\"t\":{\"0\":1.5}}", "t[0] has no offset"),
        ] {
            let error = ends(text).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
        assert_eq!(check_commit("v1\n{\"nextBatchWatermarkMs\":0}"), Ok(()));
        assert_eq!(check_commit("v2\n{}"), Ok(()), "state stores of Spark 4");
        assert!(check_commit("").is_err_and(|error| error.contains("empty")));
        assert!(check_commit("v9\n{}").is_err_and(|error| error.contains("v9")));
    }
}
