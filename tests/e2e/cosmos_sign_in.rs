//! Signing in to Cosmos DB in every way: what fails is named and counted, what is mended or rotated is
//! taken up while the service runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::stage::held::{self, TOLD};
use crate::stage::{Layout, SOON, Stage, event};
use crate::support::guard;
use crate::support::kafka::{Record, shared};
use crate::support::service::{Service, Setup};
use crate::support::tokens::Endpoint;
use crate::support::wait;

/// The scope that Microsoft's client asks tokens for, less `/.default`.
const AUDIENCE: &str = "https://cosmos.azure.com";

fn stage() -> Stage {
    Stage::new(Layout { partitions: 1, ..Layout::default() })
}

fn key(sentence: &str) -> String {
    BASE64_STANDARD.encode(sentence)
}

fn one_more(stage: &Stage, service: &Service, number: usize) {
    stage.send(&[Record::new(event(1, number)).key("device-1")]);
    stage.wait_until_caught_up(service, SOON);
}

fn counted(service: &Service) -> f64 {
    service.metric("streamproc_auth_failures_total", &[r#"target="cosmos""#]).unwrap()
}

#[test]
fn a_wrong_key_is_named_and_a_right_one_is_taken_up_at_the_start_and_when_it_is_rotated() {
    let stage = stage();
    let files = guard::temp_dir("key");
    let file = files.path().join("key");
    fs::write(&file, key("a wrong one")).unwrap();
    let key_file = format!("key_file = {:?}", file.display().to_string());
    let service = stage.service(&[("cosmos.auth", &key_file)]);
    held::wait_for(&service, "sign_in", &["401", "cosmos.auth"], TOLD);
    assert!(counted(&service) >= 1.0);

    let first = key("the first");
    stage.cosmos().rotate_key(&first);
    fs::write(&file, format!("{first}\n")).unwrap();
    one_more(&stage, &service, 1);
    held::wait_until_ready(&service, SOON);
    let before = counted(&service);

    // The old key is refused before the new one has reached the file.
    let second = key("the second");
    stage.cosmos().rotate_key(&second);
    stage.send(&[Record::new(event(1, 2)).key("device-1")]);
    held::wait_for(&service, "sign_in", &["401", "cosmos.auth"], TOLD);
    assert!(counted(&service) > before);
    fs::write(&file, second).unwrap();
    one_more(&stage, &service, 3);
    held::wait_until_ready(&service, SOON);
    assert_eq!(stage.cosmos().stats().documents(), 3);
    assert!(stage.letters().is_empty());
}

#[test]
fn a_key_comes_from_the_environment_too() {
    let stage = stage();
    let secret = key("of the environment");
    stage.cosmos().rotate_key(&secret);
    let service = Setup::new(&stage.config(&[])).variable("STREAMPROC_COSMOS_KEY", &secret).start();
    one_more(&stage, &service, 1);
    held::wait_until_ready(&service, TOLD);
}

#[test]
fn workload_identity_shows_tokens_that_are_refreshed_before_they_expire() {
    let security = shared().security();
    let endpoint = Endpoint::start(&security.issuer, &security.authority);
    endpoint.set_lifetime(Duration::from_secs(10));
    let stage = stage();
    let setup = Setup::new(&stage.config(&[
        ("cosmos.auth", r#"method = "workload_identity""#),
        ("cosmos.auth", r#"client_id = "client""#),
        ("cosmos.auth", r#"tenant_id = "tenant""#),
    ]));
    let federated = setup.file("federated", "a service account's token");
    let service = setup
        .variable("AZURE_AUTHORITY_HOST", &endpoint.authority_host())
        .variable("AZURE_FEDERATED_TOKEN_FILE", &federated.display().to_string())
        .variable("SSL_CERT_FILE", &security.authority.ca_file.display().to_string())
        .start();
    // A token without a role.
    held::wait_for(&service, "sign_in", &["401"], TOLD);
    stage.cosmos().take_tokens(true);
    one_more(&stage, &service, 1);
    held::wait_until_ready(&service, TOLD);

    let mut number = 1;
    wait::until_ok(SOON, "three tokens", || {
        number += 1;
        one_more(&stage, &service, number);
        assert_eq!(held::conditions(&service).unwrap(), [], "a refresh is no interruption");
        let shown = stage.cosmos().tokens_shown().len();
        if shown >= 3 { Ok(()) } else { Err(format!("{shown}")) }
    });

    // The role is taken away for a moment.
    stage.cosmos().take_tokens(false);
    stage.send(&[Record::new(event(1, number + 1)).key("device-1")]);
    held::wait_for(&service, "sign_in", &["401"], TOLD);
    stage.cosmos().take_tokens(true);
    one_more(&stage, &service, number + 2);
    held::wait_until_ready(&service, SOON);
    assert_eq!(stage.cosmos().stats().documents(), u64::try_from(number).unwrap() + 2);
    assert!(stage.letters().is_empty());
}

#[test]
fn an_identity_that_is_not_there_is_named_and_found_when_it_is() {
    let stage = stage();
    stage.cosmos().take_tokens(true);
    let tools = guard::temp_dir("tools");
    let path = tools.path().display().to_string();
    let developer = Setup::new(&stage.config(&[("cosmos.auth", r#"method = "developer""#)]))
        .variable("PATH", &path)
        .start();
    // As on an App Service, whose endpoint is an address on the machine.
    let managed = Setup::new(&stage.config(&[("cosmos.auth", r#"method = "managed_identity""#)]))
        .variable("IDENTITY_ENDPOINT", "http://127.0.0.1:1/token")
        .variable("IDENTITY_HEADER", "made up")
        .start();
    held::wait_for(&managed, "sign_in", &["127.0.0.1:1", "Connection refused", "cosmos.auth"], TOLD);
    held::wait_for(&developer, "sign_in", &["az not found on PATH", "cosmos.auth"], TOLD);
    drop(managed);

    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
    let token = shared().security().issuer.token("me", AUDIENCE, Duration::from_hours(1));
    let answer = format!(r#"{{"accessToken":"{token}","expires_on":{expires},"tokenType":"Bearer"}}"#);
    let az = tools.path().join("az");
    fs::write(&az, format!("#!/bin/sh\nprintf '%s' '{answer}'\n")).unwrap();
    fs::set_permissions(&az, fs::Permissions::from_mode(0o755)).unwrap();
    one_more(&stage, &developer, 1);
    held::wait_until_ready(&developer, SOON);
    assert_eq!(stage.cosmos().tokens_shown(), [token]);
}
