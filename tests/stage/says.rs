//! Waiting for what a running service says of itself and of its group.

#![allow(unreachable_pub, reason = "the tests of this binary share it")]

use std::collections::BTreeMap;

use serde_json::Value;

use crate::stage::held::{Condition, conditions};
use crate::stage::{SOON, Stage};
use crate::support::guard::Signal;
use crate::support::service::Service;
use crate::support::wait;

/// Waits for a condition of this reason at a partition.
#[track_caller]
pub fn wait_for_hold(service: &Service, reason: &str, topic: &str, partition: i32) -> Condition {
    let place = format!("{topic}[{partition}]");
    wait::until_ok(SOON, &format!("{reason} at {place} on /readyz"), || {
        let seen = conditions(service)?;
        let found = seen.iter().find(|condition| condition.reason == reason && condition.place == place);
        found.cloned().ok_or_else(|| format!("{seen:#?}\n{}", service.tail()))
    })
}

/// Waits until the group has committed just this.
#[track_caller]
pub fn wait_for_commits(stage: &Stage, service: &Service, expected: &[(i32, i64)]) {
    wait_for_commits_in(stage, service, &stage.topic, expected);
}

/// The same for any topic.
#[track_caller]
pub fn wait_for_commits_in(stage: &Stage, service: &Service, topic: &str, expected: &[(i32, i64)]) {
    let expected: BTreeMap<_, _> = expected.iter().copied().collect();
    wait::until_ok(SOON, &format!("the commits {expected:?}"), || {
        let seen = stage.cluster.committed(&stage.group, topic);
        if seen == expected { Ok(()) } else { Err(format!("{seen:?}\n{}", service.tail())) }
    });
}

/// Waits until samples of a metric add up to this.
#[track_caller]
pub fn wait_for_metric(service: &Service, name: &str, labels: &[&str], expected: f64) {
    wait::until_ok(SOON, &format!("{name} {labels:?} = {expected}"), || {
        let seen = service.metric(name, labels).unwrap_or(0.0);
        if (seen - expected).abs() < 0.5 { Ok(()) } else { Err(format!("{seen}\n{}", service.tail())) }
    });
}

/// Ends the service in good order.
#[track_caller]
pub fn stop(service: &Service) {
    service.signal(Signal::Term);
    let status = service.wait_for_exit(SOON);
    assert!(status.success(), "{status}:\n{}", service.tail());
}

/// The ids of documents, sorted.
pub fn ids(documents: &[Value]) -> Vec<&str> {
    let mut ids: Vec<_> = documents.iter().map(|document| document["id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    ids
}
