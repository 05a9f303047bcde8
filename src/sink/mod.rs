//! The way of a micro-batch into Cosmos DB: decode, plan, write each lane, settle each record.
//!
//! What is written and what an answer means is decided in [`crate::core::write`]; here it is done,
//! with as many requests in flight as the limits allow. Every record of a batch is reported exactly
//! once, as soon as its end is known, unless the batch is abandoned before.

mod backoff;
mod batch;
mod comeback;
mod decoded;
mod gate;
mod lane;
mod limits;
mod pacing;
mod stop;
mod trouble;

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use self::backoff::Backoff;
use self::comeback::Comeback;
use self::gate::Gate;
use self::limits::Limits;
use self::pacing::Pacing;
pub use self::stop::Stop;
use crate::core::transform::Rules;
use crate::core::write::refusals::Refusals;
use crate::dead_letter::DeadLetters;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;
use crate::store::Store;

/// What the sink is told about how to work.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How an event becomes a document.
    pub rules: Rules,
    /// The consumer group, named in dead letters.
    pub group: String,
    /// Bodies that may be in flight together, in bytes.
    pub body_bytes: usize,
    /// How long one request may take; the store answers within it.
    pub request_timeout: Duration,
    /// Above this fraction of store refusals the stream pauses.
    pub max_fraction: f64,
}

/// The sink of a process, shared by all its workers.
#[derive(Debug)]
pub struct Sink<S, D> {
    store: S,
    dead_letters: D,
    settings: Settings,
    limits: Limits,
    gate: Gate,
    comeback: Comeback,
    pacing: Pacing,
    refusals: Mutex<Refusals>,
    metrics: Metrics,
    health: Health,
}

impl<S: Store, D: DeadLetters> Sink<S, D> {
    /// A sink into a store and a dead-letter topic. `assigned` is how many partitions the process
    /// owns at any time.
    pub fn new(
        store: S,
        dead_letters: D,
        settings: Settings,
        assigned: Arc<AtomicUsize>,
        metrics: Metrics,
        health: Health,
    ) -> Self {
        Self {
            limits: Limits::new(settings.body_bytes, assigned),
            gate: Gate::new(gate::probe_backoff(), health.clone()),
            comeback: Comeback::default(),
            pacing: Pacing::new(),
            refusals: Mutex::new(Refusals::new(settings.max_fraction)),
            store,
            dead_letters,
            settings,
            metrics,
            health,
        }
    }

    /// Limits the request units of this process; none lifts the limit.
    pub fn set_request_unit_limit(&self, limit: Option<f64>) {
        self.pacing.set_limit(limit);
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
