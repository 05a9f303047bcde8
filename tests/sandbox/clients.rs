//! The clients the tests look at the sandbox with.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azure_core::credentials::Secret;
use azure_core::http::{HttpClient, Method, Request, new_http_client};
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::options::BinaryEncodingOptions;
use azure_data_cosmos::{
    AccountEndpoint, AccountReference, CosmosClient, FeedScope, RoutingStrategy, TransactionalBatch,
};
use chrono::Utc;
use futures::StreamExt;
use serde_json::{Value, json};
use streamproc::sandbox::{CosmosOptions, Sandbox, SandboxOptions};
use url::Url;

/// A sandbox of Cosmos DB alone.
pub(crate) async fn cosmos(options: CosmosOptions) -> Sandbox {
    Sandbox::start(SandboxOptions { kafka: None, cosmos: Some(options) }).await.unwrap()
}

/// Microsoft's Rust SDK. `binary`: with its default encoding, which the service under test switches off.
pub(crate) async fn sdk(
    endpoint: &Url,
    key: &str,
    binary: bool,
) -> Result<ContainerClient, azure_data_cosmos::CosmosError> {
    let endpoint: AccountEndpoint = endpoint.as_str().parse().unwrap();
    let account = AccountReference::with_authentication_key(endpoint, key.to_owned());
    let encoding = BinaryEncodingOptions::new().with_enabled(binary);
    let client = CosmosClient::builder()
        .with_binary_encoding_options(encoding)
        .build(account, RoutingStrategy::PreferredRegions(vec!["West Europe".into()]))
        .await?;
    client.database_client("streaming").container_client("rawdata", None).await
}

/// The SDK for a sandbox.
pub(crate) async fn container(sandbox: &Sandbox) -> ContainerClient {
    sdk(sandbox.cosmos_endpoint().unwrap(), sandbox.cosmos_key().unwrap(), false).await.unwrap()
}

/// An event of one device.
pub(crate) fn event(device: &str, id: &str) -> Value {
    json!({ "id": id, "eventId": id, "deviceId": device, "type": "TEMP", "value": 1.5 })
}

/// An atomic batch of upserts for one device.
pub(crate) fn batch<'a>(device: &str, ids: impl IntoIterator<Item = &'a str>) -> TransactionalBatch {
    let empty = TransactionalBatch::new(device.to_owned());
    ids.into_iter().fold(empty, |batch, id| batch.upsert_item(event(device, id), None).unwrap())
}

/// The answers to a query over all partitions.
pub(crate) async fn query(container: &ContainerClient, sql: &str) -> Vec<Value> {
    let found = container.query_items::<Value>(sql, FeedScope::full_container(), None).await.unwrap();
    found.map(Result::unwrap).collect().await
}

/// Waits until `look` finds something, or fails with what was missing.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "20 s have passed without this: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An answer to a bare request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: azure_core::http::headers::Headers,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get_optional_str(&name.into())
    }

    pub(crate) fn substatus(&self) -> u32 {
        self.header("x-ms-substatus").map_or(0, |text| text.parse().unwrap())
    }

    pub(crate) fn charge(&self) -> f64 {
        self.header("x-ms-request-charge").unwrap().parse().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Requests as they are, without the retries of an SDK.
#[derive(Clone)]
pub(crate) struct Bare {
    http: Arc<dyn HttpClient>,
    endpoint: Url,
    key: String,
}

pub(crate) const DOCUMENTS: &str = "dbs/streaming/colls/rawdata/docs";

impl Bare {
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        Self {
            http: new_http_client(None),
            endpoint: sandbox.cosmos_endpoint().unwrap().clone(),
            key: sandbox.cosmos_key().unwrap().to_owned(),
        }
    }

    /// Sends a request whose signature covers `type` and `link`. None: the connection was closed instead.
    pub(crate) async fn signed(
        &self,
        method: Method,
        path: &str,
        signed: (&str, &str),
        headers: &[(&'static str, &str)],
        body: impl Into<String>,
    ) -> Option<Reply> {
        let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let (resource_type, link) = signed;
        let verb = method.as_str().to_lowercase();
        let payload = format!("{verb}\n{resource_type}\n{link}\n{}\n\n", date.to_lowercase());
        let signature = azure_core::hmac::hmac_sha256(&payload, &Secret::new(self.key.clone())).unwrap();
        let token = format!("type=master&ver=1.0&sig={signature}");
        let token: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
        let mut request = Request::new(self.endpoint.join(path).unwrap(), method);
        request.insert_header("authorization", token);
        request.insert_header("x-ms-date", date);
        for (name, value) in headers {
            request.insert_header(*name, (*value).to_owned());
        }
        request.set_body(body.into().into_bytes());
        let response = self.http.execute_request(&request).await.ok()?.try_into_raw_response().await.ok()?;
        Some(Reply {
            status: response.status().into(),
            headers: response.headers().clone(),
            body: response.into_body().into_string().unwrap(),
        })
    }

    /// Posts to the documents of the sandbox's container.
    pub(crate) async fn post(
        &self,
        device: &str,
        header: &'static str,
        body: impl Into<String>,
    ) -> Option<Reply> {
        let key = json!([device]).to_string();
        let headers = [("x-ms-documentdb-partitionkey", key.as_str()), (header, "true")];
        let link = "dbs/streaming/colls/rawdata";
        self.signed(Method::Post, DOCUMENTS, ("docs", link), &headers, body).await
    }

    pub(crate) async fn upsert(&self, device: &str, id: &str) -> Option<Reply> {
        self.post(device, "x-ms-documentdb-is-upsert", event(device, id).to_string()).await
    }

    pub(crate) async fn batch(&self, device: &str, events: &[Value]) -> Option<Reply> {
        let operations: Vec<Value> =
            events.iter().map(|event| json!({ "operationType": "Upsert", "resourceBody": event })).collect();
        self.post(device, "x-ms-cosmos-is-batch-request", Value::from(operations).to_string()).await
    }

    /// Reads a document by its id.
    pub(crate) async fn read(&self, device: &str, id: &str) -> Option<Reply> {
        let key = json!([device]).to_string();
        let path = format!("{DOCUMENTS}/{id}");
        let headers = [("x-ms-documentdb-partitionkey", key.as_str())];
        self.signed(Method::Get, &path, ("docs", &path), &headers, "").await
    }

    /// An order to the sandbox itself.
    pub(crate) async fn order(&self, method: Method, order: &str) -> Reply {
        self.signed(method, &format!("_sandbox/{order}"), ("", ""), &[], "").await.unwrap()
    }
}

/// The ids of the key ranges that a client sees.
pub(crate) async fn partition_ids(sandbox: &Sandbox) -> Vec<u32> {
    let link = "dbs/streaming/colls/rawdata";
    let path = format!("{link}/pkranges");
    let ranges = Bare::new(sandbox).signed(Method::Get, &path, ("pkranges", link), &[], "").await.unwrap();
    let ranges = ranges.json();
    let ids = ranges["PartitionKeyRanges"].as_array().unwrap().iter();
    ids.map(|range| range["id"].as_str().unwrap().parse().unwrap()).collect()
}
