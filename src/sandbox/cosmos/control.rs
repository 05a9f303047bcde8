//! Faults from outside the process: the routes under `/_sandbox/`, served only when asked for.
//!
//! | route                                             | does                                            |
//! |---------------------------------------------------|-------------------------------------------------|
//! | `GET stats`                                       | what was answered, what is stored               |
//! | `POST fail?status=503&substatus=&retry_after_ms=` | answers so; `&after_work=true`: after the work  |
//! | `POST throttle?retry_after_ms=`                   | 429 with substatus 3200                         |
//! | `POST hang?ms=`                                   | waits, then does the work                       |
//! | `POST drop-response`                              | does the work, closes the connection            |
//! | `POST drop-request`                               | closes the connection                           |
//! | `POST heal`                                       | ends all faults                                 |
//! | `POST create-container?name=&pk=/a&pk=/b`         | creates one; `&unique=/eventId`                 |
//! | `POST delete-container?name=`                     | deletes one                                     |
//!
//! Each fault is narrowed down with `kind`, `partition_key`, `path`, `times` and `for_ms`.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::ContainerOptions;
use super::call::Call;
use super::emulator::{Answer, Shape};
use super::fault::{Effect, Fault};
use super::server::Service;

/// Carries out one order.
pub(super) async fn obey(
    service: &Service,
    database: &str,
    shape: Shape,
    method: &Method,
    order: &str,
    uri: &Uri,
) -> Answer {
    let query =
        Query(url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect());
    let done = match (method.as_str(), order) {
        ("GET", "stats") => serde_json::to_value(service.counter.read()).map_err(Into::into),
        ("POST", "heal") => {
            service.faults.clear();
            Ok(json!({}))
        }
        ("POST", "create-container") => create_container(service, database, shape, &query).await,
        ("POST", "delete-container") => {
            delete_container(service, database, query.name("name").unwrap_or("rawdata"))
                .await
                .map(|path| json!({ "container": path }))
        }
        ("POST", fault) => add_fault(service, fault, &query),
        _ => Err(anyhow::anyhow!("no such order: {method} {order}")),
    };
    match done {
        Ok(body) => {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            Answer { status: StatusCode::OK, headers, body: body.to_string().into(), documents: 0 }
        }
        Err(error) => Answer::error(StatusCode::BAD_REQUEST, 0, "BadRequest", &format!("{error:#}")),
    }
}

fn add_fault(service: &Service, name: &str, query: &Query) -> anyhow::Result<serde_json::Value> {
    let millis = |name: &str| anyhow::Ok(query.get::<u64>(name)?.map(Duration::from_millis));
    let retry_after = millis("retry_after_ms")?;
    let effect = match name {
        "fail" => Effect::Answer {
            status: query.get("status")?.context("status=, the HTTP status to answer, is missing")?,
            substatus: query.get("substatus")?.unwrap_or(0),
            retry_after,
            after_work: query.get("after_work")?.unwrap_or(false),
        },
        "throttle" => Effect::Answer { status: 429, substatus: 3200, retry_after, after_work: false },
        "hang" => Effect::Hang(millis("ms")?.context("ms=, how long to wait, is missing")?),
        "drop-response" => Effect::DropResponse,
        "drop-request" => Effect::DropRequest,
        other => bail!("no such order: POST {other}"),
    };
    service.faults.add(Fault {
        kind: query.name("kind").map(|kind| serde_json::from_value(json!(kind))).transpose()?,
        partition_key: query.name("partition_key").map(str::to_owned),
        path: query.name("path").map(str::to_owned),
        times: query.get("times")?,
        until: millis("for_ms")?.map(|length| Instant::now() + length),
        effect,
    });
    Ok(json!({ "faults": service.faults.len() }))
}

async fn create_container(
    service: &Service,
    database: &str,
    shape: Shape,
    query: &Query,
) -> anyhow::Result<serde_json::Value> {
    let container = ContainerOptions {
        name: query.name("name").unwrap_or("rawdata").to_owned(),
        partition_key: query.all("pk"),
        unique_keys: query.all("unique"),
    };
    anyhow::ensure!(!container.partition_key.is_empty(), "pk=, a path of the partition key, is missing");
    service.emulator.create_container(database, &container, shape).await?;
    Ok(json!({ "container": container.name }))
}

/// Deletes a container with all that is in it; gives its path.
pub(super) async fn delete_container(
    service: &Service,
    database: &str,
    name: &str,
) -> anyhow::Result<String> {
    let path = format!("dbs/{database}/colls/{name}");
    let call = Call::new(Method::DELETE, &path, None, HeaderMap::new(), Bytes::new());
    let answer = service.emulator.execute(&call).await?;
    anyhow::ensure!(answer.status.is_success(), "{path}: {}", answer.status);
    service.counter.forget(&path);
    Ok(path)
}

struct Query(Vec<(String, String)>);

impl Query {
    fn name(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A number or a bool.
    fn get<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let value = self.name(name).filter(|value| !value.is_empty());
        value.map(serde_json::from_str).transpose().with_context(|| name.to_owned())
    }
}
