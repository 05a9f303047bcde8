//! Driving one lane: ask, take in the answer, do what it means, until every record has ended.

use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Sink;
use super::backoff::Backoff;
use super::batch::Work;
use super::gate::Turn;
use super::pacing::{self, THROTTLED};
use super::trouble::{Trouble, WORTH_MENTIONING};
use crate::core::mutant::{self, Mutant};
use crate::core::settled::{Settled, Settlement};
use crate::core::write::lane::{Answer, Lane, Refusal, Step};
use crate::core::write::plan::Versions;
use crate::core::write::verdict::{Pause, Retry, Status};
use crate::dead_letter::DeadLetters;
use crate::store::{Kind, Obstacle, Request, Store};

/// The pauses of a lane between two tries of the same request.
fn retry_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}

/// What is said while a lane waits for its turn.
const PACED: &str =
    "Cosmos DB has throttled the partition key range: its requests go out as fast as it takes them";

/// What such a request waits beyond what the service asks for, at most.
const LONGEST_OWN: Duration = Duration::from_millis(250);

/// How long past its own time limit a store may take to answer before it is taken for hanging.
const GRACE: Duration = Duration::from_secs(5);

impl<S: Store, D: DeadLetters> Sink<S, D> {
    /// Writes a lane to its end, or until it does not get on while the batch winds down: then its
    /// records stay unsettled.
    ///
    /// There are as many of these as partition keys in the micro-batch, and nearly all of them wait for their
    /// turn; so what a request takes is in a box, which is there only while there is a request.
    pub(super) async fn drive(&self, work: &Work<'_>, mut lane: Lane) {
        let mut backoff = retry_backoff();
        let mut trouble = work.troubles.lane();
        while let Some(group) = lane.request() {
            let turn = work.stop.wait_for(pin!(self.gate.turn())).await;
            let Some(turn) = turn else { return };
            let mut in_order = false;
            if matches!(turn, Turn::Probe(..)) {
                if let Err(obstacle) = Box::pin(self.store.check()).await {
                    self.count_sign_in(obstacle.reason);
                    self.gate.keep_closed(obstacle);
                    continue;
                }
                in_order = true;
            }
            let length = group.iter().map(|versions| versions.length).sum();
            let first = group.first().and_then(|versions| work.decoded.document(versions.newest));
            let (range, key) = first.map_or_else(Default::default, |document| {
                (self.store.range_of(&document.key), pacing::hash(&document.key))
            });
            let paced = {
                let paced = pin!(self.pacing.of_range(range, key, length));
                work.stop.wait_for(pin!(trouble.wait("throttled", PACED, paced))).await
            };
            let Some(mut start) = paced else { return };
            if work.stop.wait_for(pin!(start.within_limit())).await.is_none() {
                return;
            }
            let permit = self.limits.permit(&work.limit, length).await;
            if start.is_outdated() || matches!(turn, Turn::Open) && self.gate.is_closed() {
                // It was slowed down, or closed, while this lane waited for its place.
                continue;
            }
            let mut answer = self.ask(work, group, &mut trouble).await;
            drop(permit);
            let waits_by_itself = start.answered(&answer);
            // It may have been made anew with other paths since it was looked at.
            if in_order && answer.is_mismatch() && Box::pin(self.store.check()).await.is_ok() {
                answer = answer.with_container_in_order();
            }
            match lane.answer(&answer) {
                Step::Stored(stored) => {
                    self.gate.open();
                    self.comeback.succeeded();
                    trouble.is_over();
                    backoff.reset();
                    self.stored(work, &stored);
                }
                Step::Split => self.gate.open(),
                Step::Retry(retry) => {
                    self.metrics.store_retries.with_label_values(&[retry.as_str()]).inc();
                    drop(turn);
                    self.comeback.failed();
                    let described = describe(&answer);
                    let pause = pin!(self.comeback.pause(backoff.next_delay()));
                    let pause = trouble.pause(retry.as_str(), &described, pause);
                    if work.stop.wait_for(pin!(pause)).await.is_none() {
                        return;
                    }
                }
                Step::Throttled(retry_after) => {
                    self.metrics.store_retries.with_label_values(&["throttled"]).inc();
                    drop(turn);
                    // Else the range makes all of its requests wait.
                    let pause = if waits_by_itself {
                        retry_after.unwrap_or(THROTTLED) + backoff.next_delay().min(LONGEST_OWN)
                    } else {
                        Duration::ZERO
                    };
                    let described = describe(&answer);
                    let pause = tokio::time::sleep(pause);
                    let pause = trouble.pause("throttled", &described, pause);
                    if work.stop.wait_for(pin!(pause)).await.is_none() {
                        return;
                    }
                }
                Step::Refused(refusal) => {
                    self.gate.open();
                    drop(turn);
                    if self.refusals().allow() {
                        trouble.is_over();
                        if !Box::pin(self.refused(work, &refusal)).await {
                            return;
                        }
                        if mutant::is(Mutant::ForgetsSuperseded) {
                            let by = work.batch.records.offset(refusal.record);
                            let older = lane.forget_older().into_iter();
                            work.settle(older.map(|record| Settlement {
                                offset: work.batch.records.offset(record),
                                outcome: Settled::Superseded { by },
                            }));
                        }
                        lane.give_up();
                    } else {
                        let detail = format!(
                            "Cosmos DB refuses more than dead_letter.max_fraction of the last 1,000 events; \
                             the last refusal: {}",
                            describe(&answer)
                        );
                        trouble.holds("too_many_refusals", &detail);
                        if !work.pause(backoff.next_delay()).await {
                            return;
                        }
                    }
                }
                Step::Paused(pause, status) => {
                    self.paused(pause, status, &answer, &mut trouble);
                    drop(turn);
                    if !pause.is_of_container() && !work.pause(backoff.next_delay()).await {
                        return;
                    }
                }
            }
        }
    }

    /// Sends one request; says so while the answer is long in coming.
    async fn ask(&self, work: &Work<'_>, group: &[Versions], trouble: &mut Trouble<'_>) -> Answer {
        let Some(first) = group.first().and_then(|versions| work.decoded.document(versions.newest)) else {
            // A group is never empty and names documents only.
            return Answer { status: Status::new(400, 20_000), ..Answer::stored(0.0) };
        };
        let kind = if group.len() == 1 { Kind::Point(&first.id) } else { Kind::Batch(group.len()) };
        let request = Request { key: &first.key, kind, body: work.decoded.body(&work.batch.records, group) };
        self.metrics.store_inflight_requests.inc();
        let in_flight = InFlight(&self.metrics.store_inflight_requests);
        let mut writing =
            Box::pin(tokio::time::timeout(self.settings.request_timeout + GRACE, self.store.write(request)));
        let answer = if let Ok(answer) = tokio::time::timeout(WORTH_MENTIONING, &mut writing).await {
            answer
        } else {
            trouble.holds(Retry::Timeout.as_str(), "Cosmos DB has not answered a write for five seconds");
            writing.await
        };
        drop(in_flight);
        let answer = answer.unwrap_or_else(|_| Answer {
            status: Status::new(408, 0),
            message: "no answer within cosmos.request_timeout".to_owned(),
            ..Answer::stored(0.0)
        });
        let status = answer.status.code.to_string();
        self.metrics.store_requests.with_label_values(&[kind.as_str(), status.as_str()]).inc();
        self.metrics.request_units.inc_by(answer.request_units.max(0.0));
        if answer.is_throttled() {
            self.metrics.store_throttled.inc();
        }
        work.tally.asked(answer.request_units);
        answer
    }

    fn stored(&self, work: &Work<'_>, stored: &[Versions]) {
        let records = &work.batch.records;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let latency = self.metrics.end_to_end_latency.local();
        let mut settlements = Vec::with_capacity(stored.len());
        for versions in stored {
            let by = records.offset(versions.newest);
            settlements.push(Settlement { offset: by, outcome: Settled::Stored });
            for older in &versions.older {
                settlements
                    .push(Settlement { offset: records.offset(*older), outcome: Settled::Superseded { by } });
            }
            if let Some(millis) = records.timestamp_millis(versions.newest) {
                latency.observe((now - millis as f64 / 1e3).max(0.0));
            }
        }
        latency.flush();
        self.refusals().stored(stored.len());
        work.settle(settlements);
    }

    async fn refused(&self, work: &Work<'_>, refusal: &Refusal) -> bool {
        self.dead_letter(work, refusal.record, refusal.reason, &refusal.message, Some(refusal.status)).await
    }

    fn count_sign_in(&self, reason: &str) {
        if [Pause::SignIn, Pause::Forbidden].map(Pause::as_str).contains(&reason) {
            self.metrics.auth_failures.with_label_values(&["cosmos"]).inc();
        }
    }

    fn paused(&self, pause: Pause, status: Status, answer: &Answer, trouble: &mut Trouble<'_>) {
        self.count_sign_in(pause.as_str());
        let detail = format!("Cosmos DB answers {status}: {}. {}", answer.message, advice(pause));
        if pause.is_of_container() {
            self.gate.close(Obstacle { reason: pause.as_str(), detail });
        } else {
            trouble.holds(pause.as_str(), &detail);
        }
    }
}

/// Keeps the gauge right when a request is abandoned.
struct InFlight<'a>(&'a prometheus::IntGauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn describe(answer: &Answer) -> String {
    format!("Cosmos DB answers {}: {}", answer.status, answer.message)
}

fn advice(pause: Pause) -> &'static str {
    match pause {
        Pause::SignIn => "Look at cosmos.auth: is the key right, is the identity signed in?",
        Pause::Forbidden => {
            "Give the identity the role Cosmos DB Built-in Data Contributor, and look at the account's firewall."
        }
        Pause::ContainerMissing => "Look at cosmos.database and cosmos.container.",
        Pause::PartitionKeyMismatch => "event.partition_key must name the container's partition key paths.",
        Pause::ClientError => "Microsoft's client refused to send the request; this is likely a defect here.",
        Pause::UnknownAnswer => "This answer is not known here; please report it.",
    }
}
