//! Asking the store, page by page.

use std::io;
use std::num::NonZeroU32;

use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::feed::{FeedScope, QueryFeedPage};
use azure_data_cosmos::models::PartitionKeyValue;
use azure_data_cosmos::options::{
    BinaryEncodingOptions, MaxItemCountHint, OperationOptions, QueryOptions, QueryPlanMode,
};
use azure_data_cosmos::{CosmosError, PartitionKey, Query};
use futures::TryStreamExt;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::aggregate::Folding;
use super::shape::{Fold, Shape, shape};

/// One query.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The query, in Cosmos DB's SQL.
    pub sql: String,
    /// Only this partition: one value for each path of the container's partition key, or for the
    /// first of them. Empty: all partitions.
    pub partition_key: Vec<Value>,
    /// The most documents to read.
    pub limit: Option<u64>,
}

/// What a query came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Documents handed out.
    pub documents: u64,
    /// Documents read to compute the answer here; none when the store computed it.
    pub computed_from: Option<u64>,
    /// Answers of the store.
    pub pages: u64,
    /// What it cost.
    pub request_units: f64,
    /// Whether it ended at `limit`; there may be more.
    pub limited: bool,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It is one that nobody answers over more than one partition.
    #[error(
        "{reason} is not answered over several partitions by Microsoft's SDK, nor here; ask one partition \
         with --partition-key, every level of it, where the store answers it itself"
    )]
    Refused {
        /// What in it.
        reason: &'static str,
    },
    /// A value that no partition key has.
    #[error("{0} cannot be the value of a partition key: it takes strings, numbers, true, false and null")]
    PartitionKey(Value),
    /// More values than the key has levels.
    #[error("{given} values of a partition key were given, but the container's has {}: {}", .paths.len(), .paths.join(", "))]
    TooManyValues {
        /// How many.
        given: usize,
        /// The container's paths.
        paths: Vec<String>,
    },
    /// The store refused it, or cannot be reached.
    #[error(transparent)]
    Store(#[from] CosmosError),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// Asks, and hands out each document as the store wrote it.
///
/// # Errors
/// When the query is refused, here or by the store, and when `each` fails.
pub async fn run(
    container: &ContainerClient,
    request: &Request,
    mut each: impl FnMut(&str) -> io::Result<()>,
) -> Result<Outcome, QueryError> {
    let one_partition = is_one_partition(container, &request.partition_key).await?;
    let scope = scope(&request.partition_key)?;
    if !one_partition {
        match shape(&request.sql) {
            Shape::Plain => {}
            Shape::Fold(fold) => return run_fold(container, &fold, scope, each).await,
            Shape::Refused(reason) => return Err(QueryError::Refused { reason }),
        }
    }
    let mut outcome = Outcome::default();
    let limit = request.limit.unwrap_or(u64::MAX);
    let mut pages = pages::<Box<RawValue>>(container, &request.sql, scope, request.limit).await?;
    while let Some(page) = pages.try_next().await? {
        outcome.count(&page);
        for document in page.items() {
            if outcome.documents == limit {
                break;
            }
            each(document.get())?;
            outcome.documents += 1;
        }
        if outcome.documents == limit {
            outcome.limited = true;
            break;
        }
    }
    Ok(outcome)
}

async fn run_fold(
    container: &ContainerClient,
    fold: &Fold,
    scope: FeedScope,
    mut each: impl FnMut(&str) -> io::Result<()>,
) -> Result<Outcome, QueryError> {
    let mut outcome = Outcome::default();
    let mut folding = Folding::new(fold);
    let mut seen = 0;
    let mut pages = pages::<Map<String, Value>>(container, &fold.projection, scope, None).await?;
    while let Some(page) = pages.try_next().await? {
        outcome.count(&page);
        page.items().iter().for_each(|arguments| folding.add(arguments));
        seen += page.items().len() as u64;
    }
    outcome.computed_from = Some(seen);
    if let Some(answer) = folding.answer(fold) {
        each(&answer)?;
        outcome.documents = 1;
    }
    Ok(outcome)
}

impl Outcome {
    fn count<T>(&mut self, page: &QueryFeedPage<T>) {
        self.pages += 1;
        self.request_units += page.headers().request_charge().map_or(0.0, |charge| charge.value());
    }
}

async fn pages<T: DeserializeOwned + Send + 'static>(
    container: &ContainerClient,
    sql: &str,
    scope: FeedScope,
    limit: Option<u64>,
) -> Result<azure_data_cosmos::feed::QueryPageIterator<T>, CosmosError> {
    let mut operation = OperationOptions::default();
    // As text, numbers come digit by digit as the store has them.
    operation.binary_encoding = Some(BinaryEncodingOptions::new().with_enabled(false));
    let page_size = limit.and_then(|limit| NonZeroU32::new(u32::try_from(limit).ok()?));
    // The SDK's own planner knows neither backslash escapes nor strings in double quotes, and would
    // look for a partition key that it has misread; the service's planner knows its own language.
    let planner =
        if sql.contains(['\\', '"']) { QueryPlanMode::GatewayOnly } else { QueryPlanMode::LocalPreferred };
    let mut options = QueryOptions::default()
        .with_operation_options(operation)
        .with_query_plan_mode(planner)
        .with_max_item_count(page_size.map_or(MaxItemCountHint::ServerDecides, MaxItemCountHint::Limit));
    // Someone is asking by hand: however many physical partitions there are.
    options.feed = options.feed.with_max_fan_out(u32::MAX);
    Ok(container.query_items::<T>(Query::from(sql), scope, Some(options)).await?.into_pages())
}

/// Whether the values are a whole key. The first levels of one may lie in many partitions.
async fn is_one_partition(container: &ContainerClient, values: &[Value]) -> Result<bool, QueryError> {
    if values.is_empty() {
        return Ok(false);
    }
    let properties = container.read(None).await?.into_model()?;
    let paths = properties.partition_key.paths();
    if values.len() > paths.len() {
        let paths = paths.iter().map(ToString::to_string).collect();
        return Err(QueryError::TooManyValues { given: values.len(), paths });
    }
    Ok(values.len() == paths.len())
}

fn scope(values: &[Value]) -> Result<FeedScope, QueryError> {
    if values.is_empty() {
        return Ok(FeedScope::full_container());
    }
    let values: Result<Vec<_>, _> = values
        .iter()
        .map(|value| key_value(value).ok_or_else(|| QueryError::PartitionKey(value.clone())))
        .collect();
    Ok(FeedScope::partition(PartitionKey::try_from(values?)?))
}

/// The value of a partition key that is written so in JSON; none is written as an array or an object.
pub(crate) fn key_value(value: &Value) -> Option<PartitionKeyValue> {
    Some(match value {
        Value::Null => PartitionKeyValue::NULL,
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => PartitionKeyValue::try_from(number.as_f64()?).ok()?,
        Value::String(text) => text.clone().into(),
        Value::Array(_) | Value::Object(_) => return None,
    })
}
