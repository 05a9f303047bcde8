//! The arguments of `streamproc offsets`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};

use crate::offsets::plan::Selection;
use crate::offsets::{Place, Renaming, place, renaming};

const EXAMPLES: &str = "\
A group's offset is the next record that it reads. Offsets are set while nobody reads with the group: scale the \
service to 0 first. The one exception is a partition that the service has paused as out of range: it looks again \
every 30 s, and goes on where it was set. What is set is read back.

Examples:
  streamproc offsets show -c prod.toml
  streamproc offsets reset -c prod.toml --to 2026-11-22T10:00:00Z --dry-run
  streamproc offsets set -c prod.toml streaming:3=1200
  streamproc offsets import -c prod.toml --from-spark ./checkpoint --dry-run";

const SHOW_EXAMPLES: &str = "\
The lag counts offsets from the committed one to the end. What `--output json` prints can be set again with \
`streamproc offsets set --from FILE`.

Examples:
  streamproc offsets show -c prod.toml --topic streaming --partition 3
  streamproc offsets show -c prod.toml --output json > before.json";

const RESET_EXAMPLES: &str = "\
A time takes each partition to its first record that is as new or newer, by the record's timestamp in Kafka; to its \
end, if there is none.

Examples:
  streamproc offsets reset -c prod.toml --to earliest --dry-run
  streamproc offsets reset -c prod.toml --to latest --topic streaming --partition 3
  streamproc offsets reset -c prod.toml --to 2026-11-22T10:00:00+01:00";

const SET_EXAMPLES: &str = "\
An offset that the topic does not hold is refused, and then nothing is set.

Examples:
  streamproc offsets set -c prod.toml streaming:0=1200 streaming:1=1187
  streamproc offsets set -c prod.toml --from before.json --dry-run";

const IMPORT_EXAMPLES: &str = "\
From Spark: of the newest batch that was finished, where it ends. Copy the checkpoint's folders offsets and commits \
to this machine first. What a batch that was begun and not finished has stored is stored again, and becomes the \
same documents. From another group: what it has committed; that of a sink of Kafka Connect is connect-NAME. Stop \
what reads there first. Every topic of kafka.topics (or of --topic) has to be there, if need be by another name. \
docs/from-databricks.md shows it step by step.

Examples:
  streamproc offsets import -c prod.toml --from-spark ./checkpoint --dry-run
  streamproc offsets import -c prod.toml --from-spark ./checkpoint --topic-map events-old=streaming
  streamproc offsets import -c prod.toml --from-group connect-cosmos";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in super::super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// What the group has of each partition, what the topic holds, and who reads.
    #[command(after_help = SHOW_EXAMPLES)]
    Show(Show),
    /// Set all partitions to the oldest record, to the end, or to a time.
    #[command(after_help = RESET_EXAMPLES)]
    Reset(Reset),
    /// Set single partitions, or what was saved.
    #[command(after_help = SET_EXAMPLES)]
    Set(Set),
    /// Go on where a Spark query or another group has stopped.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(Import),
}

#[derive(clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    pub(super) meant: Meant,
    #[command(flatten)]
    pub(super) form: Form,
}

#[derive(clap::Args)]
pub(super) struct Reset {
    /// earliest, latest, or a time by RFC 3339.
    #[arg(long, value_name = "WHERE", value_parser = to)]
    pub(super) to: To,
    #[command(flatten)]
    pub(super) change: Change,
}

#[derive(clap::Args)]
pub(super) struct Set {
    /// Partitions and their offsets.
    #[arg(value_name = "TOPIC:PARTITION=OFFSET", value_parser = place, required_unless_present = "from")]
    pub(super) places: Vec<Place>,
    /// What `offsets show --output json` has printed; - is the standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "places")]
    pub(super) from: Option<PathBuf>,
    #[command(flatten)]
    pub(super) change: Change,
}

#[derive(clap::Args)]
pub(super) struct Import {
    /// A copy of the checkpoint of a Spark Structured Streaming query.
    #[arg(long, value_name = "CHECKPOINT_DIR", required_unless_present = "from_group")]
    pub(super) from_spark: Option<PathBuf>,
    /// Another consumer group of the same Kafka.
    #[arg(long, value_name = "GROUP", conflicts_with = "from_spark")]
    pub(super) from_group: Option<String>,
    /// A topic that has another name there.
    #[arg(long, value_name = "OLD=NEW", value_parser = renaming)]
    pub(super) topic_map: Vec<Renaming>,
    #[command(flatten)]
    pub(super) change: Change,
}

#[derive(clap::Args)]
pub(super) struct Change {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) meant: Meant,
    #[command(flatten)]
    pub(super) form: Form,
}

#[derive(clap::Args)]
pub(super) struct Meant {
    /// Only this topic of kafka.topics; may be repeated.
    #[arg(long, value_name = "TOPIC", value_parser = super::super::topic)]
    topic: Vec<String>,
    /// Only this partition; may be repeated.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
}

#[derive(clap::Args)]
pub(super) struct Form {
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

/// Where a partition is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Earliest,
    Latest,
    Time(DateTime<Utc>),
}

fn to(text: &str) -> Result<To, String> {
    match text {
        "earliest" => Ok(To::Earliest),
        "latest" => Ok(To::Latest),
        time => DateTime::parse_from_rfc3339(time).map(|time| To::Time(time.to_utc())).map_err(|error| {
            format!("expected earliest, latest or a time such as 2026-11-22T10:00:00Z ({error})")
        }),
    }
}

impl Meant {
    /// What of these topics is meant.
    ///
    /// # Errors
    /// A topic that is not among them.
    pub(super) fn of(&self, known: &[String]) -> Result<Selection, String> {
        if let Some(stranger) = self.topic.iter().find(|topic| !known.contains(topic)) {
            return Err(format!("--topic {stranger}: kafka.topics has {}", known.join(", ")));
        }
        let topics = if self.topic.is_empty() { known } else { &self.topic };
        let mut topics = topics.to_vec();
        topics.sort_unstable();
        topics.dedup();
        Ok(Selection { known: known.to_vec(), topics, partitions: self.partition.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_goes_to_an_end_or_to_a_time() {
        assert_eq!(to("earliest"), Ok(To::Earliest));
        assert_eq!(to("latest"), Ok(To::Latest));
        let time = DateTime::from_timestamp(1_763_802_000, 0).unwrap();
        assert_eq!(to("2025-11-22T10:00:00+01:00"), Ok(To::Time(time)));
        for wrong in ["", "newest", "2025-11-22", "2025-11-22T10:00:00", "-1", "1763802000"] {
            assert!(to(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_topic_that_is_not_of_the_pipeline_cannot_be_meant() {
        let meant = |topics: &[&str]| {
            let topic = topics.iter().map(|topic| (*topic).to_owned()).collect();
            Meant { topic, partition: vec![1] }.of(&["b".to_owned(), "a".to_owned()])
        };
        assert_eq!(meant(&[]).map(|selection| selection.topics), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(meant(&["b", "b"]).map(|selection| selection.topics), Ok(vec!["b".to_owned()]));
        assert!(meant(&["c"]).is_err_and(|error| error.contains("kafka.topics has b, a")));
    }
}
