//! Batches of records that cannot be read: a byte of a log file is changed, as a bad disk does.

use crate::stage::held::wait_until_ready;
use crate::stage::says::{ids, stop, wait_for_commits, wait_for_hold, wait_for_metric};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::kafka::{Producer, Record};
use crate::support::service::Service;

/// Records in a small batch.
const SMALL: usize = 5;

/// A topic of four partitions, each with these batches: ten small ones, then a large one of 400
/// records, compressed, then a small one. 455 records.
fn stage() -> Stage {
    let stage = Stage::new(Layout { partitions: 4, ..Layout::default() });
    let records = |from: usize, count: usize| -> Vec<_> {
        let numbers = from..from + count;
        (0..4).flat_map(|at| numbers.clone().map(move |number| record(at, number))).collect()
    };
    for batch in 0..10 {
        stage.send(&records(batch * SMALL, SMALL));
    }
    Producer::new(stage.cluster, &[("compression.type", "zstd"), ("linger.ms", "200")])
        .send(&stage.topic, &records(50, 400));
    stage.send(&records(450, SMALL));
    for partition in 0..4 {
        let batches: Vec<_> =
            stage.cluster.batches(&stage.topic, partition).iter().map(|b| (b.first, b.last)).collect();
        assert_eq!(batches[9..], [(45, 49), (50, 449), (450, 454)], "the batches are as they were sent");
    }
    stage
}

/// Devices are as many as partitions.
fn record(partition: usize, number: usize) -> Record {
    Record::new(event(partition, number)).to(i32::try_from(partition).unwrap())
}

fn start(stage: &Stage, policy: &str) -> Service {
    stage.service(&[("kafka", "workers = 1"), ("kafka", &format!("on_corrupt = {policy:?}"))])
}

fn without(numbers: &[std::ops::Range<usize>; 4]) -> Vec<String> {
    let readable = |device: usize| {
        (0..455).filter(move |number| !numbers[device].contains(number)).map(move |n| (device, n))
    };
    let mut ids: Vec<_> = (0..4).flat_map(readable).map(|(device, n)| format!("{device}-{n}")).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_corrupt_batch_holds_its_partition_just_before_it_and_no_other() {
    let stage = stage();
    let batch = |partition, offset| stage.cluster.batch_of(&stage.topic, partition, offset);
    let broken = [batch(1, 22), batch(2, 452), batch(3, 100)];
    broken[0].flip();
    broken[1].flip();
    broken[2].name_unknown_codec();

    let service = start(&stage, "pause");
    for (partition, at) in [(1, 20), (2, 450), (3, 50)] {
        let found = wait_for_hold(&service, "corrupt", &stage.topic, partition);
        assert!(found.detail.contains(&format!("offset {at} ")), "{found:?}");
    }
    wait_for_commits(&stage, &service, &[(0, 455), (1, 20), (2, 450), (3, 50)]);
    assert_eq!(service.metric("streamproc_paused", &["reason=\"corrupt\""]), Some(3.0));

    // The others go on, and no commit passes the places.
    stage.send(&[record(0, 455), record(1, 455), record(2, 455)]);
    wait_for_commits(&stage, &service, &[(0, 456), (1, 20), (2, 450), (3, 50)]);
    stop(&service);
    wait_for_commits(&stage, &service, &[(0, 456), (1, 20), (2, 450), (3, 50)]);

    // A healthy replica took over: nothing is missing.
    broken.iter().for_each(crate::support::kafka::StoredBatch::mend);
    let service = service.start_again();
    wait_for_commits(&stage, &service, &[(0, 456), (1, 456), (2, 456), (3, 455)]);
    wait_until_ready(&service, SOON);
    assert_eq!(stage.documents().len(), 456 * 3 + 455);
    assert!(stage.letters().is_empty());
}

#[test]
fn corrupt_batches_are_left_out_and_counted_one_by_one_if_the_user_wants_so() {
    let stage = stage();
    let flip = |partition, offset| stage.cluster.batch_of(&stage.topic, partition, offset).flip();
    // The first of all; two in a row; the last of all; the large one, and one of another kind.
    flip(0, 0);
    flip(1, 15);
    flip(1, 20);
    flip(2, 454);
    stage.cluster.batch_of(&stage.topic, 3, 49).name_unknown_codec();
    flip(3, 50);

    let service = start(&stage, "skip");
    let everything = [(0, 455), (1, 455), (2, 455), (3, 455)];
    wait_for_commits(&stage, &service, &everything);
    let skipped = ["reason=\"corrupt\""];
    wait_for_metric(&service, "streamproc_events_skipped_total", &skipped, 5.0 + 10.0 + 5.0 + 405.0);
    wait_until_ready(&service, SOON);
    let expected = without(&[0..5, 15..25, 450..455, 45..450]);
    assert_eq!(ids(&stage.documents()), expected);

    // What comes behind the last one is read, and none of them is met again.
    stage.send(&[record(2, 455)]);
    wait_for_commits(&stage, &service, &[(0, 455), (1, 455), (2, 456), (3, 455)]);
    stop(&service);
    let service = service.start_again();
    stage.send(&[record(2, 456)]);
    wait_for_commits(&stage, &service, &[(0, 455), (1, 455), (2, 457), (3, 455)]);
    assert_eq!(service.metric("streamproc_events_skipped_total", &skipped), None);
    assert_eq!(stage.documents().len(), expected.len() + 2);
    assert!(stage.letters().is_empty());
}
