//! `streamproc sandbox` as a person types it.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use streamproc::sandbox::KEY_SENTENCE;

use crate::clients::sdk;

/// A sandbox of its own process, killed when the test is done with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Running {
    let command = Command::new(env!("CARGO_BIN_EXE_streamproc"))
        .arg("sandbox")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Running(command.unwrap())
}

impl Running {
    /// What it prints up to the line that begins so.
    fn says_until(&mut self, last: &'static str) -> String {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        let (said, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        let mut text = String::new();
        loop {
            let line = heard.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| {
                panic!("it never said {last:?}, but: {text}");
            });
            text.push_str(&line);
            text.push('\n');
            if line.starts_with(last) {
                return text;
            }
        }
    }

    fn ends(&mut self) -> ExitStatus {
        self.ends_within(Duration::from_secs(20))
    }

    fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it never ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

fn interrupt(process: &Running, signal: &str) {
    let sent = Command::new("kill").arg(signal).arg(process.0.id().to_string()).status().unwrap();
    assert!(sent.success());
}

/// The word after `name` on its line.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    line.trim_start()[name.len()..].split_whitespace().next().unwrap()
}

#[tokio::test]
async fn it_prints_where_things_are_and_ends_well_when_interrupted() {
    for signal in ["-INT", "-TERM"] {
        let key_file = tempfile::NamedTempFile::new().unwrap();
        let path = key_file.path().to_str().unwrap();
        let mut sandbox = start(&["--kafka-port", "0", "--cosmos-port", "0", "--key-file", path]);
        let text = sandbox.says_until("Nothing is kept.");
        assert!(field(&text, "Kafka").starts_with("127.0.0.1:"), "{text}");
        assert!(text.contains("streaming, partitions: 6"), "{text}");
        assert!(text.contains("streaming-dead-letter, partitions: 1"), "{text}");
        assert!(text.contains("rawdata, partition key: /deviceId"), "{text}");
        assert!(text.contains("streamproc simulate"), "{text}");
        let bootstrap = format!("STREAMPROC__KAFKA__BOOTSTRAP_SERVERS={}", field(&text, "Kafka"));
        assert!(text.contains(&bootstrap), "not the ports of the local configuration: {text}");
        let key = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains(&key), "a key was printed");
        sdk(&field(&text, "Cosmos DB").parse().unwrap(), &key, false).await.unwrap();
        interrupt(&sandbox, signal);
        let status = sandbox.ends();
        assert_eq!((status.code(), sandbox.complaint().as_str()), (Some(0), ""), "{signal}");
    }
}

/// Both go on to their end when nobody reads what they print.
#[tokio::test]
async fn a_closed_output_breaks_neither_the_sandbox_nor_the_demo() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_streamproc"));
    demo.args(["demo", "--rate", "10", "--devices", "2", "--duration", "2s"]);
    let mut demo = Running(demo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    drop(demo.0.stdout.take());

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut sandbox = start(&["--only", "cosmos", "--cosmos-port", &port.to_string()]);
    drop(sandbox.0.stdout.take());
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nobody listens");
        std::thread::sleep(Duration::from_millis(20));
    }
    interrupt(&sandbox, "-INT");
    let status = sandbox.ends();
    assert_eq!((status.code(), sandbox.complaint().as_str()), (Some(0), ""));

    let status = demo.ends_within(Duration::from_mins(2));
    assert_eq!((status.code(), demo.complaint().as_str()), (Some(0), ""));
}

#[tokio::test]
async fn either_part_may_be_left_out() {
    let mut only_kafka = start(&["--only", "kafka", "--kafka-port", "0"]);
    let text = only_kafka.says_until("Nothing is kept.");
    assert!(text.contains("Kafka ") && !text.contains("Cosmos DB "), "{text}");
    let mut only_cosmos =
        start(&["--only", "cosmos", "--cosmos-port", "0", "--partition-key", "/tenant,/id"]);
    let text = only_cosmos.says_until("Nothing is kept.");
    assert!(!text.contains("Kafka ") && text.contains("Cosmos DB "), "{text}");
    assert!(text.contains("partition key: /tenant, /id"), "{text}");
}

#[tokio::test]
async fn a_port_in_use_is_one_line_that_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--kafka-port", "--cosmos-port"] {
        let other = if flag == "--kafka-port" { "--cosmos-port" } else { "--kafka-port" };
        let mut sandbox = start(&[flag, &port, other, "0"]);
        assert_eq!(sandbox.ends().code(), Some(1));
        let complaint = sandbox.complaint();
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(complaint.contains(&port) && complaint.contains(flag), "{complaint}");
    }
}

#[tokio::test]
async fn wrong_arguments_end_with_2() {
    for wrong in [
        &["--throughput", "1"][..],
        &["--partitions", "0"],
        &["--only", "nothing"],
        &["--partition-key", "/a,/b,/c,/d"],
        &["--partition-key", "/a,,/b"],
        &["--topic", "a b"],
        &["--dead-letter-topic", ".."],
        &["--topic", "same", "--dead-letter-topic", "same"],
        &["--database", "a/b"],
        &["--container", "a#b"],
        &["--extra-container", "a?b=/c"],
    ] {
        assert_eq!(start(wrong).ends().code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn the_documentation_tells_the_sentence_of_the_public_key() {
    let page = include_str!("../../docs/sandbox.md");
    assert!(page.contains(&format!("printf '{KEY_SENTENCE}' | base64")));
}
