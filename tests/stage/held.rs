//! What a service says about itself on `/readyz`.

#![allow(unreachable_pub, reason = "the tests of this binary share it")]

use std::time::Duration;

use serde::Deserialize;

use crate::support::service::Service;
use crate::support::wait;

/// How soon a service says what is wrong.
pub const TOLD: Duration = Duration::from_secs(10);

/// Something that holds the stream or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    pub reason: String,
    #[serde(rename = "where")]
    pub place: String,
    pub detail: String,
    pub since: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    ready: bool,
    reasons: Vec<Condition>,
}

/// What holds the service now; empty is ready.
pub fn conditions(service: &Service) -> Result<Vec<Condition>, String> {
    let response = service.get("/readyz").map_err(|error| error.to_string())?;
    let answer: Answer =
        serde_json::from_str(&response.body).map_err(|error| format!("{error}: {}", response.body))?;
    assert_eq!(
        (response.status == 200, answer.ready),
        (answer.ready, answer.reasons.is_empty()),
        "{}",
        response.body
    );
    Ok(answer.reasons)
}

/// Waits until the service is held for this reason, with these words in the detail, and the metric and
/// the log say so too. The time counts from when its admin port answers.
#[track_caller]
pub fn wait_for(service: &Service, reason: &str, words: &[&str], limit: Duration) -> Condition {
    wait_for_admin(service);
    let found = wait::until_ok(limit, &format!("the condition {reason} with {words:?}"), || {
        assert!(service.exited().is_none(), "the service ended:\n{}", service.tail());
        let seen = conditions(service)?;
        let found = seen
            .iter()
            .find(|one| one.reason == reason && words.iter().all(|word| one.detail.contains(word)));
        found.cloned().ok_or_else(|| format!("{seen:#?}\n{}", service.tail()))
    });
    // A restart would not help.
    let alive = service.get("/livez").unwrap_or_else(|error| panic!("{error}, while {found:?}"));
    assert_eq!(alive.status, 200, "{}, while {found:?}", alive.body);
    let since = humantime::parse_rfc3339(&found.since).unwrap_or_else(|error| panic!("{found:?}: {error}"));
    assert!(since <= std::time::SystemTime::now(), "{found:?}");
    let label = format!("reason=\"{reason}\"");
    let held = service.metric("streamproc_paused", &[&label]);
    assert!(held.is_some_and(|places| places >= 1.0), "paused{{{label}}} is {held:?}, although {found:?}");
    // As text or as JSON.
    let marks = [format!("reason=\"{reason}\""), format!("\"reason\":\"{reason}\"")];
    let logged = |line: &String| line.contains("held") && marks.iter().any(|mark| line.contains(mark));
    wait::until_ok(TOLD, &format!("a word of {reason} in the log"), || {
        service.stderr().iter().any(logged).then_some(()).ok_or_else(|| service.tail())
    });
    found
}

/// Waits until nothing holds the service.
#[track_caller]
pub fn wait_until_ready(service: &Service, limit: Duration) {
    wait_for_admin(service);
    wait::until_ok(limit, "a ready service", || {
        assert!(service.exited().is_none(), "the service ended:\n{}", service.tail());
        let seen = conditions(service)?;
        if seen.is_empty() { Ok(()) } else { Err(format!("{seen:#?}\n{}", service.tail())) }
    });
    let page = service.get("/metrics").expect("it answers").body;
    let held: Vec<_> =
        page.lines().filter(|line| line.starts_with("streamproc_paused{") && !line.ends_with(" 0")).collect();
    assert!(held.is_empty() || !conditions(service).unwrap().is_empty(), "ready, and {held:?}");
}

#[track_caller]
fn wait_for_admin(service: &Service) {
    wait::until_ok(Duration::from_secs(30), "the admin port", || {
        assert!(service.exited().is_none(), "the service ended:\n{}", service.tail());
        service.get("/livez").map(drop)
    });
}
