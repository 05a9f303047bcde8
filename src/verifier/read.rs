//! Reading the documents of a container, by the fields that matter.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::feed::{FeedRange, FeedScope, QueryFeedPage, QueryItemIterator};
use azure_data_cosmos::options::{BinaryEncodingOptions, MaxItemCountHint, OperationOptions, QueryOptions};
use azure_data_cosmos::{CosmosError, Query};
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, TryFutureExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::Value;

use super::report::{Expectations, Report, judge};
use super::tally::{Document, Tally};

/// How many physical partitions are read at once.
const AT_ONCE: usize = 8;

/// Which documents to read, and what their fields are called.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The fields' names.
    pub fields: Fields,
    /// Only documents stored at or after this time, to the second.
    pub since: Option<DateTime<Utc>>,
}

/// Names of fields, or paths such as `device/id`.
#[derive(Clone, Debug)]
pub struct Fields {
    /// What names an event; found twice, it is a duplicate.
    pub event_id: String,
    /// What sent it.
    pub device_id: String,
    /// Counts up by one with every event of a device.
    pub sequence: String,
    /// When Kafka took it.
    pub enqueued_at: String,
    /// When the service took it.
    pub processed_at: String,
}

impl Default for Fields {
    /// The sample's.
    fn default() -> Self {
        Self {
            event_id: "eventId".into(),
            device_id: "deviceId".into(),
            sequence: "deviceSequenceNumber".into(),
            enqueued_at: "enqueuedAt".into(),
            processed_at: "processedAt".into(),
        }
    }
}

/// Reads the container and judges what it holds. `documents_read` counts up meanwhile.
///
/// # Errors
/// When the container cannot be read. An assertion that does not hold is no error; see
/// [`Report::holds`].
pub async fn verify(
    container: &ContainerClient,
    selection: &Selection,
    expected: &Expectations,
    documents_read: &AtomicU64,
) -> Result<Report, CosmosError> {
    let began = Instant::now();
    let query = query(selection);
    let ranges = container.read_feed_ranges(None).await?;
    let mut pages =
        stream::iter(ranges).map(|range| pages(container, query.clone(), range)).flatten_unordered(AT_ONCE);
    let mut tally = Tally::default();
    let mut request_units = 0.0;
    while let Some(page) = pages.try_next().await? {
        request_units += page.headers().request_charge().map_or(0.0, |charge| charge.value());
        for row in page.items() {
            tally.add(&row.document());
        }
        documents_read.store(tally.documents, Ordering::Relaxed);
    }
    Ok(judge(&tally, expected, (request_units, began.elapsed())))
}

/// The documents of one range of the container. Ranges are read each by its own query, because a
/// query over the whole container reads one physical partition after the other, and refuses more
/// than a hundred of them.
fn pages(
    container: &ContainerClient,
    query: Query,
    range: FeedRange,
) -> impl Stream<Item = Result<QueryFeedPage<Row>, CosmosError>> + Unpin {
    let mut operation = OperationOptions::default();
    operation.binary_encoding = Some(BinaryEncodingOptions::new().with_enabled(false));
    let options = QueryOptions::default()
        .with_operation_options(operation)
        .with_max_item_count(MaxItemCountHint::ServerDecides);
    let query = container.query_items::<Row>(query, FeedScope::range(range), Some(options));
    Box::pin(query.map_ok(QueryItemIterator::into_pages).try_flatten_stream())
}

/// Asks for short names: they are sent back with every document.
fn query(selection: &Selection) -> Query {
    let Fields { event_id, device_id, sequence, enqueued_at, processed_at } = &selection.fields;
    let fields =
        [(event_id, "e"), (device_id, "d"), (sequence, "s"), (enqueued_at, "q"), (processed_at, "p")];
    let fields: Vec<_> = fields
        .into_iter()
        .filter(|(path, _)| !path.is_empty())
        .map(|(path, name)| format!("c{} AS {name}", access(path)))
        .collect();
    let mut text = format!("SELECT {}, c._ts AS t FROM c", fields.join(", "));
    if let Some(since) = selection.since {
        text = format!("{text} WHERE c._ts >= {}", since.timestamp());
    }
    Query::from(text)
}

/// `['device']['id']` for `/device/id`.
fn access(path: &str) -> String {
    let quoted = |name: &str| format!("['{}']", name.replace('\\', r"\\").replace('\'', r"\'"));
    path.split('/').filter(|name| !name.is_empty()).map(quoted).collect()
}

/// What comes back of a document. A field may be absent, or of any kind.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    e: Value,
    #[serde(default)]
    d: Value,
    #[serde(default)]
    s: Value,
    #[serde(default)]
    q: Value,
    #[serde(default)]
    p: Value,
    t: i64,
}

impl Row {
    fn document(&self) -> Document<'_> {
        Document {
            event_id: name(&self.e),
            device: name(&self.d),
            sequence: self.s.as_u64(),
            stored_at: self.t,
            enqueued_at: millis(&self.q),
            processed_at: millis(&self.p),
        }
    }
}

/// A string, or a number in its digits: an event's id may be an integer, a partition key any number.
fn name(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

fn millis(timestamp: &Value) -> Option<i64> {
    Some(DateTime::parse_from_rfc3339(timestamp.as_str()?).ok()?.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(selection: &Selection) -> String {
        let sent = serde_json::to_value(query(selection)).unwrap_or_else(|error| panic!("{error}"));
        sent["query"].as_str().unwrap_or_else(|| panic!("no text in {sent}")).to_owned()
    }

    #[test]
    fn only_the_fields_that_matter_are_asked_for() {
        assert_eq!(
            text(&Selection::default()),
            "SELECT c['eventId'] AS e, c['deviceId'] AS d, c['deviceSequenceNumber'] AS s, \
             c['enqueuedAt'] AS q, c['processedAt'] AS p, c._ts AS t FROM c"
        );
    }

    #[test]
    fn a_path_is_followed_a_field_without_a_name_left_out_and_an_odd_name_quoted() {
        let fields = Fields {
            event_id: "my 'id'".into(),
            device_id: "/device/id".into(),
            enqueued_at: String::new(),
            processed_at: String::new(),
            ..Fields::default()
        };
        let since = DateTime::from_timestamp(1_558_027_000, 0);
        assert_eq!(
            text(&Selection { fields, since }),
            r"SELECT c['my \'id\''] AS e, c['device']['id'] AS d, c['deviceSequenceNumber'] AS s, c._ts AS t FROM c WHERE c._ts >= 1558027000"
        );
    }

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
    }

    #[test]
    fn a_document_that_is_no_event_still_counts() {
        let row = row(r#"{"e":null,"s":"x","q":"yesterday","t":7}"#);
        let document = row.document();
        assert_eq!((document.event_id, document.device, document.sequence), (None, None, None));
        assert_eq!((document.enqueued_at, document.processed_at, document.stored_at), (None, None, 7));
    }

    #[test]
    fn an_id_may_be_a_number() {
        assert_eq!(row(r#"{"e":5,"t":7}"#).document().event_id.as_deref(), Some("5"));
    }

    #[test]
    fn times_are_read_to_the_millisecond() {
        let row = row(r#"{"q":"2019-05-16T17:16:40.003Z","p":"2019-05-16T17:16:40.120Z","t":1558027001}"#);
        let document = row.document();
        let millis = (document.enqueued_at, document.processed_at);
        assert_eq!(millis, (Some(1_558_027_000_003), Some(1_558_027_000_120)));
    }
}
