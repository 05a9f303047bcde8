//! Members of the group come and go while events keep coming.

use std::time::Duration;

use crate::flow::Flow;
use crate::stage::{Layout, SOON, Stage};
use crate::support::guard::Signal;
use crate::support::service::Service;
use crate::support::wait;
use crate::watch::Watch;

/// How many partitions each of the processes owns.
fn owned(services: &[&Service]) -> Vec<f64> {
    let of = |service: &&Service| service.metric("streamproc_assigned_partitions", &[]).unwrap_or(0.0);
    services.iter().map(of).collect()
}

/// Waits until the processes share the partitions, none with less than `least`.
#[track_caller]
fn wait_until_shared(services: &[&Service], partitions: f64, least: f64) {
    wait::until_ok(SOON, "the partitions to be shared", || {
        let owned = owned(services);
        let shared = owned.iter().sum::<f64>() == partitions && owned.iter().all(|owned| *owned >= least);
        if shared { Ok(()) } else { Err(format!("{owned:?}")) }
    });
}

fn terminate(service: &Service) {
    service.signal(Signal::Term);
    let status = service.wait_for_exit(Duration::from_secs(20));
    assert!(status.success(), "{status}\n{}", service.tail());
}

#[test]
fn a_third_process_joins_and_leaves_under_load() {
    let stage = Stage::new(Layout { partitions: 12, ..Layout::default() });
    let flow = Flow::start(&stage, 60, 600);
    let watch = Watch::start(&stage, flow.acknowledged());
    let first = stage.service(&[]);
    let second = stage.service(&[]);
    wait_until_shared(&[&first, &second], 12.0, 4.0);
    for _ in 0..2 {
        let third = stage.service(&[]);
        wait_until_shared(&[&first, &second, &third], 12.0, 2.0);
        std::thread::sleep(Duration::from_secs(1));
        terminate(&third);
        wait_until_shared(&[&first, &second], 12.0, 4.0);
    }
    let acknowledged = flow.stop();
    stage.wait_until_caught_up(&first, SOON);
    watch.end();
    assert_eq!(stage.assert_stored_as_sent(), acknowledged.count());
    println!("repetitions {}", stage.cosmos().journal().unwrap().repetitions());
}
