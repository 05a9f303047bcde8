//! Processes as members of a group: how the partitions are shared, and how a member goes.

#![allow(unreachable_pub, reason = "the tests of this binary share it")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::stage::SOON;
use crate::support::guard::Signal;
use crate::support::service::Service;
use crate::support::wait;

/// How many partitions a process owns.
pub fn owned(service: &Service) -> usize {
    service.metric("streamproc_assigned_partitions", &[]).unwrap_or(0.0) as usize
}

/// Which partitions a process owns.
pub fn partitions(service: &Service) -> BTreeSet<i32> {
    let page = service.get("/metrics").expect("the admin port answers").body;
    let partition = |line: &str| {
        let labels = line.strip_prefix("streamproc_consumer_lag{")?;
        labels.split_once("partition=\"")?.1.split_once('"')?.0.parse().ok()
    };
    page.lines().filter_map(partition).collect()
}

/// Waits until the processes share the partitions, none with less than `least`.
#[track_caller]
pub fn wait_until_shared(services: &[&Service], partitions: usize, least: usize) {
    wait::until_ok(SOON, "the partitions to be shared", || {
        let owned: Vec<_> = services.iter().map(|service| owned(service)).collect();
        let shared = owned.iter().sum::<usize>() == partitions && owned.iter().all(|owned| *owned >= least);
        if shared { Ok(()) } else { Err(format!("{owned:?}")) }
    });
}

/// Has a process end in good order.
#[track_caller]
pub fn terminate(service: &Service) {
    // In the first milliseconds nobody listens for signals yet, and there is nothing to end in good order.
    wait::until(SOON, "its first word", || (!service.stderr().is_empty()).then_some(()));
    service.signal(Signal::Term);
    let status = service.wait_for_exit(Duration::from_secs(20));
    assert!(status.success(), "{status}\n{}", service.tail());
}

/// Has a process end at once.
#[track_caller]
pub fn kill(service: &Service) {
    service.signal(Signal::Kill);
    assert!(!service.wait_for_exit(SOON).success(), "it was killed");
}
