//! A Cosmos DB that answers every write at once, to measure what stands in front of it.
//!
//! Microsoft's emulator, embedded, answers what a client asks about the account and the container. A write
//! of documents never gets that far: its body is read, its documents are counted, and it is answered, after
//! a fixed time if one is asked for.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use memchr::memmem;
use streamproc::sandbox::{CosmosOptions, Sandbox, SandboxOptions};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use url::Url;

/// What an operation on a document of 1 KB costs, about: the service's own figure for the sample's index
/// policy. It is only counted.
const REQUEST_UNITS: f64 = 7.0;

/// How many bodies are kept for the floor.
const SAMPLE: usize = 2_000;

/// The endpoint, on a runtime of its own.
pub struct Endpoint {
    url: Url,
    state: Arc<State>,
    // Dropped in this order: the server before what it forwards to.
    _runtime: Runtime,
    _sandbox: Sandbox,
}

struct State {
    emulator: String,
    here: String,
    client: reqwest::Client,
    latency: Duration,
    requests: AtomicU64,
    documents: AtomicU64,
    bytes: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    ages_millis: Option<Vec<u32>>,
    /// Hashes of the documents' ids: of a million, two are the same in one of 37 million runs.
    ids: Option<HashSet<u64>>,
    bodies: Vec<Bytes>,
}

/// What has been written so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    pub requests: u64,
    pub documents: u64,
    pub bytes: u64,
}

impl Endpoint {
    /// Starts it with a container of so many physical partitions. Writes are answered after `latency`.
    pub fn start(latency: Duration, physical_partitions: u32) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let cosmos = CosmosOptions { physical_partitions, ..CosmosOptions::default() };
        let options = SandboxOptions { kafka: None, cosmos: Some(cosmos) };
        let sandbox = runtime.block_on(Sandbox::start(options)).map_err(io::Error::other)?;
        let emulator = sandbox.cosmos().ok_or_else(|| io::Error::other("no emulator"))?.endpoint().clone();
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
        let url = Url::parse(&format!("http://{}/", listener.local_addr()?)).map_err(io::Error::other)?;
        let state = Arc::new(State {
            emulator: emulator.as_str().trim_end_matches('/').to_owned(),
            here: url.as_str().trim_end_matches('/').to_owned(),
            client: reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?,
            latency,
            requests: AtomicU64::new(0),
            documents: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            kept: Mutex::default(),
        });
        runtime.spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { url, state, _runtime: runtime, _sandbox: sandbox })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn written(&self) -> Written {
        self.state.written()
    }

    /// From now on the age of each document is noted when it comes: from `enqueuedAt` until then.
    pub fn note_ages(&self) {
        self.state.kept().ages_millis = Some(Vec::new());
    }

    /// The ages noted, in milliseconds, sorted.
    pub fn ages_millis(&self) -> Vec<u32> {
        let mut ages = self.state.kept().ages_millis.take().unwrap_or_default();
        ages.sort_unstable();
        ages
    }

    /// From now on it is noted which documents come.
    pub fn note_ids(&self) {
        self.state.kept().ids = Some(HashSet::new());
    }

    /// How many different documents came since then.
    pub fn different_documents(&self) -> u64 {
        self.state.kept().ids.as_ref().map_or(0, HashSet::len) as u64
    }

    /// The first bodies that were written.
    pub fn bodies(&self) -> Vec<Bytes> {
        self.state.kept().bodies.clone()
    }
}

impl State {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nobody panics with it")
    }

    fn written(&self) -> Written {
        Written {
            requests: self.requests.load(Ordering::Relaxed),
            documents: self.documents.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 4 << 20).await.unwrap_or_default();
        let says = |name: &str| {
            parts.headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
        };
        let batch = says("x-ms-cosmos-is-batch-request");
        if batch || says("x-ms-documentdb-is-upsert") {
            return self.take(&body, batch).await;
        }
        let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        match self.forward(parts.method.clone(), target, parts.headers, body).await {
            Ok(response) => response,
            Err(error) => {
                let mut response = Response::new(Body::from(error.to_string()));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        }
    }

    async fn take(&self, body: &Bytes, batch: bool) -> Response<Body> {
        let documents = if batch { memmem::find_iter(body, b"\"operationType\"").count() } else { 1 };
        self.note(body);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        self.documents.fetch_add(documents as u64, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = if batch {
            let one = format!(
                r#"{{"statusCode":200,"requestCharge":{REQUEST_UNITS},"eTag":"\"00000000-0000-0000-0000-000000000000\""}}"#
            );
            Body::from(format!("[{}]", vec![one; documents].join(",")))
        } else {
            Body::empty()
        };
        let mut response = Response::new(answer);
        let charge = (REQUEST_UNITS * documents as f64).to_string();
        let headers = response.headers_mut();
        headers.insert("x-ms-request-charge", charge.parse().expect("a number"));
        headers.insert("x-ms-activity-id", HeaderValue::from_static("00000000-0000-0000-0000-000000000000"));
        response
    }

    fn note(&self, body: &Bytes) {
        let mut kept = self.kept();
        if kept.bodies.len() < SAMPLE {
            kept.bodies.push(body.clone());
        }
        if let Some(ids) = &mut kept.ids {
            ids.extend(strings(body, b"\"id\":\"").map(|id| {
                let mut hasher = DefaultHasher::new();
                id.hash(&mut hasher);
                hasher.finish()
            }));
        }
        if let Some(ages) = &mut kept.ages_millis {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
            for text in strings(body, b"\"enqueuedAt\":\"") {
                let time =
                    std::str::from_utf8(text).ok().and_then(|text| humantime::parse_rfc3339(text).ok());
                let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                if let Some(since) = since {
                    ages.push(u32::try_from(now - since.as_millis() as i64).unwrap_or(0));
                }
            }
        }
    }

    /// Asks the emulator; what it says of its own address is said of this one.
    async fn forward(
        &self,
        method: axum::http::Method,
        target: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, reqwest::Error> {
        headers.remove("host");
        headers.remove("content-length");
        let url = format!("{}{target}", self.emulator);
        let answer = self.client.request(method, url).headers(headers).body(body).send().await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove("content-length");
        headers.remove("transfer-encoding");
        let bytes = answer.bytes().await?;
        let body = match std::str::from_utf8(&bytes) {
            Ok(text) => Body::from(text.replace(&self.emulator, &self.here)),
            Err(_) => Body::from(bytes),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// What stands behind each `"field":"`, up to the next quotation mark.
fn strings<'a>(body: &'a [u8], field: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    memmem::find_iter(body, field)
        .filter_map(move |at| body[at + field.len()..].split(|byte| *byte == b'"').next())
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
                let state = Arc::clone(&state);
                async move { Ok::<_, std::convert::Infallible>(state.answer(request.map(Body::new)).await) }
            });
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}
