//! The commands as someone runs them: arguments, output and exit status.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::simulate::{TOPIC, cluster};
use super::store::{Store, key};
use super::verify::documents;

/// A configuration file in a place of its own.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("streamproc.toml"), configuration).unwrap();
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("streamproc.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamproc"));
        command.args(arguments).arg("--config").arg(self.file()).env("STREAMPROC_COSMOS_KEY", key());
        command.kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[]).await
    }

    async fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let run = self.command(arguments).envs(environment.iter().copied()).output();
        tokio::time::timeout(Duration::from_mins(1), run).await.expect("it ends").unwrap()
    }

    /// Runs it with an output that nobody reads, as `| true` does.
    async fn run_unread(&self, arguments: &[&str]) -> Output {
        let (pipe, command) = (std::process::Stdio::piped, &mut self.command(arguments));
        let mut running = command.stdout(pipe()).stderr(pipe()).spawn().unwrap();
        drop(running.stdout.take());
        let run = running.wait_with_output();
        tokio::time::timeout(Duration::from_mins(1), run).await.expect("it ends").unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

const NO_KAFKA: &str = "127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn simulate_ends_with_a_line_and_nothing_else_in_a_pipe() {
    let cluster = cluster(2);
    let store = Store::new(&["/deviceId"], 1).await;
    let place = Place::new(&store.configuration(&cluster.bootstrap_servers()));
    let output = place.run(&["simulate", "--rate", "0", "--count", "1500", "--seed", "3"]).await;
    assert!(output.status.success(), "{output:?}");
    let line = text(&output.stdout);
    assert!(line.starts_with("1500 events and 1 duplicates in "), "{line}");
    assert!(line.ends_with(&format!(" to {TOPIC} (seed 3)\n")) && line.lines().count() == 1, "{line}");
    assert_eq!(text(&output.stderr), "");

    let output = place.run(&["simulate", "--rate", "0", "--count", "10", "--output", "json"]).await;
    assert_eq!(
        (json(&output)["events"].as_u64(), json(&output)["acknowledged"].as_u64()),
        (Some(10), Some(10))
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_stops_simulate_cleanly() {
    use tokio::io::AsyncReadExt;
    let cluster = cluster(2);
    let store = Store::new(&["/deviceId"], 1).await;
    let place = Place::new(&store.configuration(&cluster.bootstrap_servers()));
    let mut running = place.command(&["simulate", "--rate", "1000", "--output", "json"]);
    let mut running = running.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let id = running.id().unwrap().to_string();
    // Under way once records have come to the topic.
    let topic = cluster_client(&cluster.bootstrap_servers());
    let arrived = async {
        while topic.fetch_watermarks(TOPIC, 0, Duration::from_secs(5)).unwrap().1 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), arrived).await.expect("records come");
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut out = String::new();
    running.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert!(running.wait().await.unwrap().success());
    let summary: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(summary["cancelled"], true);
    assert!(summary["acknowledged"].as_u64() >= summary["events"].as_u64(), "{summary}");
}

fn cluster_client(servers: &str) -> rdkafka::client::Client {
    use rdkafka::client::{Client, DefaultClientContext};
    use rdkafka::types::RDKafkaType;
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", servers);
    let native = config.create_native_config().unwrap();
    Client::new(&config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_says_yes_or_no_by_its_exit_status() {
    let store = Store::new(&["/deviceId"], 3).await;
    store.fill(documents(5, 100)).await;
    let place = Place::new(&store.configuration(NO_KAFKA));

    let output = place.run(&["verify", "--expect-count", "100"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let table = text(&output.stdout);
    for part in
        ["stored in", "events/s", "missing sequence numbers", "100 documents, 100 events of 5 devices"]
    {
        assert!(table.contains(part), "{part} is not in {table}");
    }
    assert!(!table.contains("NO"), "{table}");

    let output = place.run(&["verify", "--expect-count", "101", "--output", "json"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(json(&output)["holds"], false);

    let output = place.run(&["verify", "--max-missing", "many"]).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn query_prints_a_document_a_line_and_the_cost_apart() {
    let store = Store::new(&["/deviceId"], 3).await;
    store.fill(documents(5, 120)).await;
    let place = Place::new(&store.configuration(NO_KAFKA));

    let output = place.run(&["query", "SELECT * FROM c"]).await;
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 120, "all of them in a pipe");
    assert!(text(&output.stderr).contains("120 documents, "), "{output:?}");
    assert!(text(&output.stderr).contains(" RU"), "{output:?}");

    let output = place.run(&["query", "SELECT c.id, c.type FROM c", "--output", "table"]).await;
    let table = text(&output.stdout);
    assert!(table.contains("id") && table.contains("type") && !table.contains('{'), "{table}");
    assert!(text(&output.stderr).contains("100 documents") && text(&output.stderr).contains("--limit 0"));

    let output =
        place.run(&["query", "SELECT VALUE COUNT(1) FROM c", "--partition-key", "contoso-device-id-1"]).await;
    assert_eq!(text(&output.stdout), "24\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_one_line_on_stderr() {
    let store = Store::new(&["/deviceId"], 3).await;
    let place = Place::new(&store.configuration(NO_KAFKA));
    let elsewhere = Place::new(&store.configuration(NO_KAFKA).replace("\"rawdata\"", "\"nowhere\""));
    let table = [
        (place.run(&["query", "SELEC * FORM c"]).await, 1, "check the SQL"),
        (place.run(&["query", "SELECT c.type FROM c GROUP BY c.type"]).await, 2, "--partition-key"),
        (elsewhere.run(&["query", "SELECT * FROM c"]).await, 1, "cosmos.container"),
        (elsewhere.run(&["verify"]).await, 1, "cosmos.container"),
    ];
    for (output, status, advice) in table {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1 && said.contains(advice), "{said}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_is_the_answers_even_when_nobody_reads() {
    let cluster = cluster(2);
    let store = Store::new(&["/deviceId"], 3).await;
    store.fill(documents(5, 100)).await;
    let place = Place::new(&store.configuration(&cluster.bootstrap_servers()));
    for (arguments, status) in [
        (&["verify", "--expect-count", "100"][..], 0),
        (&["verify", "--expect-count", "101"], 1),
        (&["verify", "--expect-count", "100", "--output", "json"], 0),
        (&["verify", "--expect-count", "101", "--output", "json"], 1),
        (&["query", "SELECT * FROM c"], 0),
        (&["simulate", "--rate", "0", "--count", "10"], 0),
        (&["simulate", "--rate", "0", "--count", "10", "--output", "json"], 0),
    ] {
        let output = place.run_unread(arguments).await;
        assert_eq!(
            (output.status.code(), text(&output.stderr).as_str()),
            (Some(status), ""),
            "{arguments:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_counts_whatever_number_a_device_sends() {
    let store = Store::new(&["/deviceId"], 3).await;
    let far = documents(4, 4).into_iter().map(|mut document| {
        document["deviceSequenceNumber"] = i64::MAX.into();
        document
    });
    store.fill(far).await;
    let place = Place::new(&store.configuration(NO_KAFKA));
    let output = place.run(&["verify", "--expect-count", "4"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains(&format!("{} missing:", u64::MAX)), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_refuses_a_bound_that_is_none() {
    let store = Store::new(&["/deviceId"], 1).await;
    let place = Place::new(&store.configuration(NO_KAFKA));
    for wrong in [
        "--min-rate=nan",
        "--min-rate=-5",
        "--min-rate=inf",
        "--max-out-of-sequence=nan",
        "--max-out-of-sequence=-0.1",
        "--max-out-of-sequence=1.5",
    ] {
        let output = place.run(&["verify", wrong]).await;
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_not_there_is_a_wrong_configuration() {
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let store = Store::new(&["/deviceId"], 1).await;
    let place = Place::new(&store.configuration(NO_KAFKA));
    let no_key = [("STREAMPROC_COSMOS_KEY", "not base64!")];
    let no_identity = [("STREAMPROC__COSMOS__AUTH__METHOD", "workload_identity")];
    let no_identity_for_kafka = [
        ("STREAMPROC__KAFKA__AUTH__METHOD", "workload_identity"),
        ("STREAMPROC__KAFKA__AUTH__SCOPE", "https://n.servicebus.windows.net/.default"),
    ];
    let cases: [Case<'_>; 7] = [
        (&["run"], &no_key, "is not base64"),
        (&["verify"], &no_key, "is not base64"),
        (&["query", "SELECT * FROM c"], &no_key, "is not base64"),
        (&["run"], &no_identity, "AZURE_FEDERATED_TOKEN_FILE"),
        (&["verify"], &no_identity, "AZURE_FEDERATED_TOKEN_FILE"),
        (&["run"], &no_identity_for_kafka, "AZURE_FEDERATED_TOKEN_FILE"),
        (&["simulate"], &no_identity_for_kafka, "AZURE_FEDERATED_TOKEN_FILE"),
    ];
    for (arguments, environment, why) in cases {
        let output = place.run_with(arguments, environment).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(why), "{arguments:?}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn simulate_refuses_what_no_event_and_no_client_can_be() {
    let store = Store::new(&["/deviceId"], 1).await;
    let cluster = cluster(2);
    let place = Place::new(&store.configuration(&cluster.bootstrap_servers()));
    for wrong in [
        "--complex-data-count=18446744073709551615",
        "--complex-data-count=10001",
        "--linger=99999999s",
        "--linger=16s",
        "--batch=0",
        "--batch=4GiB",
        "--topic=a b",
    ] {
        let output = place.run(&["simulate", "--count", "1", wrong]).await;
        assert_eq!(output.status.code(), Some(2), "{wrong}: {output:?}");
    }
    // What the client itself refuses is said once.
    let file = place.file().display().to_string();
    std::fs::write(place.folder.path().join("password"), "x").unwrap();
    let password_file = place.folder.path().join("password").display().to_string();
    let no_certificate = [
        ("STREAMPROC__KAFKA__AUTH__METHOD", "scram"),
        ("STREAMPROC__KAFKA__AUTH__USERNAME", "u"),
        ("STREAMPROC__KAFKA__AUTH__PASSWORD_FILE", &password_file),
        ("STREAMPROC__KAFKA__AUTH__CA_FILE", &file),
    ];
    let output = place.run_with(&["simulate", "--count", "1"], &no_certificate).await;
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert_eq!(said.matches("ssl.ca.location").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_takes_as_many_values_as_the_key_has_levels() {
    let store = Store::new(&["/deviceId"], 3).await;
    store.fill(documents(2, 4)).await;
    let place = Place::new(&store.configuration(NO_KAFKA));
    let output =
        place.run(&["query", "SELECT * FROM c", "--partition-key", "a", "--partition-key", "b"]).await;
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{output:?}");
    assert!(said.contains("/deviceId") && said.contains("2 values"), "{said}");
}
