//! One run: generate, send at the asked pace, wait for the acknowledgements.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use tokio_util::sync::CancellationToken;

use super::SimulatorError;
use super::cluster::{Cluster, PURPOSE};
use super::delivery::Deliveries;
use super::event::Events;
use super::hold_back::HoldBack;
use super::options::{Options, Progress, Summary, Until};
use super::pace::Pace;
use crate::kafka::Inquirer;

/// Events sent before looking up again: at the clock, at acknowledgements, at cancellation.
const SLICE: u64 = 200;

/// The finest step of the clock. Coarse enough to sleep through, fine enough to be even.
const TICK: Duration = Duration::from_millis(5);

/// How often an asked rate that cannot be held, or a run without a rate, looks at the reader.
const LOOK_AT_READER: Duration = Duration::from_millis(50);

/// How long Kafka may take to acknowledge a record.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long we wait for the rest once a record has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

pub(super) fn run(
    options: Options,
    client_config: &ClientConfig,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Summary, SimulatorError> {
    let cluster = Cluster::reach(&options, client_config)?;
    let hold_back =
        cluster.embedded.then(|| cluster.backlog()).transpose().map_err(SimulatorError::Client)?;
    let inquirer = Inquirer::new(PURPOSE, options.tokens.clone());
    let producer = producer_config(client_config, &options)
        .create_with_context(Deliveries::new(inquirer, Arc::clone(progress), hold_back))
        .map_err(SimulatorError::Client)?;
    let pace = Pace::new(options.rate);
    let run = Run {
        events: Events::new(options.seed, options.devices, options.complex_data_count),
        last: match (options.until, pace) {
            (Until::Count(count), _) => count,
            (Until::Elapsed(limit), Some(pace)) => pace.due(limit),
            (Until::Elapsed(_), None) | (Until::Cancelled, _) => u64::MAX,
        },
        started: Instant::now(),
        stood_still: Duration::ZERO,
        looked_at_reader: Instant::now(),
        options,
        pace,
        cluster,
        producer,
        progress,
        stop,
    };
    run.finish()
}

fn producer_config(client_config: &ClientConfig, options: &Options) -> ClientConfig {
    let mut config = client_config.clone();
    let defaults = [
        ("linger.ms", options.linger.as_millis().to_string()),
        ("batch.size", options.batch_bytes.to_string()),
        ("batch.num.messages", "100000".to_owned()),
        ("queue.buffering.max.kbytes", (64 << 10).to_string()),
        ("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string()),
    ];
    for (key, value) in defaults {
        if config.get(key).is_none() {
            config.set(key, value);
        }
    }
    config.set("enable.idempotence", "true").set("acks", "all");
    config
}

struct Run<'a> {
    options: Options,
    pace: Option<Pace>,
    events: Events,
    /// How many events to send.
    last: u64,
    cluster: Cluster,
    producer: BaseProducer<Deliveries>,
    progress: &'a Arc<Progress>,
    stop: &'a CancellationToken,
    started: Instant,
    /// How long we waited for the reader: that much later is everything due.
    stood_still: Duration,
    looked_at_reader: Instant,
}

/// Why sending ended.
enum End {
    Done,
    Cancelled,
    Failed,
    Refused(KafkaError),
}

impl Run<'_> {
    fn finish(mut self) -> Result<Summary, SimulatorError> {
        let end = self.send_all();
        let paced = self.started.elapsed().saturating_sub(self.stood_still);
        let held = self.pace.is_none_or(|pace| {
            let sent = self.progress.read().events;
            sent >= self.last || pace.held(paced, sent)
        });
        let patience =
            if matches!(end, End::Done | End::Cancelled) { DELIVERY_TIMEOUT } else { AFTER_FAILURE };
        let missing = self.await_acknowledgements(patience);
        let summary = self.summary(matches!(end, End::Cancelled), held);

        let counts = self.progress.read();
        let first_failure = self.producer.context().outcome().first_failure.clone();
        let summary_of_failure = || Box::new(summary.clone());
        if let Some(reason) = first_failure {
            return Err(SimulatorError::Delivery {
                failed: counts.failed,
                reason,
                summary: summary_of_failure(),
            });
        }
        if let End::Refused(error) = end {
            return Err(SimulatorError::Send { reason: error.to_string(), summary: summary_of_failure() });
        }
        if missing > 0 {
            return Err(SimulatorError::Unacknowledged {
                missing,
                waited: patience,
                summary: summary_of_failure(),
            });
        }
        Ok(summary)
    }

    fn send_all(&mut self) -> End {
        loop {
            if self.stop.is_cancelled() {
                return End::Cancelled;
            }
            if self.failed() {
                return End::Failed;
            }
            let elapsed = self.started.elapsed();
            let sent = self.events.written();
            if sent >= self.last || self.out_of_time(elapsed) {
                return End::Done;
            }
            let paced = elapsed.saturating_sub(self.stood_still);
            let due = self.pace.map_or(u64::MAX, |pace| pace.due(paced)).min(self.last);
            if sent < due {
                for _ in 0..(due - sent).min(SLICE) {
                    if let Err(end) = self.send_event() {
                        return end;
                    }
                }
                self.note_lateness(paced);
                self.read_acknowledgements();
            } else {
                self.idle(paced, sent);
            }
            self.wait_for_reader();
        }
    }

    /// A run by the clock ends when all that was due has been sent; one that cannot keep its pace
    /// ends a second after its time.
    fn out_of_time(&self, elapsed: Duration) -> bool {
        let grace = if self.pace.is_some() { Duration::from_secs(1) } else { Duration::ZERO };
        matches!(self.options.until, Until::Elapsed(limit) if elapsed >= limit + grace)
    }

    /// Sends the next event, and its copy when it is the turn of one.
    fn send_event(&mut self) -> Result<(), End> {
        let created_at = self.created_at_micros();
        self.events.write_next(created_at);
        self.send_record()?;
        self.progress.events.fetch_add(1, Ordering::Relaxed);
        let every = self.options.duplicate_every;
        if every > 0 && self.events.written().is_multiple_of(every) {
            self.send_record()?;
            self.progress.duplicates.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn created_at_micros(&self) -> i64 {
        let Some(start) = self.options.created_at_start else { return Utc::now().timestamp_micros() };
        let nth = self.events.written();
        let since_start = self.pace.map_or(u128::from(nth), |pace| pace.time_of(nth).as_micros());
        start.timestamp_micros().saturating_add(i64::try_from(since_start).unwrap_or(i64::MAX))
    }

    /// Hands the event last written to the producer; while its queue is full, waits.
    fn send_record(&mut self) -> Result<(), End> {
        let (key, json) = (self.events.key(), self.events.json());
        loop {
            match self.producer.send(BaseRecord::to(&self.options.topic).key(key).payload(json)) {
                Ok(()) => break,
                Err((error, _)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    if self.stop.is_cancelled() {
                        return Err(End::Cancelled);
                    }
                    if self.failed() {
                        return Err(End::Failed);
                    }
                    thread::sleep(TICK);
                    self.read_acknowledgements();
                }
                Err((error, _)) => return Err(End::Refused(error)),
            }
        }
        self.progress.bytes.fetch_add(json.len() as u64, Ordering::Relaxed);
        if self.cluster.embedded
            && let Some(hold_back) = &mut self.producer.context().outcome().hold_back
        {
            hold_back.sent(key.len() + json.len());
        }
        Ok(())
    }

    fn failed(&self) -> bool {
        self.progress.failed.load(Ordering::Relaxed) > 0
    }

    /// Sleeps until the next event is due, or for a tick, whichever is longer; but not so long that
    /// a cancellation goes unheard.
    fn idle(&self, paced: Duration, sent: u64) {
        let next = self.pace.map_or(TICK, |pace| pace.time_of(sent + 1).saturating_sub(paced));
        self.progress.behind_millis.store(0, Ordering::Relaxed);
        // Not by polling: the wrapper spins through the last millisecond of a poll's timeout.
        thread::sleep(next.clamp(TICK, 10 * TICK));
        self.read_acknowledgements();
    }

    fn note_lateness(&self, paced: Duration) {
        let behind = self.pace.map_or(Duration::ZERO, |pace| pace.behind(paced, self.events.written()));
        self.progress.behind_millis.store(behind.as_millis() as u64, Ordering::Relaxed);
    }

    /// Takes every acknowledgement that has come in; one poll takes those of one batch.
    fn read_acknowledgements(&self) {
        let seen = || {
            self.progress.acknowledged.load(Ordering::Relaxed) + self.progress.failed.load(Ordering::Relaxed)
        };
        loop {
            let before = seen();
            self.producer.poll(Duration::ZERO);
            if seen() == before {
                break;
            }
        }
    }

    /// On an embedded Kafka: stands still while the reader is too far behind.
    fn wait_for_reader(&mut self) {
        if !self.cluster.embedded {
            return;
        }
        let mut waiting_since = None;
        loop {
            let fullness =
                self.producer.context().outcome().hold_back.as_ref().map_or(0.0, HoldBack::fullness);
            if fullness >= 1.0 {
                let since = *waiting_since.get_or_insert_with(Instant::now);
                self.progress.waiting_millis.store(since.elapsed().as_millis() as u64, Ordering::Relaxed);
            }
            if fullness > 0.5 && self.looked_at_reader.elapsed() >= LOOK_AT_READER {
                self.look_at_reader();
                continue;
            }
            let over = self.stop.is_cancelled() || self.failed() || self.out_of_time(self.started.elapsed());
            if fullness < 1.0 || over {
                break;
            }
            thread::sleep(TICK);
            self.read_acknowledgements();
        }
        self.progress.waiting_millis.store(0, Ordering::Relaxed);
        self.stood_still += waiting_since.map_or(Duration::ZERO, |since| since.elapsed());
    }

    fn look_at_reader(&mut self) {
        if let Some(hold_back) = &mut self.producer.context().outcome().hold_back
            && let Err(error) = self.cluster.read_committed(hold_back)
        {
            tracing::debug!(%error, "the reader's offsets could not be read");
        }
        self.looked_at_reader = Instant::now();
    }

    /// Waits until every record has an answer; gives up on the rest after so long and says how many.
    fn await_acknowledgements(&self, patience: Duration) -> u64 {
        let deadline = Instant::now() + patience;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                let missing = self.producer.in_flight_count();
                self.producer.purge(PurgeConfig::default().queue().inflight());
                return missing.max(0) as u64;
            }
            thread::sleep(TICK);
            self.read_acknowledgements();
        }
        self.read_acknowledgements();
        0
    }

    fn summary(&self, cancelled: bool, rate_held: bool) -> Summary {
        let counts = self.progress.read();
        let end = self.producer.context().outcome().last_acknowledged.unwrap_or_else(Instant::now);
        let seconds = end.saturating_duration_since(self.started).as_secs_f64();
        Summary {
            topic: self.options.topic.clone(),
            seed: self.options.seed,
            events: counts.events,
            duplicates: counts.duplicates,
            acknowledged: counts.acknowledged,
            bytes: counts.bytes,
            seconds,
            rate: if seconds > 0.0 { counts.events as f64 / seconds } else { 0.0 },
            asked_rate: self.options.rate,
            rate_held,
            waited_for_reader_seconds: self.stood_still.as_secs_f64(),
            cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_sets_is_kept_but_never_at_the_price_of_a_lost_event() {
        let mut asked = ClientConfig::new();
        asked.set("linger.ms", "50").set("acks", "1").set("enable.idempotence", "false");
        let config = producer_config(&asked, &Options::new("topic", "group"));
        let set = ["linger.ms", "batch.size", "acks", "enable.idempotence"].map(|key| config.get(key));
        assert_eq!(set, [Some("50"), Some("1048576"), Some("all"), Some("true")]);
    }
}
