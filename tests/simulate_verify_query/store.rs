//! Microsoft's in-memory Cosmos DB, with a container as the sample has it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Response;
use azure_core::credentials::Secret;
use azure_core::http::headers::HeaderName;
use azure_core::http::{Method, Request as StoreRequest};
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::options::Region;
use azure_data_cosmos::{
    AccountReference, CosmosClient, CosmosRuntimeBuilder, PartitionKey, RoutingStrategy,
};
use azure_data_cosmos_driver::in_memory_emulator::{
    ContainerConfig, InMemoryEmulatorHttpClient, RequestObserver, VirtualAccountConfig, VirtualRegion,
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

pub(crate) const DATABASE: &str = "streaming";
pub(crate) const CONTAINER: &str = "rawdata";

/// A store of its own for each test, answering on a free port of this machine.
pub(crate) struct Store {
    pub(crate) url: Url,
    pub(crate) container: ContainerClient,
    formats: Arc<Formats>,
    host: JoinHandle<()>,
}

/// Which forms of an answer each request said it takes.
#[derive(Debug, Default)]
struct Formats(Mutex<Vec<Option<String>>>);

impl RequestObserver for Formats {
    fn on_request(&self, request: &StoreRequest) {
        let name = "x-ms-cosmos-supported-serialization-formats".to_owned();
        let formats = request.headers().get_optional_str(&HeaderName::from(name)).map(ToOwned::to_owned);
        self.0.lock().unwrap().push(formats);
    }
}

impl Store {
    /// A container with these partition key paths, in so many physical partitions.
    pub(crate) async fn new(paths: &[&str], partitions: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let account = VirtualAccountConfig::new(vec![VirtualRegion::new("East US", url.clone())]).unwrap();
        let formats = Arc::new(Formats::default());
        let emulator = InMemoryEmulatorHttpClient::new(account).with_request_observer(formats.clone());
        let emulator = Arc::new(emulator);
        let kind = if paths.len() > 1 { "MultiHash" } else { "Hash" };
        let definition = json!({"paths": paths, "kind": kind, "version": 2});
        emulator.store().create_database(DATABASE);
        emulator.store().create_container_with_config(
            DATABASE,
            CONTAINER,
            serde_json::from_value(definition).unwrap(),
            ContainerConfig::new().with_partition_count(partitions).build().unwrap(),
        );
        let runtime = CosmosRuntimeBuilder::from(emulator.runtime_builder()).build().await.unwrap();
        let account =
            AccountReference::with_authentication_key(url.as_str().parse().unwrap(), Secret::new(key()));
        let client = CosmosClient::builder()
            .with_runtime(runtime)
            .build(account, RoutingStrategy::ProximityTo(Region::EAST_US))
            .await
            .unwrap();
        let container = client.database_client(DATABASE).container_client(CONTAINER, None).await.unwrap();
        let app = Router::new().fallback(answer).with_state((emulator, url.clone()));
        let host = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, container, formats, host }
    }

    /// Stores documents, many at a time.
    pub(crate) async fn fill(&self, documents: impl IntoIterator<Item = Value>) {
        stream::iter(documents)
            .map(|document| async move {
                let (id, key) = (document["id"].as_str().unwrap().to_owned(), partition_key(&document));
                self.container.upsert_item(key, &id, document, None).await.map(drop)
            })
            .buffer_unordered(16)
            .try_collect::<()>()
            .await
            .unwrap();
    }

    /// Whether any request since the last time asked for an answer in binary.
    pub(crate) fn was_asked_for_binary(&self) -> bool {
        let formats = std::mem::take(&mut *self.formats.0.lock().unwrap());
        assert!(!formats.is_empty(), "nothing was asked");
        formats.iter().flatten().any(|formats| formats.contains("CosmosBinary"))
    }

    /// A configuration that points at this store, and at this Kafka.
    pub(crate) fn configuration(&self, bootstrap_servers: &str) -> String {
        format!(
            r#"
            [kafka]
            bootstrap_servers = "{bootstrap_servers}"
            topics = ["streaming"]
            [cosmos]
            endpoint = "{}"
            regions = ["East US"]
            database = "{DATABASE}"
            container = "{CONTAINER}"
            auth.method = "key"
            [dead_letter]
            topic = "streaming-dead-letter"
            "#,
            self.url
        )
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.host.abort();
    }
}

fn partition_key(document: &Value) -> PartitionKey {
    let text = |field: &str| document[field].as_str().unwrap().to_owned();
    match document.get("site") {
        Some(_) => PartitionKey::from((text("site"), text("deviceId"))),
        None => PartitionKey::from(text("deviceId")),
    }
}

/// Any base64 will do: the store in memory checks no signature.
pub(crate) fn key() -> String {
    azure_core::base64::encode("this is no secret")
}

type Emulator = (Arc<InMemoryEmulatorHttpClient>, Url);

async fn answer(State((emulator, url)): State<Emulator>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str().trim_start_matches('/'));
    let method: Method = parts.method.as_str().parse().unwrap();
    let mut asked = StoreRequest::new(url.join(path).unwrap(), method);
    for (name, value) in &parts.headers {
        asked.headers_mut().insert(name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned());
    }
    let body = to_bytes(body, 4 << 20).await.unwrap();
    if !body.is_empty() {
        asked.set_body(body.to_vec());
    }
    let answered = emulator.execute_request(&asked).await.unwrap().try_into_raw_response().await.unwrap();
    let mut response = Response::builder().status(u16::from(answered.status()));
    for (name, value) in answered.headers().iter() {
        response = response.header(name.as_str(), value.as_str());
    }
    response.body(Body::from(answered.body().as_ref().to_vec())).unwrap()
}
