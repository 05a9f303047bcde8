//! The workers of a process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::inbox::Outside;
use super::joining::Joining;
use super::ownership::Ownership;
use super::settings::Settings;
use super::thread::WorkerThread;
use crate::core::budget::Budget;
use crate::core::worker::Input;
use crate::dead_letter::DeadLetters;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::observe::progress::Progress;
use crate::sink::Sink;
use crate::store::Store;

/// What all workers of a process share.
pub struct Shared<S, D> {
    /// How to work.
    pub settings: Arc<Settings>,
    /// Where micro-batches go.
    pub sink: Arc<Sink<S, D>>,
    /// The byte budget for records.
    pub budget: Budget,
    /// Which partitions the process owns.
    pub ownership: Ownership,
    /// When its workers join the group.
    pub joining: Joining,
    /// The runtime that writes.
    pub runtime: tokio::runtime::Handle,
    /// What is counted.
    pub metrics: Metrics,
    /// What holds the stream.
    pub health: Health,
    /// The last micro-batches.
    pub progress: Progress,
    /// Told when a client says that a topic is not there or not for us.
    pub look_again: Arc<Notify>,
}

/// When a worker's thread last went through its loop.
#[derive(Debug)]
pub(super) struct Pulse {
    begun: Instant,
    last_millis: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), last_millis: AtomicU64::new(0) }
    }

    pub(super) fn beat(&self) {
        self.last_millis.store(self.millis(), Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(self.last_millis.load(Ordering::Relaxed)))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A worker has ended by a defect of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a worker broke down: what it had not committed is read again by the next owner; the log says where")]
pub struct Broken;

/// One worker, as the pool knows it.
struct Member {
    outside: Arc<Mutex<Option<Outside>>>,
    pulse: Arc<Pulse>,
    ended: Mutex<Option<oneshot::Receiver<Result<(), Broken>>>>,
}

/// The workers of a process.
pub struct Pool {
    members: Vec<Member>,
}

impl Pool {
    /// Starts as many workers as the settings say. They run until [`Pool::drain`].
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start<S: Store, D: DeadLetters>(shared: &Arc<Shared<S, D>>) -> std::io::Result<Self> {
        let mut members = Vec::new();
        for number in 0..shared.settings.kafka.workers {
            let outside = Arc::new(Mutex::new(None));
            let pulse = Arc::new(Pulse::new());
            let (ended, wait) = oneshot::channel();
            let worker = WorkerThread::new(number, Arc::clone(shared), Arc::clone(&pulse));
            let to_outside = Arc::clone(&outside);
            std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let (own, inbox) = Outside::into_this_thread();
                *to_outside.lock().unwrap_or_else(PoisonError::into_inner) = Some(own.clone());
                let _ = ended.send(worker.run_to_its_end(&own, &inbox));
            })?;
            members.push(Member { outside, pulse, ended: Mutex::new(Some(wait)) });
        }
        Ok(Self { members })
    }

    /// The longest that any worker's thread has not gone through its loop.
    pub fn longest_silence(&self) -> Duration {
        self.members.iter().map(|member| member.pulse.silent_for()).max().unwrap_or_default()
    }

    /// Tells the workers to settle, commit and leave, and waits until they have.
    ///
    /// # Errors
    ///
    /// When one of them could not, because it had broken down before.
    pub async fn drain(&self) -> Result<(), Broken> {
        for member in &self.members {
            // A worker that has only just been started may not have its inbox yet.
            loop {
                let outside = member.outside.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(outside) = outside {
                    outside.tell(Input::Drain);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let mut drained = Ok(());
        for member in &self.members {
            let ended = member.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(ended) = ended {
                drained = drained.and(ended.await.unwrap_or(Err(Broken)));
            }
        }
        drained
    }
}
