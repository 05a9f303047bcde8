//! Waiting for what a running service says of itself.

#![allow(unreachable_pub, reason = "the tests of this binary share it")]

use std::collections::BTreeMap;

use serde_json::Value;

use crate::stage::{SOON, Stage};
use crate::support::service::Service;
use crate::support::wait;

/// A line of `/readyz`: why, where, and in words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    pub reason: String,
    pub place: String,
    pub detail: String,
}

/// What `/readyz` says is in the way. None when it cannot be asked.
pub fn conditions(service: &Service) -> Option<Vec<Condition>> {
    let answer = service.get("/readyz").ok()?;
    let page: Value = serde_json::from_str(&answer.body).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found: Vec<_> = page["reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .map(|reason| Condition {
            reason: text(&reason["reason"]),
            place: text(&reason["where"]),
            detail: text(&reason["detail"]),
        })
        .collect();
    assert_eq!(answer.status == 200, found.is_empty(), "{}", answer.body);
    assert_eq!(page["ready"], found.is_empty(), "{}", answer.body);
    Some(found)
}

/// Waits for a condition of this reason at a place.
#[track_caller]
pub fn wait_for_condition(service: &Service, reason: &str, place: &str) -> Condition {
    service.wait_for(SOON, &format!("{reason} at {place:?} on /readyz"), |_| {
        let all = conditions(service)?;
        all.into_iter().find(|condition| condition.reason == reason && condition.place == place)
    })
}

/// Waits until `/readyz` says that nothing is in the way.
#[track_caller]
pub fn wait_until_ready(service: &Service) {
    wait::until_ok(SOON, "readiness", || match conditions(service) {
        Some(found) if found.is_empty() => Ok(()),
        seen => Err(format!("{seen:?}\n{}", service.tail())),
    });
}

/// Waits until the group has committed just this.
#[track_caller]
pub fn wait_for_commits(stage: &Stage, service: &Service, expected: &[(i32, i64)]) {
    let expected: BTreeMap<_, _> = expected.iter().copied().collect();
    wait::until_ok(SOON, &format!("the commits {expected:?}"), || {
        let seen = stage.cluster.committed(&stage.group, &stage.topic);
        if seen == expected { Ok(()) } else { Err(format!("{seen:?}\n{}", service.tail())) }
    });
}

/// Waits until samples of a metric add up to this.
#[track_caller]
pub fn wait_for_metric(service: &Service, name: &str, labels: &[&str], expected: f64) {
    wait::until_ok(SOON, &format!("{name} {labels:?} = {expected}"), || {
        let seen = service.metric(name, labels).unwrap_or(0.0);
        #[allow(clippy::float_cmp, reason = "a count")]
        if seen == expected { Ok(()) } else { Err(format!("{seen}\n{}", service.tail())) }
    });
}

/// Ends the service in good order.
#[track_caller]
pub fn stop(service: &Service) {
    service.signal(crate::support::guard::Signal::Term);
    let status = service.wait_for_exit(SOON);
    assert!(status.success(), "{status}:\n{}", service.tail());
}

/// The ids of documents.
pub fn ids(documents: &[Value]) -> Vec<&str> {
    let mut ids: Vec<_> = documents.iter().map(|document| document["id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    ids
}
