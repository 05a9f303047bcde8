//! Kafka and Cosmos DB fall ill while the stream flows: it says so within ten seconds, keeps trying,
//! dead-letters nothing, and goes on by itself. Told to end meanwhile, it does.

use std::time::{Duration, Instant};

use streamproc::sandbox::{Effect, Fault};

use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::guard::Signal;
use crate::support::kafka::{Cluster, Options, Record};
use crate::support::port;
use crate::support::process::Process;
use crate::support::service::{Service, streamproc};
use crate::support::wait;

fn send(stage: &Stage, number: usize) {
    stage.send(&[Record::new(event(1, number)).key("device-1")]);
}

fn goes_on(stage: &Stage, service: &Service) {
    stage.wait_until_caught_up(service, SOON);
    held::wait_until_ready(service, SOON);
}

fn answer(status: u16, substatus: u32) -> Fault {
    Fault::new(Effect::Answer { status, substatus, retry_after: None, after_work: false })
}

/// Tells the service to end; it does so within `shutdown.timeout` and a few seconds.
fn end_within(service: &Service, limit: Duration) {
    let told = Instant::now();
    service.signal(Signal::Term);
    let status = service.wait_for_exit(SOON);
    let took = told.elapsed();
    assert!(status.success() && took < limit, "{status} after {took:?}:\n{}", service.tail());
}

#[test]
fn whatever_cosmos_db_answers_for_a_while_is_said_and_gone_when_it_is_over() {
    let stage = Stage::new(Layout { partitions: 2, ..Layout::default() });
    let service = stage.service(&[]);
    send(&stage, 0);
    goes_on(&stage, &service);
    let failures = |service: &Service| {
        service.metric("streamproc_auth_failures_total", &[r#"target="cosmos""#]).unwrap()
    };
    for (number, (fault, reason, words, is_sign_in)) in [
        (answer(401, 0), "sign_in", "cosmos.auth", true),
        (answer(403, 5300), "forbidden", "Cosmos DB Built-in Data Contributor", true),
        (answer(404, 1003), "container_missing", "cosmos.container", false),
        (answer(503, 0), "server_error", "503", false),
        (answer(418, 0), "unknown_answer", "418", false),
        (Fault::new(Effect::DropRequest), "transport", "Cosmos DB", false),
        (Fault::new(Effect::Hang(Duration::from_secs(8))), "timeout", "not answered", false),
    ]
    .into_iter()
    .enumerate()
    {
        let before = failures(&service);
        stage.cosmos().faults().add(fault);
        send(&stage, number + 1);
        held::wait_for(&service, reason, &[words], TOLD);
        assert_eq!(failures(&service) > before, is_sign_in, "{reason}");
        stage.cosmos().faults().clear();
        goes_on(&stage, &service);
    }
    assert_eq!(stage.cosmos().stats().documents(), 8);
    assert!(stage.letters().is_empty());
    let dead = service.metric("streamproc_events_dead_lettered_total", &[]);
    assert!(dead.is_none_or(|dead| dead == 0.0), "{dead:?}");
}

#[test]
fn a_service_that_is_held_ends_when_it_is_told_to() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    send(&stage, 0);
    for (fault, reason) in
        [(answer(401, 0), "sign_in"), (Fault::new(Effect::Hang(Duration::from_mins(1))), "timeout")]
    {
        let service = stage.service(&[("shutdown", r#"timeout = "2s""#)]);
        goes_on(&stage, &service);
        stage.cosmos().faults().add(fault);
        send(&stage, 1);
        held::wait_for(&service, reason, &[], TOLD);
        end_within(&service, Duration::from_secs(6));
        stage.cosmos().faults().clear();
    }
    // What was abandoned is stored by the next.
    let service = stage.service(&[]);
    goes_on(&stage, &service);
    assert_eq!(stage.cosmos().stats().documents(), 2);
    assert!(stage.letters().is_empty());
}

/// An embedded Cosmos DB in a process of its own, which can be killed and stopped.
fn cosmos(port: u16) -> Process {
    let mut command = streamproc();
    command.args(["sandbox", "--only", "cosmos", "--cosmos-port", &port.to_string()]);
    let process = Process::start("the sandbox", &mut command);
    process.wait_for_line("Nothing is kept", SOON);
    process
}

#[test]
fn a_cosmos_db_that_is_gone_or_stands_still_is_waited_for() {
    let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
    let port = port::free();
    let endpoint = format!("endpoint = \"http://127.0.0.1:{port}/\"");
    let start = || stage.service(&[("cosmos", &endpoint), ("cosmos", r#"request_timeout = "15s""#)]);
    // At the start there is none.
    let service = start();
    send(&stage, 0);
    held::wait_for(&service, "store_unreachable", &["Connection refused"], TOLD);
    let running = cosmos(port);
    goes_on(&stage, &service);

    running.signal(Signal::Stop);
    send(&stage, 1);
    held::wait_for(&service, "timeout", &["not answered"], TOLD);
    running.signal(Signal::Continue);
    goes_on(&stage, &service);

    running.signal(Signal::Kill);
    running.wait_for_exit(SOON);
    send(&stage, 2);
    held::wait_for(&service, "transport", &[], TOLD);
    let running = cosmos(port);
    goes_on(&stage, &service);

    // One that stands still at the start.
    service.signal(Signal::Term);
    assert!(service.wait_for_exit(SOON).success());
    running.signal(Signal::Stop);
    let service = start();
    held::wait_for(&service, "store_unreachable", &["no answer"], TOLD);
    end_within(&service, Duration::from_secs(5));
    running.signal(Signal::Continue);
    assert!(stage.letters().is_empty());
}

#[test]
fn a_broker_that_dies_is_named_and_waited_for() {
    // It lives as long as the test process; its broker ends with the test.
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(&Options::brokers(1))));
    let stage = Stage::on(cluster, Layout { partitions: 2, ..Layout::default() });
    let service = stage.service(&[]);
    send(&stage, 0);
    goes_on(&stage, &service);
    cluster.kill(1);
    held::wait_for(&service, "kafka_unreachable", &["Connection refused"], TOLD);
    cluster.start_again(1);
    send(&stage, 1);
    stage.send(&[Record::new("no event")]);
    goes_on(&stage, &service);

    // One that stands still keeps its connections: it is missed when the group's session is over.
    cluster.freeze(1);
    wait::until_ok(Duration::from_secs(20), "a word about it", || match held::conditions(&service) {
        Ok(held) if held.iter().any(|one| one.reason == "not_in_group") => Ok(()),
        seen => Err(format!("{seen:?}\n{}", service.tail())),
    });
    cluster.thaw(1);
    send(&stage, 2);
    goes_on(&stage, &service);
    assert_eq!((stage.cosmos().stats().documents(), stage.letters().len()), (3, 1));

    cluster.kill(1);
    held::wait_for(&service, "kafka_unreachable", &[], TOLD);
    end_within(&service, Duration::from_secs(16));
}
