//! Workload identity against a token endpoint on this machine: one that answers, one that hangs,
//! one that fails and recovers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use streamproc::azure::{
    AccountKey, CosmosSignIn, CredentialError, CredentialSource, Identity, KeyError, Timing, TokenCache,
    credential, uncached,
};
use streamproc::config::{Cosmos, CosmosAuth, CosmosAuthMethod, KafkaAuth, KafkaAuthMethod};

/// What the endpoint does with one request.
#[derive(Clone, Copy)]
enum Act {
    Give(&'static str),
    Refuse,
    BeDown,
    Hang,
}

/// One request: the tenant and the form.
type Asked = (String, HashMap<String, String>);

/// A stand-in for Microsoft Entra ID. Acts in turn, and repeats the last act for ever.
#[derive(Clone)]
struct Endpoint {
    acts: Arc<Mutex<VecDeque<Act>>>,
    requests: Arc<Mutex<Vec<Asked>>>,
    url: String,
}

impl Endpoint {
    async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self {
            acts: Arc::new(Mutex::new(acts.into_iter().collect())),
            requests: Arc::default(),
            url: format!("http://{}", listener.local_addr().unwrap()),
        };
        let router = Router::new()
            .route("/{tenant}/oauth2/v2.0/token", axum::routing::post(answer))
            .with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    fn requests(&self) -> Vec<Asked> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(State(endpoint): State<Endpoint>, Path(tenant): Path<String>, body: String) -> Response {
    let form = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    endpoint.requests.lock().unwrap().push((tenant, form));
    let act = {
        let mut acts = endpoint.acts.lock().unwrap();
        if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0] }
    };
    match act {
        Act::Give(token) => {
            format!(r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"{token}"}}"#).into_response()
        }
        Act::Refuse => {
            let body = r#"{"error":"invalid_client","error_description":"AADSTS70021: no matching federated identity"}"#;
            (StatusCode::UNAUTHORIZED, body).into_response()
        }
        Act::BeDown => {
            let body =
                r#"{"error":"temporarily_unavailable","error_description":"AADSTS90033: try again later"}"#;
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
        Act::Hang => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
    }
}

/// A pod with workload identity, its token endpoint on this machine.
struct Pod {
    directory: tempfile::TempDir,
    endpoint: Endpoint,
}

impl Pod {
    async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("federated"), "federated-token").unwrap();
        Self { directory, endpoint: Endpoint::start(acts).await }
    }

    fn env(&self, name: &str) -> Option<String> {
        match name {
            "AZURE_AUTHORITY_HOST" => Some(self.endpoint.url.clone()),
            "AZURE_FEDERATED_TOKEN_FILE" => {
                Some(self.directory.path().join("federated").display().to_string())
            }
            "AZURE_CLIENT_ID" => Some("the-client".into()),
            "AZURE_TENANT_ID" => Some("the-tenant".into()),
            _ => None,
        }
    }

    fn cache(&self, timing: Timing) -> TokenCache {
        let credential = uncached(&nobody(), &|name| self.env(name)).unwrap();
        TokenCache::start(CredentialSource { credential, scopes: vec!["the-scope".into()] }, timing)
    }
}

fn nobody() -> Identity {
    Identity::Workload { client_id: String::new(), tenant_id: String::new() }
}

/// Patient enough for a busy machine, and not for an endpoint that hangs.
const IMPATIENT: Timing = Timing {
    request: Duration::from_secs(2),
    first_retry: Duration::from_millis(10),
    longest_retry: Duration::from_millis(100),
};

/// Fails the test, instead of hanging it, when something does not happen.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen"))
}

#[tokio::test]
async fn a_pod_gets_its_token_from_the_authority_its_environment_names() {
    let pod = Pod::start([Act::Give("the-token")]).await;
    let tokens = pod.cache(Timing::default());
    assert_eq!(soon("a token", tokens.ready()).await.secret.secret(), "the-token");
    let (tenant, form) = pod.endpoint.requests().remove(0);
    assert_eq!(tenant, "the-tenant");
    assert_eq!(form["client_id"], "the-client");
    assert_eq!(form["scope"], "the-scope");
    assert_eq!(form["client_assertion"], "federated-token");
}

#[tokio::test]
async fn configured_ids_go_before_those_of_the_environment() {
    let pod = Pod::start([Act::Give("the-token")]).await;
    let auth = KafkaAuth {
        method: KafkaAuthMethod::WorkloadIdentity,
        scope: "events".into(),
        client_id: "mine".into(),
        tenant_id: "ours".into(),
        ..KafkaAuth::default()
    };
    let tokens = streamproc::kafka::tokens(&auth, &|name| pod.env(name)).unwrap().expect("a cache");
    soon("a token", tokens.ready()).await;
    let (tenant, form) = pod.endpoint.requests().remove(0);
    assert_eq!(
        (tenant.as_str(), form["client_id"].as_str(), form["scope"].as_str()),
        ("ours", "mine", "events")
    );
}

#[tokio::test]
async fn an_endpoint_that_hangs_for_a_minute_stops_nobody_and_is_asked_again() {
    let pod = Pod::start([Act::Hang, Act::Give("the-token")]).await;
    let tokens = pod.cache(Timing { request: Duration::from_millis(300), ..IMPATIENT });
    let begin = std::time::Instant::now();
    assert!(tokens.current().is_err());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let told = soon("the failure", tokens.settled()).await.unwrap_err().to_string();
    assert!(told.contains("no answer within 300ms"), "{told}");
    assert_eq!(soon("a token", tokens.ready()).await.secret.secret(), "the-token");
}

#[tokio::test]
async fn an_endpoint_that_fails_is_quoted_and_recovers() {
    let pod = Pod::start([Act::Refuse, Act::BeDown, Act::Give("the-token")]).await;
    let tokens = pod.cache(IMPATIENT);
    let told = soon("the failure", tokens.settled()).await.unwrap_err().to_string();
    assert!(told.contains("AADSTS70021"), "{told}");
    assert!(!told.contains("federated-token"), "{told}");
    soon("a token", tokens.ready()).await;
    assert_eq!(tokens.watch().borrow().failures, 2);
    assert_eq!(pod.endpoint.requests().len(), 3, "one request a try, nothing repeated underneath");
}

#[tokio::test]
async fn the_credential_of_cosmos_db_asks_once_for_everybody() {
    let pod = Pod::start([Act::Give("the-token")]).await;
    let credential = credential(&nobody(), &|name| pod.env(name)).unwrap();
    let asked: Vec<_> =
        (0..50).map(|_| credential.get_token(&["https://cosmos.azure.com/.default"], None)).collect();
    for token in soon("all tokens", futures::future::join_all(asked)).await {
        assert_eq!(token.unwrap().token.secret(), "the-token");
    }
    assert_eq!(pod.endpoint.requests().len(), 1);
    assert!(!format!("{credential:?}").contains("the-token"));
}

#[tokio::test]
async fn a_credential_that_is_refused_says_so_instead_of_waiting() {
    let pod = Pod::start([Act::Refuse]).await;
    let credential = credential(&nobody(), &|name| pod.env(name)).unwrap();
    let error = soon("the refusal", credential.get_token(&["scope"], None)).await.unwrap_err().to_string();
    assert!(error.contains("AADSTS70021"), "{error}");
}

#[tokio::test]
async fn a_pod_without_workload_identity_is_told_what_is_missing() {
    let pod = Pod::start([Act::Refuse]).await;
    for missing in ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"] {
        let error =
            uncached(&nobody(), &|name| pod.env(name).filter(|_| name != missing)).unwrap_err().to_string();
        assert!(error.contains(missing) && error.contains("azure.workload.identity/use"), "{error}");
    }
    std::fs::remove_file(pod.directory.path().join("federated")).unwrap();
    let error = uncached(&nobody(), &|name| pod.env(name)).unwrap_err();
    assert!(matches!(error, CredentialError::TokenFile { .. }), "{error}");
}

#[tokio::test]
async fn every_cosmos_method_has_a_sign_in() {
    let pod = Pod::start([Act::Give("the-token")]).await;
    for method in
        [CosmosAuthMethod::WorkloadIdentity, CosmosAuthMethod::ManagedIdentity, CosmosAuthMethod::Developer]
    {
        let mut cosmos = Cosmos::new("https://a/", ["r"], "d", "c");
        cosmos.auth.method = method;
        let sign_in = CosmosSignIn::new(&cosmos, &|name| pod.env(name)).unwrap();
        assert!(matches!(sign_in, CosmosSignIn::Token(_)), "{method:?}");
    }
}

#[test]
fn the_account_key_is_read_again_after_a_rotation_and_never_shown() {
    let key = |text: &str| azure_core::base64::encode(text);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let auth =
        CosmosAuth { method: CosmosAuthMethod::Key, key_file: Some(path.clone()), ..CosmosAuth::default() };
    let nothing = |_: &str| None;

    std::fs::write(&path, format!("{}\n", key("the first key of the account"))).unwrap();
    let mut account = AccountKey::read(&auth, &nothing).unwrap();
    assert_eq!(account.secret().secret(), key("the first key of the account"));
    assert!(!account.reread().unwrap(), "nothing has changed");
    std::fs::write(&path, key("the second key of the account")).unwrap();
    assert!(account.reread().unwrap());
    assert_eq!(account.secret().secret(), key("the second key of the account"));
    assert!(!format!("{account:?}").contains(&key("the second key of the account")));

    let wrong = "AccountEndpoint=https://a/;AccountKey=x;";
    std::fs::write(&path, wrong).unwrap();
    let error = account.reread().unwrap_err();
    assert!(matches!(error, KeyError::NotBase64 { .. }));
    assert!(!format!("{error} {error:?}").contains("AccountKey=x"), "{error}");
    assert_eq!(account.secret().secret(), key("the second key of the account"), "the old key is kept");

    let from_variable = CosmosAuth { key_file: None, ..auth };
    let env = |name: &str| (name == "STREAMPROC_COSMOS_KEY").then(|| key("of the variable"));
    assert_eq!(AccountKey::read(&from_variable, &env).unwrap().secret().secret(), key("of the variable"));
    assert!(matches!(AccountKey::read(&from_variable, &nothing), Err(KeyError::NotSet)));
}
