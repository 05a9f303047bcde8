//! Members of the group come and go while events keep coming.

use std::time::Duration;

use crate::flow::Flow;
use crate::members::{terminate, wait_until_shared};
use crate::stage::{Layout, SOON, Stage};
use crate::watch::Watch;

#[test]
fn a_third_process_joins_and_leaves_under_load() {
    let stage = Stage::new(Layout { partitions: 12, ..Layout::default() });
    let flow = Flow::start(&stage, 60, 600);
    let watch = Watch::start(&stage, flow.acknowledged());
    let first = stage.service(&[]);
    let second = stage.service(&[]);
    wait_until_shared(&[&first, &second], 12, 4);
    for _ in 0..2 {
        let third = stage.service(&[]);
        wait_until_shared(&[&first, &second, &third], 12, 2);
        std::thread::sleep(Duration::from_secs(1));
        terminate(&third);
        wait_until_shared(&[&first, &second], 12, 4);
    }
    let acknowledged = flow.stop();
    stage.wait_until_caught_up(&first, SOON);
    watch.end();
    assert_eq!(stage.assert_stored_as_sent(), acknowledged.count());
    println!("repetitions {}", stage.cosmos().journal().unwrap().repetitions());
}
