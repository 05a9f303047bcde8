//! `streamproc offsets` against real Kafka, and the service that goes on where it was set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::stage::says::{ids, stop, wait_for_commits, wait_for_hold};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::guard;
use crate::support::kafka::{self, Record};
use crate::support::service::streamproc;

/// What the timestamps of the first records count from, in milliseconds since 1970.
const BEGIN: i64 = 1_700_000_000_000;

/// A topic of two partitions with twenty events each, a second apart.
fn stage() -> Stage {
    // By their timestamps the records are years old.
    let topic_settings = &[("retention.ms", "-1")];
    let stage = Stage::new(Layout { partitions: 2, topic_settings, ..Layout::default() });
    send(&stage, 0..20);
    stage
}

fn send(stage: &Stage, numbers: std::ops::Range<usize>) {
    let record = |number: usize, device: usize| {
        let at = BEGIN + i64::try_from(number).expect("small") * 1000;
        Record::new(event(device, number)).to(i32::from(device == 1)).at(at)
    };
    let records: Vec<_> = numbers.flat_map(|number| [record(number, 0), record(number, 1)]).collect();
    stage.send(&records);
}

fn run(stage: &Stage, arguments: &[&str]) -> Output {
    let dir = guard::temp_dir("offsets");
    let file = dir.path().join("streamproc.toml");
    fs::write(&file, stage.config(&[])).expect("write to a temporary directory");
    streamproc().arg("offsets").args(arguments).arg("--config").arg(&file).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Runs it to a good end and gives its JSON, and what it remarked.
#[track_caller]
fn json(stage: &Stage, arguments: &[&str]) -> (Value, String) {
    let output = run(stage, &[arguments, &["--output", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    (serde_json::from_slice(&output.stdout).expect("JSON"), text(&output.stderr))
}

/// Runs what is refused, and gives what it says.
#[track_caller]
fn refused(stage: &Stage, arguments: &[&str]) -> String {
    let before = committed(stage);
    let output = run(stage, arguments);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{output:?}");
    assert_eq!(committed(stage), before);
    text(&output.stderr)
}

fn committed(stage: &Stage) -> BTreeMap<i32, i64> {
    stage.cluster.committed(&stage.group, &stage.topic)
}

/// Fields of every partition, in their order.
fn fields(answer: &Value, names: [&str; 4]) -> Vec<[Option<i64>; 4]> {
    let rows = answer["partitions"].as_array().expect("partitions");
    rows.iter().map(|row| names.map(|name| row[name].as_i64())).collect()
}

/// What Spark writes for a Kafka source: a checksum beside each file, batches 3 and 4 finished, 5 begun.
fn checkpoint(dir: &Path, topic: &str, ends: [(u64, [i64; 2]); 3]) {
    for folder in ["offsets", "commits", "sources/0", "state"] {
        fs::create_dir_all(dir.join(folder)).expect("a folder");
    }
    fs::write(dir.join("metadata"), r#"{"id":"b0f2b0b6-5f0c-4d2b-a7b1-3a4b2d3e9f10"}"#).expect("a file");
    fs::write(dir.join("sources/0/0"), format!("v1\n{{\"{topic}\":{{\"1\":0,\"0\":0}}}}")).expect("a file");
    let conf = r#"{"spark.sql.streaming.stateStore.providerClass":"org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider","spark.sql.shuffle.partitions":"200"}"#;
    for (batch, [zero, one]) in ends {
        let metadata = format!(r#"{{"batchWatermarkMs":0,"batchTimestampMs":{BEGIN},"conf":{conf}}}"#);
        let offsets = format!("v1\n{metadata}\n{{\"{topic}\":{{\"1\":{one},\"0\":{zero}}}}}");
        fs::write(dir.join(format!("offsets/{batch}")), offsets).expect("a file");
        fs::write(dir.join(format!("offsets/.{batch}.crc")), b"crc\0").expect("a file");
        if batch < ends[2].0 {
            fs::write(dir.join(format!("commits/{batch}")), "v1\n{\"nextBatchWatermarkMs\":0}")
                .expect("a file");
        }
    }
}

#[test]
fn offsets_are_shown_reset_set_and_saved() {
    let stage = stage();
    let (shown, _) = json(&stage, &["show"]);
    assert_eq!(fields(&shown, ["committed", "low", "end", "lag"]), [[None, Some(0), Some(20), None]; 2]);

    for (to, offset) in [("earliest", 0), ("latest", 20), ("2023-11-14T22:13:27Z", 7)] {
        let before = committed(&stage);
        let (dry, said) = json(&stage, &["reset", "--to", to, "--dry-run"]);
        assert!(said.contains("nothing was set"), "{said}");
        assert_eq!(committed(&stage), before);
        let (done, said) = json(&stage, &["reset", "--to", to]);
        assert!(said.contains("set and read back: 2 partitions"), "{said}");
        assert_eq!(dry["partitions"], done["partitions"]);
        assert_eq!(committed(&stage), BTreeMap::from([(0, offset), (1, offset)]), "{to}");
    }
    let place = format!("{}:1=12", stage.topic);
    let (set, _) = json(&stage, &["set", &place]);
    assert_eq!(
        fields(&set, ["from", "to", "skipped", "read_again"]),
        [[Some(7), Some(12), Some(5), Some(0)]]
    );
    json(&stage, &["reset", "--to", "latest", "--partition", "0"]);
    let (shown, _) = json(&stage, &["show"]);
    let expected = [[Some(20), Some(0), Some(20), Some(0)], [Some(12), Some(0), Some(20), Some(8)]];
    assert_eq!(fields(&shown, ["committed", "low", "end", "lag"]), expected);
    assert_eq!(shown["state"], "Empty");

    // What was shown can be put back.
    let dir = guard::temp_dir("saved");
    let saved = dir.path().join("before.json");
    fs::write(&saved, shown.to_string()).expect("a file");
    json(&stage, &["reset", "--to", "earliest"]);
    json(&stage, &["set", "--from", saved.to_str().expect("UTF-8")]);
    assert_eq!(committed(&stage), BTreeMap::from([(0, 20), (1, 12)]));

    let refusal =
        refused(&stage, &["set", &format!("{}:0=5", stage.topic), &format!("{}:1=21", stage.topic)]);
    assert!(refusal.contains("offset 21 is not in the topic, which holds 0 to 20"), "{refusal}");
    let table = run(&stage, &["show", "--partition", "1"]);
    assert!(text(&table.stdout).starts_with(&format!("group {}: Empty", stage.group)), "{table:?}");
}

#[test]
fn the_service_goes_on_exactly_where_a_spark_query_has_stopped() {
    let stage = stage();
    let dir = guard::temp_dir("checkpoint");
    checkpoint(dir.path(), "events-of-spark", [(3, [2, 3]), (4, [5, 8]), (5, [9, 9])]);
    let (folder, map) = (dir.path().to_str().expect("UTF-8"), format!("events-of-spark={}", stage.topic));
    let missing = refused(&stage, &["import", "--from-spark", folder]);
    assert!(
        missing.contains("there is no offset for it") && missing.contains("events-of-spark"),
        "{missing}"
    );

    let arguments = ["import", "--from-spark", folder, "--topic-map", &map];
    let (dry, said) = json(&stage, &[&arguments[..], &["--dry-run"]].concat());
    assert!(said.contains("batch 4, put together at 2023-11-14T22:13:20Z: finished"), "{said}");
    assert!(said.contains("batch 5: begun and not finished"), "{said}");
    assert_eq!((dry["batch"].as_i64(), committed(&stage)), (Some(4), BTreeMap::new()));
    json(&stage, &arguments);
    assert_eq!(committed(&stage), BTreeMap::from([(0, 5), (1, 8)]));

    let service = stage.service(&[]);
    wait_for_commits(&stage, &service, &[(0, 20), (1, 20)]);
    stop(&service);
    let mut expected: Vec<_> =
        (5..20).map(|n| format!("0-{n}")).chain((8..20).map(|n| format!("1-{n}"))).collect();
    expected.sort_unstable();
    assert_eq!(ids(&stage.documents()), expected);
}

#[test]
fn another_groups_offsets_are_taken_over_and_a_group_that_is_read_is_refused() {
    let stage = stage();
    let other = kafka::unique("connect-cosmos");
    stage.cluster.commit(&other, &stage.topic, &BTreeMap::from([(0, 6), (1, 18)]));
    json(&stage, &["import", "--from-group", &other]);
    assert_eq!(committed(&stage), BTreeMap::from([(0, 6), (1, 18)]));

    let service = stage.service(&[]);
    wait_for_commits(&stage, &service, &[(0, 20), (1, 20)]);
    let refusal = refused(&stage, &["reset", "--to", "earliest"]);
    assert!(refusal.contains("has members: streamproc-"), "{refusal}");
    assert!(refusal.contains("127.0.0.1") && refusal.contains("scale it to 0"), "{refusal}");
    let (_, said) = json(&stage, &["reset", "--to", "earliest", "--dry-run"]);
    assert!(said.contains("it would be refused now"), "{said}");
    let (shown, _) = json(&stage, &["show"]);
    assert!(!shown["members"].as_array().expect("members").is_empty(), "{shown}");
    stop(&service);
    assert!(ids(&stage.documents()).iter().all(|id| !["0-5", "1-17"].contains(id)));
}

/// It has members all the while.
#[test]
fn a_partition_that_a_running_service_holds_goes_on_where_it_is_set() {
    let stage = stage();
    stage.cluster.commit(&stage.group, &stage.topic, &BTreeMap::from([(0, 5), (1, 20)]));
    stage.cluster.delete_records(&stage.topic, 0, 12);
    let service = stage.service(&[("kafka", "workers = 1")]);
    wait_for_hold(&service, "out_of_range", &stage.topic, 0);
    let shown = text(&run(&stage, &["show"]).stdout);
    assert!(shown.contains("not in the topic"), "{shown}");
    let refusal = refused(&stage, &["reset", "--to", "earliest"]);
    assert!(refusal.contains(&format!("{}[1] is none", stage.topic)), "{refusal}");

    let (_, said) = json(&stage, &["set", &format!("{}:0=15", stage.topic)]);
    assert!(said.contains("the service looks again within 30 s"), "{said}");
    wait_for_commits(&stage, &service, &[(0, 20), (1, 20)]);
    crate::stage::held::wait_until_ready(&service, SOON);
    let expected: Vec<_> = (15..20).map(|number| format!("0-{number}")).collect();
    assert_eq!(ids(&stage.documents()), expected);
}
