//! Brokers with certificates: one that is not in order is refused, named, and nothing is read; a client's own that
//! was replaced is taken up while the service runs.

use std::fs;

use crate::kafka_sign_in::{Files, Way, line};
use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::certificates::Authority;
use crate::support::guard;
use crate::support::kafka::{Cluster, Listener, Options, Record, shared};
use crate::support::service::Service;

fn one_more(stage: &Stage, service: &Service, number: usize) {
    stage.send(&[Record::new(event(1, number)).key("device-1")]);
    stage.wait_until_caught_up(service, SOON);
    held::wait_until_ready(service, SOON);
}

#[test]
fn a_broker_whose_certificate_is_not_in_order_is_named_and_nothing_is_read() {
    let security = shared().security();
    let files = Files::new();
    let password = files.write("password", &security.password);
    let elsewhere = guard::temp_dir("stranger");
    let stranger = Authority::new(elsewhere.path());
    let ours = &security.authority.ca_file;
    let at = |listener| shared().bootstrap_of(listener);
    let by_address = at(Listener::SaslTls).replace("localhost", "127.0.0.1");
    let running: Vec<_> = [
        ("an unknown authority", &stranger.ca_file, at(Listener::SaslTls)),
        ("an expired certificate", ours, at(Listener::Expired)),
        ("another name", ours, by_address),
    ]
    .into_iter()
    .map(|(what, trusted, brokers)| {
        let stage = Stage::new(Layout { partitions: 1, ..Layout::default() });
        stage.send(&[Record::new(event(1, 0)), Record::new("no event")]);
        let service = Way::scram_over_tls(security, &password, trusted).start_at(&stage, &brokers);
        (what, stage, service)
    })
    .collect();
    let words =
        ["certificate verify failed", "kafka.auth.ca_file", "not made out to the name", "has expired"];
    for (what, _, service) in &running {
        println!("{what}");
        held::wait_for(service, "kafka_sign_in", &words, TOLD);
    }
    for (what, stage, service) in &running {
        assert_eq!(service.metric("streamproc_events_consumed_total", &[]), None, "{what}");
        assert_eq!(shared().committed(&stage.group, &stage.topic).len(), 0, "{what}");
        assert_eq!((stage.cosmos().stats().documents(), stage.letters().len()), (0, 0), "{what}");
        assert_eq!(service.get("/livez").unwrap().status, 200, "{what}");
    }
}

#[test]
fn a_client_certificate_that_was_replaced_is_taken_up_while_the_service_runs() {
    let (old, new) = (guard::temp_dir("old-authority"), guard::temp_dir("new-authority"));
    let (old, new) = (Authority::new(old.path()), Authority::new(new.path()));
    let files = Files::new();
    let trusted = files.write("trusted-clients.pem", fs::read(&old.ca_file).unwrap());
    let options = Options::brokers(1)
        .with_sign_in()
        .property("listener.name.mtls.ssl.truststore.location", &trusted.display().to_string());
    // It lives as long as the test process; its broker ends with the test.
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(&options)));
    let stage = Stage::on(cluster, Layout { partitions: 1, ..Layout::default() });
    let issued = old.issue("client");
    let certificate = files.write("client.pem", fs::read(&issued.certificate).unwrap());
    let key = files.write("client.key", fs::read(&issued.key).unwrap());
    let service = Way::new(Listener::Mtls, "mtls")
        .with(line("ca_file", &cluster.security().authority.ca_file))
        .with(line("certificate_file", &certificate))
        .with(line("key_file", &key))
        .start(&stage);
    one_more(&stage, &service, 1);

    // The brokers know the new authority alone. A connection outlives that, so they begin anew.
    cluster.kill(1);
    fs::copy(&new.ca_file, &trusted).unwrap();
    cluster.start_again(1);
    held::wait_for(&service, "kafka_sign_in", &["SSL alert number", "kafka.auth"], SOON);
    let issued = new.issue("client");
    fs::copy(&issued.key, &key).unwrap();
    fs::copy(&issued.certificate, &certificate).unwrap();
    one_more(&stage, &service, 2);
    stage.send(&[Record::new("no event")]);
    stage.wait_until_caught_up(&service, SOON);
    assert_eq!((stage.cosmos().stats().documents(), stage.letters().len()), (2, 1));
    cluster.kill(1);
}
