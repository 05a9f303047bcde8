//! `streamproc offsets`: shows a group's offsets, and sets them.

mod args;
mod tables;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use super::{FAILED, USAGE};
use crate::azure::{self, TokenCache};
use crate::config::{Config, Kafka};
use crate::core::kafka::{Offset, TopicPartition};
use crate::core::shown;
use crate::kafka;
use crate::offsets::group::{self, Group, Way};
use crate::offsets::plan::{self, Move, Present, Refusal, Selection};
use crate::offsets::{self, Checkpoint, Session, SessionError, Snapshot};
use args::{Change, Command, Form, Import, Meant, Output, Set, Show, To};

pub(super) use args::Args;

/// A partition that is about to begin gets an offset within a second or two; one that is held gets none.
const HELD_FOR: Duration = Duration::from_secs(5);

/// A command that is not carried out, with its exit status.
type Outcome = Result<ExitCode, Failure>;

struct Failure {
    status: u8,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { status: FAILED, error: error.into() }
    }
}

fn usage(error: impl Into<anyhow::Error>) -> Failure {
    Failure { status: USAGE, error: error.into() }
}

pub(super) async fn run(args: Args, config: Config) -> ExitCode {
    let tokens = match kafka::tokens(&config.kafka.auth, &azure::process_environment) {
        Ok(tokens) => tokens,
        Err(error) => return super::fail(USAGE, &error.into()),
    };
    if let Some(tokens) = &tokens {
        tokens.ready().await;
    }
    // Everything else waits for Kafka, on a thread of its own.
    let task = tokio::task::spawn_blocking(move || carry_out(args.command, &config.kafka, tokens.as_ref()));
    match task.await {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => super::fail(failure.status, &failure.error),
        Err(error) => super::fail(FAILED, &error.into()),
    }
}

fn carry_out(command: Command, kafka: &Kafka, tokens: Option<&TokenCache>) -> Outcome {
    let at_hand = |meant: &Meant| -> Result<AtHand, Failure> {
        let selection = meant.of(&kafka.topics).map_err(|error| usage(anyhow!(error)))?;
        let session = connect(kafka, tokens.cloned())?;
        Ok(AtHand { kafka: kafka.clone(), tokens: tokens.cloned(), session, selection })
    };
    match command {
        Command::Show(Show { meant, form }) => at_hand(&meant)?.show(&form),
        Command::Reset(args) => {
            let at_hand = at_hand(&args.change.meant)?;
            let present = at_hand.look()?;
            let wishes = at_hand.to(args.to, &present)?;
            at_hand.change(&args.change, &present, &Wishes { offsets: wishes, batch: None, is_whole: true })
        }
        Command::Set(args) => {
            let wishes = set(&args, kafka)?;
            let at_hand = at_hand(&args.change.meant)?;
            let present = at_hand.look()?;
            at_hand.change(
                &args.change,
                &present,
                &Wishes { offsets: wishes, batch: None, is_whole: args.from.is_some() },
            )
        }
        Command::Import(args) => {
            let checkpoint = args.from_spark.as_deref().map(offsets::read).transpose()?;
            let at_hand = at_hand(&args.change.meant)?;
            let present = at_hand.look()?;
            let wishes = at_hand.import(&args, checkpoint)?;
            at_hand.change(&args.change, &present, &wishes)
        }
    }
}

fn connect(kafka: &Kafka, tokens: Option<TokenCache>) -> Result<Session, Failure> {
    Session::connect(kafka, tokens).map_err(|error| match error {
        SessionError::Setup(error) => usage(error),
        error => error.into(),
    })
}

/// What a command works with.
struct AtHand {
    kafka: Kafka,
    tokens: Option<TokenCache>,
    session: Session,
    selection: Selection,
}

/// What is to be set.
struct Wishes {
    offsets: BTreeMap<TopicPartition, Offset>,
    /// The batch of Spark's that it is from.
    batch: Option<u64>,
    /// Whether it should be all that is meant, so that what gets nothing is worth a word.
    is_whole: bool,
}

impl AtHand {
    fn look(&self) -> Result<Vec<Present>, SessionError> {
        self.session.look(&self.selection.topics)
    }

    fn show(&self, form: &Form) -> Outcome {
        let mut partitions = self.look()?;
        partitions.retain(|present| self.selection.contains(&present.name));
        let (group, name) = (self.session.group(), &self.kafka.group_id);
        super::say(&match form.output {
            Output::Table => tables::shown_group(name, &group, &partitions),
            Output::Json => tables::line(&serde_json::json!(Snapshot::new(name, &group, &partitions))),
        })?;
        if let (Group::Unknown(reason), Output::Json) = (&group, form.output) {
            super::remark(&format!("note: the group's members cannot be told: {}", shown::text(reason)));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn to(&self, to: To, present: &[Present]) -> Result<BTreeMap<TopicPartition, Offset>, SessionError> {
        let meant: Vec<_> =
            present.iter().filter(|present| self.selection.contains(&present.name)).cloned().collect();
        let each = |offset: fn(&Present) -> Offset| {
            meant.iter().map(|present| (present.name.clone(), offset(present))).collect()
        };
        match to {
            To::Earliest => Ok(each(|present| present.low)),
            To::Latest => Ok(each(|present| present.high)),
            To::Time(time) => self.session.at_time(&meant, time),
        }
    }

    fn import(&self, args: &Import, checkpoint: Option<Checkpoint>) -> Result<Wishes, Failure> {
        let batch = checkpoint.as_ref().map(|checkpoint| checkpoint.finished.batch);
        let (name, found) = match (checkpoint, &args.from_group) {
            (Some(checkpoint), _) => {
                say_batch(&checkpoint);
                ("the checkpoint".to_owned(), checkpoint.ends.offsets)
            }
            (None, Some(group)) => (format!("the group {group}"), self.of_group(group, args)?),
            (None, None) => return Err(usage(anyhow!("name --from-spark or --from-group"))),
        };
        let renamed = offsets::rename(found, &args.topic_map).map_err(|error| usage(anyhow!(error)))?;
        let taken = plan::taken_over(&self.selection, &name, &renamed).map_err(|all| refused(&all))?;
        for other in taken.others {
            super::remark(&format!(
                "note: {} is in {name} and is not meant; it is left out",
                shown::text(&other)
            ));
        }
        Ok(Wishes { offsets: taken.wishes, batch, is_whole: true })
    }

    /// What another group has of the topics that become ours.
    fn of_group(&self, group: &str, args: &Import) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
        let kafka = Kafka { group_id: group.to_owned(), ..self.kafka.clone() };
        let other = connect(&kafka, self.tokens.clone())?;
        if let Group::Known { members, .. } = other.group()
            && !members.is_empty()
        {
            let count = members.len();
            super::remark(&format!(
                "note: the group {} still has {count} members: what it commits from now on is not taken over, and is \
                 read again",
                shown::text(group)
            ));
        }
        let mut offsets = BTreeMap::new();
        for here in &self.selection.topics {
            let there = args.topic_map.iter().find(|map| map.to == *here).map_or(here, |map| &map.from);
            for (partition, committed) in (0..).zip(other.committed(there)?) {
                if let Some(offset) = committed.offset() {
                    offsets.insert(TopicPartition::new(there.as_str(), partition), offset);
                }
            }
        }
        Ok(offsets)
    }

    fn change(&self, args: &Change, present: &[Present], wishes: &Wishes) -> Outcome {
        let moves = plan::moves(present, &self.selection, &wishes.offsets).map_err(|all| refused(&all))?;
        if moves.is_empty() {
            return Err(
                anyhow!("no partition of these topics is meant: look at --topic and --partition").into()
            );
        }
        let changes: Vec<_> = moves.iter().filter(|one| one.is_change()).cloned().collect();
        let group = self.session.group();
        let way = group::way(&self.kafka.group_id, &group, &changes, self.kafka.on_out_of_range);
        let way = match way {
            Err(active) if !args.dry_run && !changes.is_empty() => return Err(active.into()),
            way => way,
        };
        super::say(&match args.form.output {
            Output::Table => tables::moves(&moves),
            Output::Json => {
                tables::line(&tables::moves_as_json(&self.kafka.group_id, &moves, wishes.batch, args.dry_run))
            }
        })?;
        let left = plan::left_alone(present, &self.selection, &moves);
        for left in left.into_iter().filter(|_| wishes.is_whole) {
            super::remark(&left_as_it_is(left));
        }
        if changes.is_empty() {
            super::remark("nothing to set: the group has these offsets");
            return Ok(ExitCode::SUCCESS);
        }
        match way {
            _ if args.dry_run => self.say_dry_run(&group, way.err().as_ref()),
            Ok(way) => self.set(way, &group, &changes)?,
            Err(active) => return Err(active.into()),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn say_dry_run(&self, group: &Group, active: Option<&group::Active>) {
        super::remark("nothing was set: --dry-run");
        self.say_unknown(group);
        if let Some(active) = active {
            super::remark(&format!("note: it would be refused now: {}", shown::text(&active.to_string())));
        }
    }

    fn say_unknown(&self, group: &Group) {
        if let Group::Unknown(reason) = group {
            super::remark(&format!(
                "note: whether {} has members cannot be told ({}); Kafka refuses if it has",
                shown::text(&self.kafka.group_id),
                shown::text(reason)
            ));
        }
    }

    fn set(&self, way: Way, group: &Group, changes: &[Move]) -> Result<(), Failure> {
        self.say_unknown(group);
        match way {
            Way::Commit => self.session.commit(changes)?,
            Way::Transaction => {
                std::thread::sleep(HELD_FOR);
                let now = self.look()?;
                group::stays(changes, &now).map_err(|one| {
                    anyhow!("{}: somebody commits for it, so it is not held. Nothing was changed", one.name())
                })?;
                self.session.commit_beside_members(changes)?;
            }
        }
        self.session.read_back(changes)?;
        super::remark(&format!("set and read back: {} partitions", changes.len()));
        if way == Way::Transaction {
            super::remark("the service looks again within 30 s, and goes on there");
        }
        Ok(())
    }
}

/// The wishes of `set`.
fn set(args: &Set, kafka: &Kafka) -> Result<BTreeMap<TopicPartition, Offset>, Failure> {
    if let Some(file) = &args.from {
        let saved = offsets::saved(&text_of(file)?).with_context(|| file.display().to_string())?;
        if saved.group != kafka.group_id {
            let (theirs, ours) = (shown::text(&saved.group), &kafka.group_id);
            super::remark(&format!("note: these are offsets of the group {theirs}; they are set for {ours}"));
        }
        return Ok(saved.offsets);
    }
    let mut wishes = BTreeMap::new();
    for (name, offset) in &args.places {
        if wishes.insert(name.clone(), *offset).is_some() {
            return Err(usage(anyhow!("{name} is named twice")));
        }
    }
    Ok(wishes)
}

fn text_of(file: &Path) -> Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("reading the standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    Ok(text)
}

fn say_batch(checkpoint: &Checkpoint) {
    let finished = checkpoint.finished;
    let at = checkpoint.ends.at.map(|at| format!(", put together at {}", at.format("%Y-%m-%dT%H:%M:%SZ")));
    super::remark(&format!("batch {}{}: finished", finished.batch, at.unwrap_or_default()));
    if let Some(begun) = finished.begun {
        super::remark(&format!(
            "batch {begun}: begun and not finished; what it has stored is read again, and becomes the same documents"
        ));
    }
    for (line, what) in &checkpoint.ends.others {
        super::remark(&format!("note: line {line} is no source of Kafka's: {}", shown::text(what)));
    }
}

fn left_as_it_is(present: &Present) -> String {
    let name = &present.name;
    match present.committed.offset() {
        Some(offset) => format!("note: {name} is left at {offset}"),
        None => format!("note: {name} is left without an offset: it begins at its oldest record"),
    }
}

/// All refusals in one error; none of the rest is done.
fn refused(all: &[Refusal]) -> Failure {
    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
    anyhow!("{}. Nothing was changed", all.join("; ")).into()
}
