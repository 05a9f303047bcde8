//! `streamproc query`: SQL over the container.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write, stdout};
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{FAILED, USAGE, connect, store_error};
use crate::config::Config;
use crate::core::shown;
use crate::query::{self, Outcome, QueryError, Request};

const EXAMPLES: &str = "\
Documents come as the store writes them, one a line. COUNT, SUM, MIN, MAX and AVG over all partitions are \
computed here, from their arguments: every document that WHERE lets through is charged for. What is more \
than that, and GROUP BY, is answered in one partition only: name it with --partition-key, each level of it.

Examples:
  streamproc query -c config/local.toml \"SELECT * FROM c WHERE c.type = 'CO2'\" --limit 10
  streamproc query -c config/local.toml \"SELECT VALUE COUNT(1) FROM c\"
  streamproc query -c config/local.toml --partition-key contoso-device-id-7 \\
      \"SELECT c.type, COUNT(1) AS n FROM c GROUP BY c.type\"";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The query, in Cosmos DB's SQL.
    sql: String,
    /// Only this partition; again for each level of a hierarchical key. JSON, or else a string: 7 is
    /// a number, '"7"' is not.
    #[arg(long, value_name = "VALUE", value_parser = key_value, allow_hyphen_values = true)]
    partition_key: Vec<Value>,
    /// The most documents; 0 is all of them. Without it, 100 on a terminal or in a table, else all.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Output::Json)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Output {
    /// One JSON document a line, as the store wrote it.
    Json,
    /// A table, values cut to a readable width; without _rid, _self, _etag and _attachments.
    Table,
}

/// How many documents someone wants to see who has not said.
const A_SCREENFUL: u64 = 100;

// Clap wants a Result.
#[allow(clippy::unnecessary_wraps)]
fn key_value(text: &str) -> Result<Value, std::convert::Infallible> {
    Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}

pub(super) async fn run(args: Args, config: &Config) -> ExitCode {
    let container = match connect::container(&config.cosmos).await {
        Ok(container) => container,
        Err(error) => return connect::fail(&error),
    };
    let on_terminal = stdout().is_terminal();
    let seen_by_someone = on_terminal || args.output == Output::Table;
    let request = Request {
        sql: args.sql,
        partition_key: args.partition_key,
        limit: args.limit.or(seen_by_someone.then_some(A_SCREENFUL)).filter(|limit| *limit > 0),
    };
    let answered = match args.output {
        Output::Json => {
            let mut out = BufWriter::new(stdout());
            let answered = query::run(&container, &request, |document| {
                let document = one_line(document);
                let document = if on_terminal { shown::json(&document) } else { document };
                writeln!(out, "{document}")
            });
            let answered = answered.await;
            answered.and_then(|outcome| Ok(out.flush().map(|()| outcome)?))
        }
        Output::Table => {
            let mut documents = Documents::default();
            let answered = query::run(&container, &request, |document| documents.add(document)).await;
            answered.and_then(|outcome| Ok(writeln!(stdout(), "{}", documents.table()).map(|()| outcome)?))
        }
    };
    match answered {
        Ok(outcome) => {
            super::remark(&closing(&outcome, args.limit));
            ExitCode::SUCCESS
        }
        // Whoever reads has read enough.
        Err(QueryError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(QueryError::Store(error)) => super::fail(FAILED, &anyhow::anyhow!(store_error::explain(&error))),
        Err(
            error @ (QueryError::Refused { .. }
            | QueryError::PartitionKey(_)
            | QueryError::TooManyValues { .. }),
        ) => super::fail(USAGE, &error.into()),
        Err(error @ QueryError::Output(_)) => super::fail(FAILED, &error.into()),
    }
}

/// A document on one line. A line break can stand only between its parts.
fn one_line(document: &str) -> Cow<'_, str> {
    if document.contains(['\n', '\r']) { document.replace(['\n', '\r'], "").into() } else { document.into() }
}

fn closing(outcome: &Outcome, asked: Option<u64>) -> String {
    let Outcome { documents, request_units, .. } = outcome;
    let counted = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let what = match outcome.computed_from {
        Some(read) if *documents == 0 => {
            format!("the result is undefined, computed from {}", counted(read, "document"))
        }
        Some(read) => format!("computed from {}", counted(read, "document")),
        None => counted(*documents, "document"),
    };
    let more = match (outcome.limited, asked) {
        (false, _) => "",
        (true, Some(_)) => "; there may be more",
        (true, None) => "; there may be more, --limit 0 shows all",
    };
    format!("{what}, {}, {request_units:.2} RU{more}", counted(outcome.pages, "page"))
}

/// The documents of a table, and the fields they have, in the order in which they came.
#[derive(Default)]
struct Documents {
    fields: Vec<String>,
    rows: Vec<Row>,
}

/// What the store adds to every document and nobody wants to read.
const BOOKKEEPING: [&str; 4] = ["_rid", "_self", "_etag", "_attachments"];

/// The widest cell.
const WIDEST: usize = 60;

impl Documents {
    fn add(&mut self, document: &str) -> io::Result<()> {
        let row = if document.starts_with('{') {
            serde_json::from_str(document)?
        } else {
            Row(vec![("value".to_owned(), serde_json::from_str(document)?)])
        };
        let whole = BOOKKEEPING.iter().all(|field| row.get(field).is_some());
        for (field, _) in &row.0 {
            if !(self.fields.contains(field) || whole && BOOKKEEPING.contains(&field.as_str())) {
                self.fields.push(field.clone());
            }
        }
        self.rows.push(row);
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(self.fields.iter().map(|field| shown::text(field)));
        for row in &self.rows {
            table.add_row(self.fields.iter().map(|field| row.get(field).map_or_else(String::new, cell)));
        }
        table
    }
}

/// A document for somebody who looks at its beginning: without what the store has added, and what has
/// parts of its own at the end.
#[cfg(feature = "sandbox")]
pub(super) fn at_a_glance(document: &str) -> serde_json::Result<String> {
    let Row(mut fields) = serde_json::from_str(document)?;
    fields.retain(|(name, _)| !BOOKKEEPING.contains(&name.as_str()));
    fields.sort_by_key(|(_, value)| value.is_object() || value.is_array());
    let members: Vec<_> =
        fields.into_iter().map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    Ok(format!("{{{}}}", members.join(",")))
}

/// The fields of one document, in their order: a `Map` would sort them.
#[derive(Default)]
struct Row(Vec<(String, Value)>);

impl Row {
    fn get(&self, field: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Row::default())
    }
}

impl<'de> Visitor<'de> for Row {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<Self, A::Error> {
        while let Some(field) = fields.next_entry()? {
            self.0.push(field);
        }
        Ok(self)
    }
}

fn cell(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let text = shown::text(&text);
    match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_partition_key_is_json_or_else_a_string() {
        let table = [
            ("device-7", json!("device-7")),
            ("7", json!(7)),
            ("\"7\"", json!("7")),
            ("true", json!(true)),
            ("null", json!(null)),
            ("-1.5", json!(-1.5)),
        ];
        for (text, value) in table {
            assert_eq!(key_value(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_document_is_one_line_and_otherwise_as_it_came() {
        let document = one_line("{\"a\": 1.10,\r\n \"b\":\"x\\ny\"}");
        assert_eq!(document, "{\"a\": 1.10, \"b\":\"x\\ny\"}");
    }

    #[test]
    fn a_table_has_the_fields_of_all_documents_and_no_bookkeeping() {
        let mut documents = Documents::default();
        documents.add(r#"{"_rid":1,"_self":1,"_etag":1,"_attachments":1,"n":1,"id":"a"}"#).unwrap();
        documents.add(r#"{"id":"b","m":{"x":[1,2]}}"#).unwrap();
        documents.add("7").unwrap();
        assert_eq!(documents.fields, ["n", "id", "m", "value"]);
        let text = documents.table().to_string();
        assert!(text.contains(r#"{"x":[1,2]}"#), "{text}");
        assert!(!text.contains("_rid"), "{text}");
    }

    #[cfg(feature = "sandbox")]
    #[test]
    fn what_is_small_comes_first_and_bookkeeping_not_at_all() {
        let document = r#"{"_etag":"x","b":{"z":1,"y":"\""},"_rid":"r","a":[1.5],"n":7,"id":"i"}"#;
        assert_eq!(at_a_glance(document).unwrap(), r#"{"n":7,"id":"i","b":{"y":"\"","z":1},"a":[1.5]}"#);
    }

    #[test]
    fn asked_for_by_name_bookkeeping_is_shown() {
        let mut documents = Documents::default();
        documents.add(r#"{"_etag":"x"}"#).unwrap();
        assert_eq!(documents.fields, ["_etag"]);
    }

    #[test]
    fn a_table_draws_nothing_but_itself() {
        let mut documents = Documents::default();
        documents.add("{\"\u{9b}31m\":\"\\u001b[2J\",\"b\":[\"\u{202e}x\"]}").unwrap();
        let text = documents.table().to_string();
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text:?}");
        for shown in [r"\u{9b}31m", r"\u{1b}[2J", r#"["\u{202e}x"]"#] {
            assert!(text.contains(shown), "{shown} is not in {text}");
        }
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let cut = cell(&json!("é".repeat(100)));
        assert_eq!(cut.chars().count(), WIDEST + 1);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn the_closing_line_says_what_it_cost_and_whether_there_is_more() {
        let outcome =
            Outcome { documents: 100, pages: 1, request_units: 5.678, limited: true, computed_from: None };
        assert_eq!(
            closing(&outcome, None),
            "100 documents, 1 page, 5.68 RU; there may be more, --limit 0 shows all"
        );
        let undefined = Outcome { computed_from: Some(0), ..Outcome::default() };
        assert_eq!(
            closing(&undefined, None),
            "the result is undefined, computed from 0 documents, 0 pages, 0.00 RU"
        );
    }
}
