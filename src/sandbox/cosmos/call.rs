//! One request as the sandbox sees it: what is asked, of which container, under which partition key.

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a request asks of Cosmos DB. The names are those of `/_sandbox/stats` and of the `kind` of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The account's regions and settings: the first thing an SDK asks.
    Account,
    /// Databases, containers and throughput: read, listed, created, changed or deleted.
    Metadata,
    /// The key ranges of the physical partitions, which an SDK needs to route a query.
    PartitionKeyRanges,
    /// One document by its id.
    Read,
    /// All documents, or the change feed.
    ReadFeed,
    /// SQL over documents.
    Query,
    /// How a query spreads over partitions, asked before the query itself.
    QueryPlan,
    /// A new document.
    Create,
    /// A new or changed document.
    Upsert,
    /// A changed document.
    Replace,
    /// A changed part of a document.
    Patch,
    /// A document less.
    Delete,
    /// Several writes of one partition key, all or none.
    Batch,
    /// Anything else.
    Other,
}

impl Kind {
    /// Whether the request reads or writes documents, and so costs request units of a container.
    pub(super) fn spends_request_units(self) -> bool {
        !matches!(
            self,
            Self::Account | Self::Metadata | Self::PartitionKeyRanges | Self::QueryPlan | Self::Other
        )
    }

    fn of(method: &Method, segments: &[&str], headers: &HeaderMap) -> Self {
        let says = |name: &str| {
            headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
        };
        let is_query = says("x-ms-documentdb-isquery") || says("x-ms-documentdb-query");
        match (method.as_str(), segments) {
            ("GET", []) => Self::Account,
            (_, ["dbs", _, "colls", _, "pkranges", ..]) => Self::PartitionKeyRanges,
            ("GET", ["dbs", _, "colls", _, "docs"]) => Self::ReadFeed,
            ("GET", ["dbs", _, "colls", _, "docs", _]) => Self::Read,
            ("PUT", ["dbs", _, "colls", _, "docs", _]) => Self::Replace,
            ("PATCH", ["dbs", _, "colls", _, "docs", _]) => Self::Patch,
            ("DELETE", ["dbs", _, "colls", _, "docs", _]) => Self::Delete,
            ("POST", ["dbs", _, "colls", _, "docs"]) => {
                if says("x-ms-cosmos-is-query-plan-request") {
                    Self::QueryPlan
                } else if is_query {
                    Self::Query
                } else if says("x-ms-cosmos-is-batch-request") {
                    Self::Batch
                } else if says("x-ms-documentdb-is-upsert") {
                    Self::Upsert
                } else {
                    Self::Create
                }
            }
            (_, ["dbs"] | ["dbs", _] | ["dbs", _, "colls"] | ["dbs", _, "colls", _] | ["offers", ..]) => {
                Self::Metadata
            }
            _ => Self::Other,
        }
    }
}

/// One request, its path tidied up.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// The path as it came, still percent-encoded, without a slash at either end.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) kind: Kind,
    /// Which of the account's regions is asked.
    pub(super) region: usize,
}

impl Call {
    /// Takes a request apart. A slash at the end is dropped: Microsoft's Python SDK ends its paths
    /// with one, the service takes it, and the emulator refuses it. It goes to the first region.
    pub(super) fn new(
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Self {
        let path = path.trim_matches('/').to_owned();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let kind = Kind::of(&method, &segments, &headers);
        Self { method, path, query: query.map(str::to_owned), headers, body, kind, region: 0 }
    }

    /// The partition key as the client sent it: a JSON array, such as `["device-1"]`.
    pub(super) fn partition_key(&self) -> Option<&str> {
        self.header("x-ms-documentdb-partitionkey")
    }

    /// `dbs/{database}/colls/{container}`, when the request is about a container.
    pub(super) fn container_path(&self) -> Option<&str> {
        container_path(&self.path)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The `dbs/{database}/colls/{container}` that a path begins with.
pub(super) fn container_path(path: &str) -> Option<&str> {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    let third = slashes.nth(2)?;
    let end = slashes.next().unwrap_or(path.len());
    let container = &path[..end];
    (container.starts_with("dbs/") && container[..=third].ends_with("/colls/")).then_some(container)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn call(method: &str, path: &str, headers: &[(&'static str, &'static str)]) -> Call {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Call::new(method.parse().unwrap(), path, None, headers.collect(), Bytes::new())
    }

    #[test]
    fn what_a_request_asks_follows_from_its_method_its_path_and_its_headers() {
        let docs = "/dbs/a/colls/b/docs";
        let table = [
            ("GET", "/", &[][..], Kind::Account),
            ("GET", "/dbs/a", &[], Kind::Metadata),
            ("POST", "/dbs/a/colls", &[], Kind::Metadata),
            ("DELETE", "/dbs/a/colls/b/", &[], Kind::Metadata),
            ("GET", "/offers", &[], Kind::Metadata),
            ("GET", "/dbs/a/colls/b/pkranges", &[], Kind::PartitionKeyRanges),
            ("GET", docs, &[], Kind::ReadFeed),
            ("GET", "/dbs/a/colls/b/docs/1", &[], Kind::Read),
            ("PUT", "/dbs/a/colls/b/docs/1", &[], Kind::Replace),
            ("DELETE", "/dbs/a/colls/b/docs/1/", &[], Kind::Delete),
            ("POST", docs, &[], Kind::Create),
            ("POST", docs, &[("x-ms-documentdb-is-upsert", "True")], Kind::Upsert),
            ("POST", docs, &[("x-ms-cosmos-is-batch-request", "true")], Kind::Batch),
            ("POST", docs, &[("x-ms-documentdb-isquery", "True")], Kind::Query),
            (
                "POST",
                docs,
                &[("x-ms-documentdb-isquery", "True"), ("x-ms-cosmos-is-query-plan-request", "True")],
                Kind::QueryPlan,
            ),
            ("POST", "/dbs/a/colls/b/sprocs", &[], Kind::Other),
        ];
        for (method, path, headers, kind) in table {
            assert_eq!(call(method, path, headers).kind, kind, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn a_slash_at_the_end_of_a_path_is_dropped() {
        assert_eq!(call("POST", "/dbs/a/colls/b/docs/", &[]).path, "dbs/a/colls/b/docs");
    }

    #[test]
    fn the_container_of_a_request_is_the_first_half_of_its_path() {
        let container = |path: &str| call("GET", path, &[]).container_path().map(str::to_owned);
        assert_eq!(container("/dbs/a/colls/b").as_deref(), Some("dbs/a/colls/b"));
        assert_eq!(container("/dbs/a/colls/b/docs/c").as_deref(), Some("dbs/a/colls/b"));
        assert_eq!(container("/dbs/colls/colls/b/docs").as_deref(), Some("dbs/colls/colls/b"));
        for elsewhere in ["/", "/dbs/a", "/dbs/a/colls", "/offers/a/b/c", "/dbs/a/users/b"] {
            assert_eq!(container(elsewhere), None, "{elsewhere}");
        }
    }
}
