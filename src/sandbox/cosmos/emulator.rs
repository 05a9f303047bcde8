//! Microsoft's in-memory emulator, driven by requests as they come over HTTP, with its gaps mended.
//!
//! Mended here, because the service's clients and our own decisions depend on it (docs/sandbox.md lists
//! what is left):
//! - paths made of resource ids instead of names, which the emulator does not know;
//! - 404 in a missing container or database without substatus: the service says 1003;
//! - 400 for a document of another partition key than the header's without substatus: the service says 1001;
//! - the request charge of writes (see [`super::throughput`]).

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use azure_core::http::Request;
use azure_data_cosmos_driver::in_memory_emulator::{
    EmulatorStore, InMemoryEmulatorHttpClient, ReplicationConfig, VirtualAccountConfig, VirtualRegion,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use url::Url;

use super::ContainerOptions;
use super::call::{Call, Kind, container_path};
use super::ranges::{self, CoarseContainers};
use super::throughput::write_charge;

const SUBSTATUS: HeaderName = HeaderName::from_static("x-ms-substatus");
const CHARGE: HeaderName = HeaderName::from_static("x-ms-request-charge");

/// An answer of Cosmos DB.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How many documents more or less there are after a write.
    pub(super) documents: i64,
}

impl Answer {
    /// An answer of the sandbox itself, in the form of the service's errors.
    pub(super) fn error(status: StatusCode, substatus: u32, code: &str, message: &str) -> Self {
        let body = json!({ "code": code, "message": message }).to_string();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert(CHARGE, HeaderValue::from_static("0"));
        if let Ok(id) = HeaderValue::try_from(uuid::Uuid::new_v4().to_string()) {
            headers.insert("x-ms-activity-id", id);
        }
        if substatus != 0 {
            headers.insert(SUBSTATUS, substatus.into());
        }
        Self { status, headers, body: body.into(), documents: 0 }
    }

    pub(super) fn substatus(&self) -> u32 {
        let value = self.headers.get(SUBSTATUS).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    pub(super) fn request_units(&self) -> f64 {
        let value = self.headers.get(CHARGE).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    fn set_charge(&mut self, request_units: f64) {
        if let Ok(value) = HeaderValue::try_from(format!("{request_units:.2}")) {
            self.headers.insert(CHARGE, value);
        }
    }
}

/// How large a container is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) physical_partitions: u32,
    /// Request units a second.
    pub(super) throughput: Option<u64>,
}

/// One of the account's regions, and where the account says that it is.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) gateway: Url,
}

/// The emulator behind a gateway address for each region.
pub(super) struct Emulator {
    client: InMemoryEmulatorHttpClient,
    regions: Vec<Region>,
    /// Resource id → name, of databases and of containers. Forgotten whenever one is created or deleted.
    names: Mutex<HashMap<String, String>>,
    coarse: CoarseContainers,
}

impl Emulator {
    /// An empty account of these regions. The first one takes the writes; what it has written is in the others when
    /// it answers, as in an account of strong consistency.
    pub(super) fn new(regions: Vec<Region>) -> anyhow::Result<Self> {
        let virtual_regions =
            regions.iter().map(|region| VirtualRegion::new(&region.name, region.gateway.clone())).collect();
        let account = VirtualAccountConfig::new(virtual_regions)?
            .with_replication_config(ReplicationConfig::immediate());
        let client = InMemoryEmulatorHttpClient::try_new(account)?;
        Ok(Self { client, regions, names: Mutex::default(), coarse: CoarseContainers::default() })
    }

    /// The region that takes the writes now.
    pub(super) fn writing(&self) -> usize {
        let name = self.store().config().write_region_name();
        self.region(&name).unwrap_or_default()
    }

    /// Which region has this name.
    pub(super) fn region(&self, name: &str) -> Option<usize> {
        self.regions.iter().position(|region| region.name == name)
    }

    pub(super) fn store(&self) -> Arc<EmulatorStore> {
        self.client.store()
    }

    /// Carries out one request.
    pub(super) async fn execute(&self, call: &Call) -> anyhow::Result<Answer> {
        let path = self.named_path(&call.path).await?;
        let shown = container_path(&path).and_then(|container| self.coarse.shown(container));
        let mut headers = Cow::Borrowed(&call.headers);
        if let Some(shown) = shown
            && let Err(refusal) = ranges::translate(call, shown, headers.to_mut())
        {
            return Ok(*refusal);
        }
        let mut answer =
            self.send(call.region, &call.method, &path, call.query.as_deref(), &headers, &call.body).await?;
        if call.kind == Kind::Metadata && call.method != Method::GET {
            self.names().clear();
            if call.method == Method::DELETE && answer.status.is_success() {
                self.coarse.forget(&path);
            }
        }
        if let Some(shown) = shown {
            ranges::disguise(call.kind, shown, &mut answer);
        }
        mend_substatus(call.kind, &mut answer);
        if answer.status.is_success() {
            account_for_writes(call, &mut answer);
        }
        Ok(answer)
    }

    /// Creates a database. Nothing happens when it is there already.
    pub(super) async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let body = json!({ "id": name }).to_string();
        let answer =
            self.send(self.writing(), &Method::POST, "dbs", None, &HeaderMap::new(), &body.into()).await?;
        ensure!(
            answer.status.is_success() || answer.status == StatusCode::CONFLICT,
            "database {name}: {}",
            message(&answer)
        );
        Ok(())
    }

    /// Creates a container of so many physical partitions.
    ///
    /// The emulator lets its caller choose either the number of partitions or the unique keys: the number
    /// only through its store, unique keys only through the REST API, which makes four partitions. So it
    /// is created through the REST API, and its partitions are divided until there are enough.
    pub(super) async fn create_container(
        &self,
        database: &str,
        container: &ContainerOptions,
        shape: Shape,
    ) -> anyhow::Result<()> {
        let ContainerOptions { name, partition_key, unique_keys } = container;
        let unique: Vec<_> = unique_keys.iter().map(|path| json!({ "paths": [rooted(path)] })).collect();
        let body = json!({
            "id": name,
            "partitionKey": {
                "paths": partition_key.iter().map(|path| rooted(path)).collect::<Vec<_>>(),
                "kind": if partition_key.len() > 1 { "MultiHash" } else { "Hash" },
                "version": 2,
            },
            "uniqueKeyPolicy": { "uniqueKeys": unique },
        });
        let mut headers = HeaderMap::new();
        if let Some(throughput) = shape.throughput {
            headers.insert("x-ms-offer-throughput", throughput.into());
        }
        let path = format!("dbs/{database}/colls");
        let answer =
            self.send(self.writing(), &Method::POST, &path, None, &headers, &body.to_string().into()).await?;
        ensure!(answer.status.is_success(), "container {name}: {}", message(&answer));
        self.names().clear();
        let divided = self.divide(database, name, shape.physical_partitions).await;
        divided.with_context(|| format!("container {name}"))?;
        let shown = ranges::shown(shape);
        if shape.physical_partitions > shown {
            self.coarse.add(format!("{path}/{name}"), shown);
        }
        Ok(())
    }

    /// Halves partitions, the oldest first, or joins neighbours, until there are `wanted`.
    async fn divide(&self, database: &str, container: &str, wanted: u32) -> anyhow::Result<()> {
        let store = self.store();
        let path = format!("dbs/{database}/colls/{container}/pkranges");
        let answer =
            self.send(self.writing(), &Method::GET, &path, None, &HeaderMap::new(), &Bytes::new()).await?;
        let ranges: KeyRanges = serde_json::from_slice(&answer.body)?;
        let mut partitions: VecDeque<u32> =
            ranges.ranges.iter().map(|range| range.id.parse()).collect::<Result<_, _>>()?;
        while partitions.len() < wanted as usize {
            let Some(whole) = partitions.pop_front() else { bail!("it has no partition") };
            let middle = store.midpoint_split_epk(database, container, whole)?;
            let halves =
                store.split_partition_and_wait(database, container, whole, middle, Duration::ZERO).await?;
            partitions.extend(halves);
        }
        while partitions.len() > wanted.max(1) as usize {
            let (Some(left), Some(right)) = (partitions.pop_front(), partitions.pop_front()) else { break };
            let joined =
                store.merge_partitions_and_wait(database, container, left, right, Duration::ZERO).await?;
            partitions.push_front(joined);
        }
        Ok(())
    }

    /// The same path with names in place of resource ids.
    async fn named_path<'a>(&self, path: &'a str) -> anyhow::Result<Cow<'a, str>> {
        let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
        let is_id = |segments: &[String], at: usize, kind: &str, length: usize| {
            segments[at - 1] == kind && segments[at].len() == length && segments[at].ends_with('=')
        };
        if segments.len() < 2 || !is_id(&segments, 1, "dbs", 8) {
            return Ok(path.into());
        }
        if let Some(name) = self.name_of(&segments[1]).await? {
            segments[1] = name;
        }
        if segments.len() > 3
            && is_id(&segments, 3, "colls", 12)
            && let Some(name) = self.name_of(&segments[3]).await?
        {
            segments[3] = name;
        }
        Ok(segments.join("/").into())
    }

    async fn name_of(&self, id: &str) -> anyhow::Result<Option<String>> {
        let known = self.names().get(id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let mut names = HashMap::new();
        for database in self.list("dbs").await?.databases {
            let path = format!("dbs/{}/colls", database.id);
            let containers = self.list(&path).await?.containers;
            names.extend(containers.into_iter().map(|container| (container.rid, container.id)));
            names.insert(database.rid, database.id);
        }
        let name = names.get(id).cloned();
        *self.names() = names;
        Ok(name)
    }

    async fn list(&self, path: &str) -> anyhow::Result<Listing> {
        let answer =
            self.send(self.writing(), &Method::GET, path, None, &HeaderMap::new(), &Bytes::new()).await?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    fn names(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The emulator knows by a request's address which region is asked.
    async fn send(
        &self,
        region: usize,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> anyhow::Result<Answer> {
        let mut url = self.regions.get(region).context("no such region")?.gateway.clone();
        url.set_path(path);
        url.set_query(query);
        let mut request = Request::new(url, method.as_str().parse()?);
        for (name, value) in headers {
            if let Ok(value) = value.to_str() {
                request.insert_header(name.as_str().to_owned(), value.to_owned());
            }
        }
        request.set_body(body.clone());
        let response = self.client.execute_request(&request).await?.try_into_raw_response().await?;
        let mut headers = HeaderMap::new();
        for (name, value) in response.headers().iter() {
            headers.insert(HeaderName::try_from(name.as_str())?, HeaderValue::try_from(value.as_str())?);
        }
        Ok(Answer {
            status: StatusCode::from_u16(u16::from(response.status()))?,
            headers,
            body: Bytes::from(response.into_body()),
            documents: 0,
        })
    }
}

#[derive(Deserialize)]
struct KeyRanges {
    #[serde(rename = "PartitionKeyRanges")]
    ranges: Vec<KeyRange>,
}

#[derive(Deserialize)]
struct KeyRange {
    id: String,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default, rename = "Databases")]
    databases: Vec<Named>,
    #[serde(default, rename = "DocumentCollections")]
    containers: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(rename = "_rid")]
    rid: String,
}

/// `deviceId` and `/deviceId` mean the same.
fn rooted(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

fn message(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

fn mend_substatus(kind: Kind, answer: &mut Answer) {
    if answer.headers.contains_key(SUBSTATUS) {
        return;
    }
    let says = |text: &str| answer.body.windows(text.len()).any(|window| window == text.as_bytes());
    let substatus: u32 = match answer.status {
        StatusCode::NOT_FOUND
            if kind != Kind::Metadata
                && (says(r#""message":"Container '"#) || says(r#""message":"Database '"#)) =>
        {
            1003
        }
        StatusCode::BAD_REQUEST if says("partition key extracted from the document does not match") => 1001,
        _ => return,
    };
    answer.headers.insert(SUBSTATUS, substatus.into());
}

/// Puts the charge of a write into its answer, and counts the documents it made or deleted.
fn account_for_writes(call: &Call, answer: &mut Answer) {
    let replaced = answer.status == StatusCode::OK;
    match call.kind {
        Kind::Create | Kind::Upsert | Kind::Replace => {
            answer.set_charge(write_charge(call.body.len(), replaced));
            answer.documents = i64::from(!replaced);
        }
        Kind::Delete => answer.documents = -1,
        Kind::Batch if answer.status == StatusCode::OK => account_for_batch(call, answer),
        _ => {}
    }
}

fn account_for_batch(call: &Call, answer: &mut Answer) {
    type Result<'a> = std::collections::BTreeMap<&'a str, &'a RawValue>;
    let Ok(operations) = serde_json::from_slice::<Vec<&RawValue>>(&call.body) else { return };
    let Ok(mut results) = serde_json::from_slice::<Vec<Result<'_>>>(&answer.body) else { return };
    let status = |result: &Result<'_>| result.get("statusCode").map_or("", |status| status.get()).to_owned();
    let charges: Vec<f64> = operations
        .iter()
        .zip(&results)
        .map(|(operation, result)| match status(result).as_str() {
            "200" => write_charge(operation.get().len(), true),
            _ => write_charge(operation.get().len(), false),
        })
        .collect();
    let written: Vec<Box<RawValue>> =
        charges.iter().filter_map(|charge| RawValue::from_string(format!("{charge:.2}")).ok()).collect();
    let mut documents = 0;
    for (result, charge) in results.iter_mut().zip(&written) {
        match status(result).as_str() {
            "201" => documents += 1,
            "204" => documents -= 1,
            _ => {}
        }
        result.insert("requestCharge", charge);
    }
    if let Ok(body) = serde_json::to_vec(&results) {
        answer.documents = documents;
        answer.set_charge(charges.iter().sum());
        answer.body = body.into();
    }
}
