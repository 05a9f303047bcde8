//! Text of strangers, in events, keys and headers and in the answers of a server: none of it forges a line of
//! the log, moves the terminal of whoever reads it, or makes a series of the metrics.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};

use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::kafka::{Record, unique};
use crate::support::service::{Service, Setup};
use crate::support::wait;

/// How a line would begin that is made up, and that no line of a service can begin with.
const MADE_UP: [&str; 2] =
    ["2001-01-01T00:00:00.000000Z ERROR made up", r#"{"timestamp":"2001-01-01T00:00:00Z","level":"ERROR""#];

/// What a device, or whoever has got hold of one, may put in any text.
fn texts() -> Vec<String> {
    let mut texts: Vec<_> = MADE_UP.iter().map(|line| format!("x\r\n{line}\r\n")).collect();
    texts.extend(
        [
            "\u{1b}[2J\u{1b}]0;title\u{7}",
            "\u{9b}31m\u{90}$q\u{9c}",
            "\u{202e}desrever\u{2066}\u{2028}",
            "\u{8}\u{7f}\t",
        ]
        .map(str::to_owned),
    );
    texts
}

/// Events with this text everywhere, good and bad ones.
fn hostile(text: &str, number: usize) -> Vec<Record> {
    let id = format!("{number} {text}");
    let values = [
        json!({"eventId": id, "deviceId": text, "type": text, "createdAt": null}).to_string().into_bytes(),
        // Refused by the store: another event of the device has this serial number.
        json!({"eventId": format!("{id} again"), "deviceId": text, "serial": 1}).to_string().into_bytes(),
        json!({"eventId": format!("{id} twice"), "deviceId": text, "serial": 1}).to_string().into_bytes(),
        json!({"eventId": format!("{id}/"), "deviceId": text}).to_string().into_bytes(),
        json!({"eventId": id, "deviceId": "d", "createdAt": text}).to_string().into_bytes(),
        json!({"eventId": id, "deviceId": {text: text}}).to_string().into_bytes(),
        text.as_bytes().to_vec(),
        [&b"{\"eventId\":\"\xff\xfe"[..], text.as_bytes()].concat(),
    ];
    let record = |value| Record::new(value).key(text).header(text, Some(text.as_bytes())).to(0);
    values.into_iter().map(record).collect()
}

/// Whether a terminal does something else than to draw it.
fn moves(letter: char) -> bool {
    letter.is_control()
        || ('\u{2028}'..='\u{202e}').contains(&letter)
        || ('\u{2066}'..='\u{2069}').contains(&letter)
}

/// Every line of the log is one of the service's own, and what it serves is as harmless.
fn assert_harmless(service: &Service, format: &str) {
    let lines = service.stderr();
    assert!(lines.len() > 5, "{lines:?}");
    for line in &lines {
        assert!(!line.contains(moves), "a terminal would do something: {line:?}");
        assert!(!MADE_UP.iter().any(|made_up| line.starts_with(made_up)), "made up: {line:?}");
        if format == "json" {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        } else {
            let time = line.split(' ').next().unwrap_or_default();
            assert!(humantime::parse_rfc3339(time).is_ok(), "not a line of ours: {line:?}");
        }
    }
    for path in ["/readyz", "/progress", "/metrics"] {
        let body = service.get(path).unwrap().body;
        let at = body.find(|letter| moves(letter) && letter != '\n');
        assert_eq!(at, None, "{path}: {body:?}");
        assert!(path == "/metrics" || !body.contains('\n'), "{path}: {body:?}");
    }
}

fn start(config: &str) -> Service {
    Setup::new(config).variable("RUST_LOG", "debug").start()
}

#[test]
fn nothing_that_an_event_holds_forges_a_line_or_moves_a_terminal() {
    let unique_keys = vec!["/serial".to_owned()];
    let stage = Stage::new(Layout { partitions: 1, unique_keys, ..Layout::default() });
    let texts = texts();
    for (number, text) in texts.iter().enumerate() {
        stage.send(&hostile(text, number));
    }
    stage.send(&[Record::new(event(0, 0)).to(0)]);
    for format in ["text", "json"] {
        // The store's refusals are let through, and their words are quoted.
        let service = start(&stage.config(&[
            ("log", &format!("format = {format:?}")),
            ("kafka", &format!("group_id = {:?}", unique("group"))),
            ("dead_letter", "max_fraction = 1.0"),
        ]));
        let letters = texts.len() * if format == "text" { 6 } else { 12 };
        wait::until_ok(SOON, "all letters", || {
            let seen = stage.letters().len();
            if seen >= letters { Ok(()) } else { Err(format!("{seen} of {letters}\n{}", service.tail())) }
        });
        held::wait_until_ready(&service, SOON);
        assert_harmless(&service, format);
    }
}

#[test]
fn a_refusal_that_the_store_explains_at_length_stays_on_its_line() {
    let unique_keys = vec!["/serial".to_owned()];
    let stage = Stage::new(Layout { partitions: 1, unique_keys, ..Layout::default() });
    for (number, text) in texts().iter().enumerate() {
        stage.send(&hostile(text, number));
    }
    for format in ["text", "json"] {
        let service = start(&stage.config(&[
            ("log", &format!("format = {format:?}")),
            ("kafka", &format!("group_id = {:?}", unique("group"))),
            ("dead_letter", "max_fraction = 0.0"),
        ]));
        held::wait_for(&service, "too_many_refusals", &["409"], SOON);
        assert_harmless(&service, format);
    }
}

/// Answers every request with this, until the test process ends.
fn server(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn nothing_that_a_server_says_forges_a_line_or_moves_a_terminal() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    let said = texts().concat();
    for format in ["text", "json"] {
        let body = format!("Unauthorized {said}");
        let port = server(format!(
            "HTTP/1.1 401 -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ));
        let endpoint = format!("endpoint = \"http://127.0.0.1:{port}/\"");
        let service =
            start(&stage.config(&[("log", &format!("format = {format:?}")), ("cosmos", &endpoint)]));
        held::wait_for(&service, "sign_in", &["401", "made up"], TOLD);
        assert_harmless(&service, format);
    }
}

/// The names and labels of all samples, but for those that come with the first look at the whole group: every
/// ten seconds, one a partition.
fn series(service: &Service) -> BTreeSet<String> {
    let page = service.get("/metrics").unwrap().body;
    let samples = page.lines().filter(|line| !line.starts_with('#') && !line.contains("_group_lag{"));
    samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

#[test]
fn no_series_is_added_by_ten_thousand_devices_ids_headers_and_reasons() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    // One of each kind, alone and together, so that every series is there.
    let of_each = |number: usize| {
        let id = format!("id-{number}");
        let values = [
            json!({"eventId": id, "deviceId": format!("device-{number}"), "type": format!("type-{number}")})
                .to_string(),
            json!({"eventId": format!("{id}/"), "deviceId": "d"}).to_string(),
            json!({"eventId": id, "deviceId": "d", "createdAt": format!("time {number}")}).to_string(),
            format!("nonsense {number}"),
        ];
        let header = format!("header-{number}");
        values.map(|value| Record::new(value).key(format!("key-{number}")).header(&header, Some(b"x")).to(0))
    };
    let service = stage.service(&[]);
    stage.send(&[Record::new(event(0, 0)).to(0)]);
    stage.wait_until_caught_up(&service, SOON);
    let mut first: Vec<_> = (0..10).map(|number| Record::new(event(1, number)).to(0)).collect();
    first.extend(of_each(0));
    stage.send(&first);
    stage.wait_until_caught_up(&service, SOON);
    held::wait_until_ready(&service, SOON);
    let before = series(&service);
    for name in ["events_dead_lettered_total{reason=\"invalid_json\"", "store_requests_total{kind=\"batch\""]
    {
        assert!(before.iter().any(|series| series.contains(name)), "{name} in {before:#?}");
    }

    for numbers in [1..2_500, 2_500..5_000, 5_000..7_500, 7_500..10_000] {
        stage.send(&numbers.flat_map(of_each).collect::<Vec<_>>());
    }
    stage.wait_until_caught_up(&service, SOON);
    assert_eq!(service.metric("streamproc_events_stored_total", &[]), Some(10_011.0));
    let added: Vec<_> = series(&service).difference(&before).cloned().collect();
    assert!(added.is_empty(), "{added:#?}");
}
