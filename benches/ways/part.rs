//! One run, in a process of its own.

use std::env;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::Secret;
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::options::{
    BatchOptions, BinaryEncodingOptions, ContentResponseOnWrite, ItemWriteOptions, OperationOptions,
    OperationOptionsBuilder,
};
use azure_data_cosmos::{
    AccountEndpoint, AccountReference, CosmosClient, PartitionKey, RoutingStrategy, TransactionalBatch,
};
use azure_data_cosmos_driver::models::Credential;
use futures::StreamExt;
use serde_json::value::RawValue;
use streamproc::core::key::KeyPart;
use streamproc::core::records::Records;
use streamproc::core::transform::Document;
use streamproc::core::write::body;
use streamproc::core::write::plan::Versions;
use streamproc::sandbox::public_key;
use streamproc::store::cosmos::{Cosmos, Target};
use streamproc::store::{Kind, Request, Store};
use tokio::runtime::Builder;
use url::Url;

use crate::steps::Steps;
use crate::support::process::Process;
use crate::usage;

/// Holds the run that this process is.
const PART: &str = "STREAMPROC_BENCH_WAYS";

/// Documents in memory, written again and again.
const DOCUMENTS: usize = 10_000;

/// As many requests at a time as the service has in flight.
const AT_ONCE: usize = 64;

const WARM_UP: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Service,
    Sdk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Cpu,
    /// On one thread, the only one that is counted.
    Allocations,
}

#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub way: Way,
    /// In one request.
    pub documents: usize,
    pub requests: usize,
    pub counted: Counted,
}

impl Run {
    /// Runs it; gives microseconds or allocations a document.
    pub fn start(self, endpoint: &Url) -> f64 {
        let part = format!("{:?} {:?} {} {}", self.way, self.counted, self.documents, self.requests);
        eprintln!("{part} ...");
        let mut command = Command::new(env::current_exe().unwrap());
        // Backtraces of errors that nobody sees cost more than the request (docs/performance.md).
        command.arg(endpoint.as_str()).env(PART, &part).env("RUST_LIB_BACKTRACE", "0");
        let process = Process::start("a run", &mut command);
        let status = process.wait_for_exit(Duration::from_mins(10));
        assert!(status.success(), "{}", process.tail());
        let last = process.stdout().last().and_then(|line| line.parse().ok());
        last.unwrap_or_else(|| panic!("{}", process.tail()))
    }

    fn of(part: &str) -> Self {
        let [way, counted, documents, requests] =
            part.split(' ').collect::<Vec<_>>().try_into().expect("four words");
        Self {
            way: if way == "Sdk" { Way::Sdk } else { Way::Service },
            counted: if counted == "Cpu" { Counted::Cpu } else { Counted::Allocations },
            documents: documents.parse().unwrap(),
            requests: requests.parse().unwrap(),
        }
    }
}

pub fn is_asked_for() -> bool {
    env::var_os(PART).is_some()
}

pub fn main() {
    let run = Run::of(&env::var(PART).unwrap());
    let endpoint: Url = env::args().nth(1).unwrap().parse().unwrap();
    let mut builder = match run.counted {
        Counted::Cpu => Builder::new_multi_thread(),
        Counted::Allocations => Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build().unwrap();
    // In a task, as in the service.
    let write = |client: &Arc<Client>, load: &Arc<Load>, requests| {
        let (client, load) = (Arc::clone(client), Arc::clone(load));
        runtime.block_on(async { tokio::spawn(write(client, load, requests)).await.unwrap() });
    };
    let load = Arc::new(Load::new(run.documents));
    let client = Arc::new(runtime.block_on(Client::connect(run.way, &endpoint)));
    write(&client, &load, WARM_UP.min(run.requests));
    let counted = match run.counted {
        Counted::Cpu => {
            let before = usage::cpu(std::process::id());
            write(&client, &load, run.requests);
            usage::cpu(std::process::id()).saturating_sub(before).as_secs_f64() * 1e6
        }
        Counted::Allocations => {
            allocation_counter::measure(|| write(&client, &load, run.requests)).count_total as f64
        }
    };
    println!("{}", counted / (run.requests * run.documents) as f64);
}

async fn write(client: Arc<Client>, load: Arc<Load>, requests: usize) {
    futures::stream::iter(load.groups.iter().cycle().take(requests))
        .for_each_concurrent(AT_ONCE, |group| client.write(&load, group))
        .await;
}

/// The sample's events, decoded and grouped as the service does it.
struct Load {
    records: Records,
    documents: Vec<Document>,
    groups: Vec<Vec<Versions>>,
}

impl Load {
    fn new(in_request: usize) -> Self {
        let steps = Steps::new(DOCUMENTS, (DOCUMENTS / in_request) as u64);
        let records = steps.copy();
        let documents = steps.decode(&records);
        let lanes = Steps::group(&documents);
        let groups: Vec<_> = lanes.iter().map(|lane| lane.request().unwrap().to_vec()).collect();
        assert!(groups.iter().all(|group| group.len() == in_request));
        Self { records, documents, groups }
    }

    /// The document and the event that it is made of.
    fn document(&self, record: usize) -> (&Document, &[u8]) {
        (&self.documents[record], self.records.value(record).unwrap())
    }

    /// The document as text, for the SDK to take.
    fn text(&self, record: usize) -> Box<RawValue> {
        let (document, event) = self.document(record);
        let mut text = Vec::with_capacity(document.body_len());
        document.write_body(event, &mut text);
        RawValue::from_string(String::from_utf8(text).unwrap()).unwrap()
    }
}

enum Client {
    Service(Box<Cosmos>),
    Sdk(Box<ContainerClient>),
}

impl Client {
    async fn connect(way: Way, endpoint: &Url) -> Self {
        match way {
            Way::Service => {
                let target = Target {
                    endpoint: endpoint.clone(),
                    regions: vec!["West Europe".to_owned()],
                    database: "streaming".to_owned(),
                    container: "rawdata".to_owned(),
                    partition_key_paths: vec!["/deviceId".to_owned()],
                    request_timeout: Duration::from_secs(25),
                    allow_multiple_write_regions: false,
                    credential: Arc::new(|| Ok(Credential::AccountKey(Secret::new(public_key())))),
                };
                Self::Service(Box::new(Cosmos::connect(target).await.unwrap()))
            }
            Way::Sdk => {
                let endpoint: AccountEndpoint = endpoint.as_str().parse().unwrap();
                let account = AccountReference::with_authentication_key(endpoint, public_key());
                let client = CosmosClient::builder()
                    .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
                    .build(account, RoutingStrategy::PreferredRegions(vec!["West Europe".into()]))
                    .await
                    .unwrap();
                let database = client.database_client("streaming");
                Self::Sdk(Box::new(database.container_client("rawdata", None).await.unwrap()))
            }
        }
    }

    async fn write(&self, load: &Load, group: &[Versions]) {
        let first = load.document(group[0].newest).0;
        match self {
            Self::Service(store) => {
                let kind = if group.len() == 1 { Kind::Point(&first.id) } else { Kind::Batch(group.len()) };
                let body = body::of(group, |record| Some(load.document(record)));
                let answer = store.write(Request { key: &first.key, kind, body }).await;
                assert!(answer.status.is_success(), "{answer:?}");
            }
            Self::Sdk(container) if group.len() == 1 => {
                let text = load.text(group[0].newest);
                let options = ItemWriteOptions::default().with_operation_options(options());
                container.upsert_item(key(first), &first.id.0, text, Some(options)).await.unwrap();
            }
            Self::Sdk(container) => {
                let mut batch = TransactionalBatch::new(key(first));
                for versions in group {
                    batch = batch.upsert_item(load.text(versions.newest), None).unwrap();
                }
                let options = BatchOptions::default().with_operation_options(options());
                container.execute_transactional_batch(batch, Some(options)).await.unwrap();
            }
        }
    }
}

fn key(document: &Document) -> PartitionKey {
    match document.key.0.as_slice() {
        [KeyPart::String(device)] => PartitionKey::from(device.to_string()),
        other => panic!("{other:?}"),
    }
}

/// What the service asks of the driver as well, as far as it costs anything.
fn options() -> OperationOptions {
    OperationOptionsBuilder::new()
        .with_content_response_on_write(ContentResponseOnWrite::Disabled)
        .with_end_to_end_latency_policy(Duration::from_secs(25).into())
        .with_session_capturing_disabled(true)
        .build()
}
