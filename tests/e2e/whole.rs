//! The whole way of many events, by the commands that a user has: simulate, run, verify. Then every
//! stored document is held against its record by a program that shares no code with the service, and
//! every number that was sent against the bytes it came as.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::stage::{Layout, Stage};
use crate::support::kafka::Record;
use crate::support::process::Process;
use crate::support::service::{Service, streamproc};

const EVENTS: usize = 100_000;

/// Events with what a parser could spoil.
const ODD: usize = 60;

/// Long enough for a hundred thousand of anything on two busy cores.
const LONG: Duration = Duration::from_mins(3);

/// Fields that the service writes.
const WRITTEN: [&str; 4] = ["id", "createdAt", "enqueuedAt", "processedAt"];

fn odd(number: usize) -> String {
    format!(
        r#"{{"deviceId":"odd-device","eventId":"odd-{number}","deviceSequenceNumber":{number}, "value":1.50E+3, "type":"TEMP","createdAt":"2026-05-16T19:16:40.123456+02:00","long":12345678901234567890,"zero":-0.0,"exact":0.1000,"small":2e-308,"deep":{{"list":[1.0,2e-7,{{"n":9007199254740993}}]}},"text":"\u00fc\n\ud83d\ude80 ü","none":null,"yes":true}}"#
    )
}

/// Runs a command on the service's configuration, and gives what it prints.
#[track_caller]
pub(super) fn command(service: &Service, arguments: &[&str]) -> Value {
    let mut command = streamproc();
    command.args(arguments).arg("--config").arg(service.dir().join("streamproc.toml"));
    let process = Process::start(arguments[0], &mut command);
    let status = process.wait_for_exit(LONG);
    assert!(status.success(), "{status}\n{}", process.tail());
    serde_json::from_str(&process.stdout().concat()).expect("one JSON object")
}

#[test]
fn a_hundred_thousand_events_arrive_as_they_were_sent() {
    let stage = Stage::new(Layout::default());
    let service = stage.service(&[]);
    let count = EVENTS.to_string();
    let simulate = ["simulate", "--rate", "0", "--seed", "7", "--count", &count, "--output", "json"];
    let told = command(&service, &simulate);
    let records: Vec<_> = (0..ODD).map(|number| Record::new(odd(number)).key("odd-device")).collect();
    stage.send(&records);
    stage.wait_until_caught_up(&service, LONG);

    let count = (EVENTS + ODD).to_string();
    command(&service, &["verify", "--expect-count", &count, "--max-latency", "2m", "--output", "json"]);
    assert_eq!(stage.assert_stored_as_sent(), EVENTS + ODD);
    assert!(stage.letters().is_empty());
    let compared = assert_sent_byte_for_byte(&stage);
    println!("{told}; {compared} fields sent byte for byte");
}

/// Gives how many fields were compared.
#[track_caller]
fn assert_sent_byte_for_byte(stage: &Stage) -> usize {
    let journal = stage.cosmos().journal().unwrap();
    let mut compared = 0;
    for record in stage.cluster.read_all(&stage.topic) {
        let text = record.text();
        let event: HashMap<&str, &RawValue> = serde_json::from_str(&text).unwrap();
        let name = |field: &str| serde_json::from_str::<String>(event[field].get()).unwrap();
        let key = format!("[{}]", event["deviceId"].get());
        let body = journal.body(&key, &name("eventId")).unwrap_or_else(|| panic!("{text} was not sent"));
        let document: HashMap<&str, &RawValue> = serde_json::from_str(&body).unwrap();
        for (field, value) in event.iter().filter(|(field, _)| !WRITTEN.contains(*field)) {
            assert_eq!(document[field].get(), value.get(), "{field} of {text}");
            compared += 1;
        }
    }
    compared
}
