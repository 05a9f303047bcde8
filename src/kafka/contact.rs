//! The contact between one client and its brokers: what is in its way, said on `/readyz` and in the
//! log, from the first failure until a broker has answered again.
//!
//! A client tells of a failed connection when it fails, the same failure no more than every thirty
//! seconds, and never that a connection works again. That shows in its statistics, once a second.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::Deserialize;

use super::SignInFiles;
use crate::config::Kafka;
use crate::observe::health::Health;
use crate::observe::metrics::Metrics;

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No broker can be reached.
    Unreachable,
    /// A broker does not let us in, or we do not trust it.
    SignIn,
}

impl Obstacle {
    /// What an error of a client says about its connections, if anything.
    pub fn of(error: &KafkaError, reason: &str) -> Option<Self> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code()? {
            Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL => Some(Self::SignIn),
            Code::BrokerTransportFailure if is_of_tls(reason) => Some(Self::SignIn),
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::NetworkException => Some(Self::Unreachable),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "kafka_unreachable",
            Self::SignIn => "kafka_sign_in",
        }
    }
}

/// How a client stands with its brokers, as its statistics tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Whether any broker is connected and signed in to.
    pub connected: bool,
    /// Whether the client tries to connect to one that it needs.
    pub trying: bool,
}

#[derive(Deserialize)]
struct RawBroker {
    state: String,
}

impl Reach {
    /// Reads the statistics' `brokers`.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            brokers: std::collections::HashMap<String, RawBroker>,
        }
        let raw: Raw = serde_json::from_slice(json)?;
        let is = |state: &str, any_of: &[&str]| any_of.contains(&state);
        Ok(Self {
            connected: raw.brokers.values().any(|broker| is(&broker.state, &["UP", "REAUTH"])),
            // A broker that nothing is wanted of stays INIT, or DOWN after it was idle.
            trying: raw.brokers.values().any(|broker| !is(&broker.state, &["UP", "REAUTH", "INIT", "DOWN"])),
        })
    }
}

/// The contact of one client, and of those that take its place.
pub struct Contact {
    place: String,
    kafka: Kafka,
    metrics: Metrics,
    health: Health,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connected: bool,
    last: Option<(Obstacle, String)>,
    raised: Option<Obstacle>,
    files: Option<SignInFiles>,
}

impl std::fmt::Debug for Contact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contact").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Contact {
    /// The contact of a client that is told apart by `place`.
    pub fn new(kafka: Kafka, place: impl Into<String>, metrics: Metrics, health: Health) -> Self {
        Self { place: place.into(), kafka, metrics, health, state: Mutex::default() }
    }

    /// A client is about to be made, with what the files of the sign-in hold now: to be told before
    /// they are read for it, so that no change goes unnoticed.
    pub fn begins(&self) {
        let mut state = self.lock();
        state.connected = false;
        state.files = Some(SignInFiles::of(&self.kafka.auth));
    }

    /// The client told of an error. Gives what it says about the connections, if anything.
    pub fn failed(&self, error: &KafkaError, reason: &str) -> Option<Obstacle> {
        let obstacle = Obstacle::of(error, reason)?;
        let mut state = self.lock();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // It comes behind the last broker's own error, which says more.
            state.connected = false;
            state.last.get_or_insert_with(|| (obstacle, reason.to_owned()));
        } else {
            state.last = Some((obstacle, without_times(reason).to_owned()));
        }
        if obstacle == Obstacle::SignIn {
            self.metrics.auth_failures.with_label_values(&["kafka"]).inc();
        }
        // One broker of several that is out of reach is what leaders move away for.
        if obstacle == Obstacle::SignIn || !state.connected {
            self.raise(&mut state);
        }
        Some(obstacle)
    }

    /// The client's statistics came.
    pub fn seen(&self, reach: Reach) {
        let mut state = self.lock();
        state.connected = reach.connected;
        let over = match &state.last {
            // As long as it still tries somewhere, it may be refused there again.
            Some((Obstacle::SignIn, _)) => reach.connected && !reach.trying,
            _ => reach.connected,
        };
        if over {
            state.last = None;
            if let Some(raised) = state.raised.take() {
                self.health.clear(raised.as_str(), &self.place);
            }
        } else if state.raised.is_none() {
            self.raise(&mut state);
        }
    }

    /// Whether another client may get in where this one does not: it is refused, and what the files of
    /// the sign-in hold has changed since it was made. librdkafka reads them once.
    pub fn is_outdated(&self) -> bool {
        let state = self.lock();
        state.raised == Some(Obstacle::SignIn)
            && state.files.as_ref().is_some_and(|files| files.have_changed(&self.kafka.auth))
    }

    fn raise(&self, state: &mut State) {
        let Some((obstacle, reason)) = &state.last else { return };
        let brokers = &self.kafka.bootstrap_servers;
        let detail = match obstacle {
            Obstacle::Unreachable => format!("Kafka at {brokers} cannot be reached: {reason}"),
            Obstacle::SignIn => {
                format!("the sign-in to Kafka at {brokers} fails: {reason}. {}", advice(reason))
            }
        };
        if let Some(before) = state.raised.replace(*obstacle)
            && before != *obstacle
        {
            self.health.clear(before.as_str(), &self.place);
        }
        self.health.raise(obstacle.as_str(), self.place.clone(), detail);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection broke over certificates. With TLS 1.3 a broker refuses a client's certificate
/// only after the client's handshake is done, and librdkafka takes that for a broken connection and
/// quotes OpenSSL; but it also quotes OpenSSL when a broker hangs up without a word.
fn is_of_tls(reason: &str) -> bool {
    reason.contains("SSL routines::") && !reason.contains("unexpected eof")
}

fn advice(reason: &str) -> &'static str {
    if reason.contains("certificate verify failed") {
        // OpenSSL's reason why is lost on the way.
        "Look at kafka.auth.ca_file: it must hold the authority that has signed the brokers' certificates; or the \
         certificate is not made out to the name in kafka.bootstrap_servers, or has expired."
    } else {
        "Look at kafka.auth."
    }
}

/// librdkafka ends its reasons with how long the connection was in which state.
fn without_times(reason: &str) -> &str {
    reason.rsplit_once(" (after ").map_or(reason, |(said, _)| said)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const REFUSED: &str = "localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
    const UP: Reach = Reach { connected: true, trying: false };
    const DOWN: Reach = Reach { connected: false, trying: true };

    fn contact() -> (Contact, Metrics, Health) {
        let metrics = Metrics::new().unwrap();
        let health = Health::new(metrics.clone());
        let kafka = Kafka::new("localhost:9092", ["t"]);
        (Contact::new(kafka, "worker-0", metrics.clone(), health.clone()), metrics, health)
    }

    fn error(code: RDKafkaErrorCode) -> KafkaError {
        KafkaError::Global(code)
    }

    fn reasons(health: &Health) -> Vec<&'static str> {
        health.conditions().iter().map(|condition| condition.reason).collect()
    }

    #[test]
    fn a_broker_that_is_out_of_reach_is_named_until_one_answers() {
        let (contact, _, health) = contact();
        contact.failed(&error(RDKafkaErrorCode::BrokerTransportFailure), REFUSED);
        contact.failed(&error(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        let conditions = health.conditions();
        assert_eq!((conditions.len(), conditions[0].reason), (1, "kafka_unreachable"));
        assert!(conditions[0].detail.ends_with("Connection refused"), "{:?}", conditions[0]);
        contact.seen(DOWN);
        assert_eq!(reasons(&health), ["kafka_unreachable"]);
        contact.seen(UP);
        assert_eq!(reasons(&health), [""; 0]);
    }

    #[test]
    fn one_broker_of_several_that_is_gone_is_no_obstacle() {
        let (contact, _, health) = contact();
        contact.seen(UP);
        contact.failed(&error(RDKafkaErrorCode::BrokerTransportFailure), REFUSED);
        contact.seen(Reach { connected: true, trying: true });
        assert_eq!(reasons(&health), [""; 0]);
        contact.failed(&error(RDKafkaErrorCode::BrokerTransportFailure), REFUSED);
        contact.seen(DOWN);
        assert_eq!(reasons(&health), ["kafka_unreachable"], "the last one, as the statistics tell");
    }

    #[test]
    fn a_refused_sign_in_is_counted_and_lasts_until_nothing_is_tried_any_more() {
        let (contact, metrics, health) = contact();
        contact.seen(UP);
        contact.failed(&error(RDKafkaErrorCode::Authentication), "wrong password");
        assert_eq!(reasons(&health), ["kafka_sign_in"]);
        contact.seen(Reach { connected: true, trying: true });
        assert_eq!(reasons(&health), ["kafka_sign_in"], "one of the brokers still refuses it");
        contact.seen(UP);
        assert_eq!(reasons(&health), [""; 0]);
        assert_eq!(metrics.auth_failures.with_label_values(&["kafka"]).get(), 1);
    }

    #[test]
    fn the_newest_obstacle_takes_the_place_of_the_one_before() {
        let (contact, _, health) = contact();
        contact.failed(&error(RDKafkaErrorCode::SSL), "unknown authority");
        contact.failed(&error(RDKafkaErrorCode::BrokerTransportFailure), REFUSED);
        assert_eq!(reasons(&health), ["kafka_unreachable"]);
    }

    #[test]
    fn a_certificate_that_the_broker_refuses_is_a_matter_of_the_sign_in() {
        let alert = "ssl://a:9/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42";
        let transport = error(RDKafkaErrorCode::BrokerTransportFailure);
        assert_eq!(Obstacle::of(&transport, alert), Some(Obstacle::SignIn));
        let verify = "sasl_ssl://a:9/bootstrap: error:0A000086:SSL routines::certificate verify failed";
        assert_eq!(Obstacle::of(&transport, verify), Some(Obstacle::SignIn));
        let hung_up =
            "ssl://a:9/1: Receive failed: error:0A000126:SSL routines::unexpected eof while reading";
        assert_eq!(Obstacle::of(&transport, hung_up), Some(Obstacle::Unreachable));
        assert_eq!(Obstacle::of(&transport, REFUSED), Some(Obstacle::Unreachable));
        assert_eq!(Obstacle::of(&error(RDKafkaErrorCode::UnknownTopic), ""), None);
    }

    #[test]
    fn another_client_is_asked_for_only_when_this_one_is_refused_and_the_password_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "old").unwrap();
        let metrics = Metrics::new().unwrap();
        let mut kafka = Kafka::new("localhost:9092", ["t"]);
        kafka.auth.password_file = Some(path.clone());
        let contact = Contact::new(kafka, "worker-0", metrics.clone(), Health::new(metrics));
        contact.begins();
        contact.failed(&error(RDKafkaErrorCode::Authentication), "wrong password");
        assert!(!contact.is_outdated(), "the file is as it was");
        std::fs::remove_file(&path).unwrap();
        assert!(!contact.is_outdated(), "the file is being replaced");
        std::fs::write(&path, "new").unwrap();
        assert!(contact.is_outdated());
        contact.begins();
        assert!(!contact.is_outdated(), "the new client has the new one");
        std::fs::write(&path, "newer").unwrap();
        contact.seen(UP);
        assert!(!contact.is_outdated(), "it got in");
    }

    #[test]
    fn brokers_that_nothing_is_wanted_of_are_not_tried() {
        let reach = |states: &[&str]| {
            let brokers: serde_json::Map<_, _> = states
                .iter()
                .enumerate()
                .map(|(at, state)| (format!("b{at}"), serde_json::json!({ "state": state, "nodeid": at })))
                .collect();
            Reach::parse(serde_json::json!({ "name": "a client", "brokers": brokers }).to_string().as_bytes())
                .unwrap()
        };
        assert_eq!(reach(&["UP", "INIT", "DOWN"]), UP);
        assert_eq!(reach(&["REAUTH"]), UP);
        assert_eq!(reach(&["UP", "TRY_CONNECT"]), Reach { connected: true, trying: true });
        assert_eq!(reach(&["AUTH_REQ", "DOWN"]), DOWN);
        assert_eq!(reach(&[]), Reach::default());
    }
}
