//! The HTTP side of the embedded Cosmos DB: HTTP/1.1 and HTTP/2 on one plain port.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use azure_core::credentials::Secret;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};

use super::call::{Call, Kind};
use super::control;
use super::doors::Doors;
use super::emulator::{Answer, Emulator, Shape};
use super::fault::{Effect, Faults};
use super::journal::Journal;
use super::key::{self, Unauthorized};
use super::stats::{Counter, Served};
use super::throughput::Throughput;
use super::token::Tokens;

/// The service takes requests of up to 2 MB; the emulator checks that itself, this keeps memory bounded.
/// <https://learn.microsoft.com/azure/cosmos-db/concepts-limits#per-request-limits>
const BODY_LIMIT: usize = (2 << 20) + (64 << 10);

/// How much of a body over the limit is read and thrown away, so that the client gets to read the answer.
const DISCARD_LIMIT: usize = 64 << 20;

/// Everything a request passes through.
pub(super) struct Service {
    pub(super) emulator: Emulator,
    pub(super) key: RwLock<Secret>,
    pub(super) tokens: Tokens,
    pub(super) faults: Faults,
    pub(super) throughput: Option<Throughput>,
    pub(super) counter: Counter,
    pub(super) journal: Option<Arc<Journal>>,
    /// The database and the shape of containers made through `/_sandbox/`, when that is served.
    pub(super) control: Option<(String, Shape)>,
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox was asked to drop this connection")]
struct Dropped;

/// Serves connections to the account's address until the task is dropped. They lead to the region that takes the writes
/// when a request comes, as far as it can be reached; the real service's name is made to lead there within minutes.
pub(super) async fn serve(listener: TcpListener, service: Arc<Service>, doors: Arc<Doors>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: others may close some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (service, doors) = (Arc::clone(&service), Arc::clone(&doors));
        tokio::spawn(converse(stream, service, move |service| {
            let region = service.emulator.writing();
            doors.is_open(region).then_some(region)
        }));
    }
}

/// Answers what comes on one connection, each time from the region that is named; from none, it is closed.
pub(super) async fn converse(
    stream: TcpStream,
    service: Arc<Service>,
    region: impl Fn(&Service) -> Option<usize>,
) {
    let answer = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
        let (service, region) = (Arc::clone(&service), region(&service));
        async move { respond(service, region.ok_or(Dropped)?, request.map(Body::new)).await }
    });
    // An error here is a client that went away, or a connection dropped on purpose.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
}

async fn respond(
    service: Arc<Service>,
    region: usize,
    request: Request<Body>,
) -> Result<Response<Body>, Dropped> {
    let (parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(refusal) => return Ok(response(refusal)),
    };
    if let (Some((database, shape)), Some(order)) =
        (&service.control, parts.uri.path().strip_prefix("/_sandbox/"))
    {
        let answer = control::obey(&service, database, *shape, &parts.method, order, &parts.uri).await;
        return Ok(response(answer));
    }
    let call = Call::new(parts.method, parts.uri.path(), parts.uri.query(), parts.headers, body);
    let call = Call { region, ..call };
    // In a task of its own: a client that hangs up does not stop the service from doing the work, which
    // is how a request that timed out comes to be carried out late.
    let answer = tokio::spawn(async move { service.answer(&call).await }).await;
    match answer {
        Ok(answer) => answer.map(response).ok_or(Dropped),
        Err(panic) => Ok(response(internal_error(&panic.to_string()))),
    }
}

impl Service {
    /// What a client gets to see of a request; None is a connection closed without an answer.
    async fn answer(&self, call: &Call) -> Option<Answer> {
        let allowed = {
            let key = self.key.read().unwrap_or_else(PoisonError::into_inner);
            key::check(call, &key, &self.tokens)
        };
        let answer = match allowed {
            Ok(()) => self.answer_with_faults(call).await,
            Err(Unauthorized(why)) => Some(Answer::error(StatusCode::UNAUTHORIZED, 0, "Unauthorized", &why)),
        };
        if let Some(answer) = &answer {
            self.count(call, Some(answer));
        }
        answer
    }

    async fn answer_with_faults(&self, call: &Call) -> Option<Answer> {
        match self.faults.meet(call, Instant::now()) {
            None => Some(self.work(call).await),
            Some(Effect::Answer { status, substatus, retry_after, after_work }) => {
                if after_work {
                    self.work_unseen(call).await;
                }
                Some(faulty(status, substatus, retry_after))
            }
            Some(Effect::Hang(wait)) => {
                tokio::time::sleep(wait).await;
                Some(self.work(call).await)
            }
            Some(Effect::DropResponse) => {
                self.work_unseen(call).await;
                None
            }
            Some(Effect::DropRequest) => {
                self.count(call, None);
                None
            }
        }
    }

    /// Does what is asked, within the throughput.
    async fn work(&self, call: &Call) -> Answer {
        let budget = match (&self.throughput, call.container_path()) {
            (Some(throughput), Some(container)) if call.kind.spends_request_units() => {
                Some((throughput, container, call.partition_key().unwrap_or_default()))
            }
            _ => None,
        };
        if let Some((throughput, container, key)) = budget
            && let Err(wait) = throughput.admit(container, key, Instant::now())
        {
            return throttled(wait);
        }
        let answer = match self.emulator.execute(call).await {
            Ok(answer) => answer,
            Err(error) => internal_error(&format!("{error:#}")),
        };
        if let Some(journal) = &self.journal {
            journal.note(call, &answer);
        }
        if let Some((throughput, container, key)) = budget {
            throughput.spend(container, key, answer.request_units(), Instant::now());
        }
        if call.kind == Kind::Metadata && call.method == "DELETE" && answer.status.is_success() {
            self.counter.forget(&call.path);
        }
        answer
    }

    /// Does what is asked, and counts it although the client never learns of it.
    async fn work_unseen(&self, call: &Call) {
        let done = self.work(call).await;
        self.counter.count(&Served {
            kind: call.kind,
            status: None,
            substatus: 0,
            received: call.body.len(),
            sent: 0,
            request_units: done.request_units(),
            documents: call.container_path().map(|container| (container, done.documents)),
        });
    }

    fn count(&self, call: &Call, answer: Option<&Answer>) {
        let documents = answer.map_or(0, |answer| answer.documents);
        self.counter.count(&Served {
            kind: call.kind,
            status: answer.map(|answer| answer.status),
            substatus: answer.map_or(0, Answer::substatus),
            received: call.body.len(),
            sent: answer.map_or(0, |answer| answer.body.len()),
            request_units: answer.map_or(0.0, Answer::request_units),
            documents: call.container_path().filter(|_| documents != 0).map(|path| (path, documents)),
        });
    }
}

/// Reads a body up to the limit. Of a larger one the rest is read and thrown away, or else the client
/// would meet a closed connection while it is still sending, instead of the answer.
async fn read(body: Body) -> Result<Bytes, Answer> {
    let mut stream = body.into_data_stream();
    let mut body = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Answer::error(StatusCode::BAD_REQUEST, 0, "BadRequest", &format!("the body broke off: {error}"))
        })?;
        length += chunk.len();
        if length <= BODY_LIMIT {
            body.extend_from_slice(&chunk);
        } else if length > DISCARD_LIMIT {
            break;
        }
    }
    if length > BODY_LIMIT {
        let message = "Request size is too large";
        return Err(Answer::error(StatusCode::PAYLOAD_TOO_LARGE, 0, "RequestEntityTooLarge", message));
    }
    Ok(body.freeze())
}

fn response(answer: Answer) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn faulty(status: u16, substatus: u32, retry_after: Option<Duration>) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code: String = status.canonical_reason().unwrap_or("Error").split(' ').collect();
    let mut answer = Answer::error(status, substatus, &code, "The sandbox was asked to answer so.");
    if let Some(wait) = retry_after {
        answer.headers.insert("x-ms-retry-after-ms", millis(wait));
    }
    answer
}

fn throttled(wait: Duration) -> Answer {
    let message = "Request rate is large. More Request Units may be needed, so no changes were made.";
    let mut answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, 3200, "429", message);
    answer.headers.insert("x-ms-retry-after-ms", millis(wait));
    answer
}

fn internal_error(message: &str) -> Answer {
    Answer::error(StatusCode::INTERNAL_SERVER_ERROR, 0, "InternalServerError", message)
}

/// Rounded up: who waits so long and not longer is not early.
fn millis(wait: Duration) -> HeaderValue {
    let millis = wait.as_nanos().div_ceil(1_000_000);
    HeaderValue::from(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The address as an SDK takes it.
pub(super) fn endpoint(address: SocketAddr) -> Result<url::Url, url::ParseError> {
    url::Url::parse(&format!("http://{address}/"))
}
