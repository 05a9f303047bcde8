//! Commits, asked for beside the polling thread.
//!
//! librdkafka's asynchronous commit would need no thread, but rdkafka 0.39 never hands on its answer
//! (its event interface sets no callback, and librdkafka answers nothing else): a commit that Kafka
//! refused would go unnoticed. So each commit waits for its answer here.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};

use super::inbox::Outside;
use super::settings::Settings;
use crate::core::kafka::{Offset, TopicPartition};
use crate::core::worker::{CommitNumber, CommitOutcome, Input};
use crate::kafka::rights;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::source::committed::{self, Committed, Present};
use crate::source::consumer::WorkerConsumer;
use crate::source::errors::commit_outcome;
use crate::source::lists;
use crate::source::lookup::TIME_LIMIT;

/// Failures shorter than this are part of every rebalance.
const WORTH_MENTIONING: Duration = Duration::from_secs(10);

/// How long to look, after a commit, whether it was overtaken.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// Between two tries of that.
const PAUSE: Duration = Duration::from_millis(50);

/// What to commit.
pub(super) type Offsets = Vec<(TopicPartition, Offset)>;

/// A commit: what, and which offsets the group had of it.
type Wanted = (CommitNumber, Offsets, Offsets);

/// What was given back to the group since the commit on its way was asked for. While librdkafka commits
/// it joins the group no more, but it knows nothing of the look before: what is committed after that
/// would be in the name of the next generation, in which the partition may be somebody else's.
#[derive(Clone, Default)]
struct GivenBack(Arc<Mutex<Vec<TopicPartition>>>);

impl GivenBack {
    fn lock(&self) -> MutexGuard<'_, Vec<TopicPartition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> Vec<TopicPartition> {
        self.lock().clone()
    }
}

/// The thread that commits. Dropped, it ends by itself once Kafka has answered.
pub(super) struct Commits {
    sender: Sender<Wanted>,
    thread: JoinHandle<()>,
    given_back: GivenBack,
}

impl Commits {
    pub(super) fn start(
        consumer: Arc<WorkerConsumer>,
        settings: Arc<Settings>,
        outside: Outside,
        metrics: Metrics,
        health: Health,
        place: String,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let given_back = GivenBack::default();
        let committer = Committer {
            consumer,
            settings,
            outside,
            metrics,
            health,
            place,
            given_back: given_back.clone(),
            failing_since: None,
        };
        let thread = std::thread::Builder::new()
            .name("kafka-commits".into())
            .spawn(move || committer.run(&receiver))?;
        Ok(Self { sender, thread, given_back })
    }

    /// Asks for a commit. The one before has been answered.
    pub(super) fn ask(&self, number: CommitNumber, offsets: Offsets, known: Offsets) {
        self.given_back.lock().clear();
        // The thread ends only after this is dropped.
        let _ = self.sender.send((number, offsets, known));
    }

    /// Nothing more is begun for these: they are about to be given back to the group.
    pub(super) fn give_back(&self, partitions: &[TopicPartition]) {
        self.given_back.lock().extend_from_slice(partitions);
    }

    /// Waits for the commit that is on its way, and ends.
    pub(super) fn end(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

/// What became of it.
type Answer = (TopicPartition, Offset, CommitOutcome);

struct Committer {
    consumer: Arc<WorkerConsumer>,
    settings: Arc<Settings>,
    outside: Outside,
    metrics: Metrics,
    health: Health,
    place: String,
    given_back: GivenBack,
    failing_since: Option<Instant>,
}

impl Committer {
    fn run(mut self, receiver: &Receiver<Wanted>) {
        while let Ok((number, offsets, known)) = receiver.recv() {
            let (answers, problem) = self.commit(offsets, &known);
            if let Some(error) = problem {
                self.failed(&error);
            } else {
                self.failing_since = None;
                self.health.clear("commits_failing", &self.place);
            }
            for (name, offset, outcome) in &answers {
                if *outcome == CommitOutcome::Kept {
                    self.settings.seen.note(name, *offset);
                    Metrics::of_partition(&self.metrics.committed_offset, name).set(offset.0);
                    self.metrics.committed_now(name);
                } else {
                    self.metrics.commit_failures.inc();
                }
            }
            self.outside.tell(Input::Committed { number, answers });
        }
        self.health.clear("commits_failing", &self.place);
    }

    /// Commits, except over offsets that are gone: their topics were deleted, and a topic made anew has
    /// other records at the same offsets. Another member may have begun to read it already, and have
    /// committed for all of its partitions where they begin. Gives what Kafka would not do besides, if
    /// anything.
    fn commit(&self, mut offsets: Offsets, known: &Offsets) -> (Vec<Answer>, Option<KafkaError>) {
        let present = match self.present(known) {
            Ok(present) => present,
            Err(error) => {
                let again = |(name, at)| (name, at, CommitOutcome::TryAgain);
                return (offsets.into_iter().map(again).collect(), Some(error));
            }
        };
        let (mut all, mut problem) = (Vec::new(), None);
        let mut leave_out = |name: &TopicPartition, outcome| {
            let left_out = offsets.extract_if(.., |(other, _)| other == name);
            all.extend(left_out.map(|(name, at)| (name, at, outcome)));
        };
        for (name, committed) in present {
            let is_enough = |at| known.iter().any(|(known, before)| *known == name && at >= *before);
            let outcome = match committed {
                Ok(Committed::At(at)) if is_enough(at) => continue,
                Ok(_) => CommitOutcome::Gone,
                Err(error) => {
                    problem.get_or_insert(error);
                    CommitOutcome::TryAgain
                }
            };
            tracing::warn!(partition = %name, ?outcome, "the offset that the group had is not to be seen");
            leave_out(&name, outcome);
        }
        for name in &self.given_back.names() {
            leave_out(name, CommitOutcome::TryAgain);
        }
        if !offsets.is_empty() {
            let (mut answers, refused) = self.commit_over(offsets);
            self.look_after(&mut answers);
            all.extend(answers);
            problem = refused.or(problem);
        }
        (all, problem)
    }

    fn commit_over(&self, offsets: Offsets) -> (Vec<Answer>, Option<KafkaError>) {
        let places = offsets.iter().map(|(name, offset)| (name, *offset));
        let answer = lists::at(places).and_then(|list| self.consumer.commit(&list, CommitMode::Sync));
        let Err(error) = answer else {
            let kept = offsets.into_iter().map(|(name, at)| (name, at, CommitOutcome::Kept));
            return (kept.collect(), None);
        };
        // The error is that of one partition; the others may have been kept.
        let outcome = commit_outcome(error.rdkafka_error_code());
        let kept = self.present(&offsets).unwrap_or_default();
        let answers = offsets.into_iter().map(|(name, offset)| {
            let is_kept = kept
                .iter()
                .any(|(kept, at)| *kept == name && matches!(at, Ok(Committed::At(at)) if *at >= offset));
            (name, offset, if is_kept { CommitOutcome::Kept } else { outcome })
        });
        (answers.collect(), Some(error))
    }

    /// A topic that was made anew between the look and the commit has hardly any records yet: of an offset
    /// that it does not reach, nothing was kept that counts.
    fn look_after(&self, answers: &mut [Answer]) {
        let kept = answers.iter().filter(|(.., outcome)| *outcome == CommitOutcome::Kept);
        let kept: Vec<_> = kept.map(|(name, offset, _)| (name.clone(), *offset)).collect();
        let mut gone =
            persist("where the logs end", |left| committed::beyond_the_end(&*self.consumer, &kept, left))
                .unwrap_or_default();
        for (name, offset, outcome) in answers {
            if gone.iter().any(|(gone, _)| gone == name) {
                tracing::warn!(partition = %name, offset = offset.0, "the topic does not reach what was committed");
                *outcome = CommitOutcome::Gone;
            }
        }
        gone.retain(|(name, _)| !self.given_back.lock().contains(name));
        if !gone.is_empty() {
            persist("withdrawing offsets", |_| {
                self.consumer.commit(&committed::withdrawing(&gone)?, CommitMode::Sync)
            });
        }
    }

    fn present(&self, of: &Offsets) -> KafkaResult<Vec<Present>> {
        committed::of(&*self.consumer, lists::of(of.iter().map(|(name, _)| name)), TIME_LIMIT)
    }

    fn failed(&mut self, error: &KafkaError) {
        tracing::debug!(worker = self.place, %error, "a commit failed");
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= WORTH_MENTIONING {
            let mut detail = format!(
                "Kafka keeps no offsets: {error}; events are stored, but would be stored again after a restart"
            );
            if let Some(right) = rights::missing_to_read(error.rdkafka_error_code(), &self.settings.kafka) {
                detail = format!("{detail}. So {right}");
            }
            self.health.raise("commits_failing", self.place.clone(), detail);
        }
    }
}

/// Asks until there is an answer. Gives up before anybody who waits for the commit notices: it only takes so
/// long while a broker is away, and most of what is asked here can be seen later too.
fn persist<T>(what: &str, mut ask: impl FnMut(Duration) -> KafkaResult<T>) -> Option<T> {
    let until = Instant::now() + LOOK_AFTER;
    loop {
        match ask(until.saturating_duration_since(Instant::now())) {
            Ok(answer) => return Some(answer),
            Err(error) if Instant::now() + PAUSE >= until => {
                tracing::debug!(%error, what, "given up");
                return None;
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
