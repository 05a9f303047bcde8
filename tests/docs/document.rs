//! `docs/document.md` shows events and what becomes of them: each example is run.

use streamproc::config::{Event, Ttl};
use streamproc::core::reason::Reason;
use streamproc::core::transform::{Decoded, Document, Rules, decode};

use crate::page::{Page, Table};

/// 2019-05-16T17:16:40Z.
const ENQUEUED_MILLIS: i64 = 1_558_027_000_000;
/// A second and a quarter later.
const PROCESSED_NANOS: i128 = 1_558_027_001_250_000_000;

fn document_of(rules: &Rules, value: &str) -> Result<(Document, String), (Reason, String)> {
    let stamp = rules.stamp(PROCESSED_NANOS);
    match decode(rules, Some(value.as_bytes()), Some(ENQUEUED_MILLIS), &stamp) {
        Ok(Decoded::Document(document)) => {
            let mut body = Vec::new();
            document.write_body(value.as_bytes(), &mut body);
            Ok((document, String::from_utf8(body).unwrap()))
        }
        Ok(Decoded::Skipped) => panic!("{value} was skipped"),
        Err(bad) => Err((bad.reason, bad.detail)),
    }
}

fn table(page: &Page, first: &str) -> Table {
    page.tables().find(|table| table.header[0] == first).unwrap_or_else(|| panic!("no table {first:?}"))
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

#[test]
fn the_event_of_the_page_becomes_the_document_of_the_page() {
    let page = Page::read("docs/document.md");
    let blocks = page.blocks();
    let block = |language: &str| {
        let found = blocks.iter().find(|block| block.language == language).unwrap();
        found.text.trim_end().to_owned()
    };
    let rules = Rules::compile(&Event::default()).unwrap();
    let (_, body) = document_of(&rules, &block("json event")).unwrap();
    assert_eq!(body, block("json document"));
}

#[test]
fn each_timestamp_of_the_page_is_stored_as_the_page_says() {
    let rules = Rules::compile(&Event::default()).unwrap();
    let table = table(&Page::read("docs/document.md"), "the event has");
    assert!(table.rows.len() > 5);
    for row in table.rows {
        let event = format!(r#"{{"eventId":"1","deviceId":"a","createdAt":{}}}"#, code(&row[0]).unwrap());
        let (_, body) = document_of(&rules, &event).unwrap();
        let expected = format!(r#""createdAt":{},"enqueuedAt""#, code(&row[1]).unwrap());
        assert!(body.contains(&expected), "{row:?} and not {body}");
    }
}

#[test]
fn each_number_of_the_page_is_sent_as_it_came_or_refused() {
    let rules = Rules::compile(&Event::default()).unwrap();
    for row in table(&Page::read("docs/document.md"), "sent").rows {
        let number = code(&row[0]).unwrap();
        let event = format!(r#"{{"eventId":"1","deviceId":"a","value":{number}}}"#);
        match (document_of(&rules, &event), row[1].parse::<f64>()) {
            (Ok((_, body)), Ok(kept)) => {
                assert!(body.contains(&format!(r#""value":{number},"#)), "{body}");
                assert_eq!(number.parse::<f64>().unwrap().to_bits(), kept.to_bits(), "{row:?}");
                let digits = row[1].replace('.', "");
                assert!(format!("{kept}").replace('.', "") == digits, "{kept} is written {row:?}");
            }
            (Err((reason, _)), Err(_)) => assert_eq!(reason, Reason::NumberOutOfRange),
            (found, _) => panic!("{row:?}: {found:?}"),
        }
    }
}

#[test]
fn each_reason_has_its_row_and_each_example_gets_the_reason_and_the_detail_of_its_row() {
    let rules = Rules::compile(&Event { ttl: Ttl::Refuse, ..Event::default() }).unwrap();
    let rows = table(&Page::read("docs/document.md"), "reason").rows;
    let named: Vec<&str> = rows.iter().map(|row| code(&row[0]).unwrap()).collect();
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(named, reasons);
    let mut run = 0;
    for row in &rows {
        let Some(event) = code(&row[1]) else { continue };
        let (reason, detail) = document_of(&rules, event).unwrap_err();
        assert_eq!((reason.as_str(), detail.as_str()), (code(&row[0]).unwrap(), row[2].as_str()), "{event}");
        run += 1;
    }
    assert!(run >= 10, "{run} examples");
}

#[test]
fn the_examples_that_the_page_describes_in_words_get_its_details() {
    let rules = Rules::compile(&Event::default()).unwrap();
    let rows = table(&Page::read("docs/document.md"), "reason").rows;
    let detail = |reason: Reason| {
        let name = format!("`{reason}`");
        rows.iter().find(|row| row[0] == name).map(|row| row[2].clone()).unwrap()
    };
    let refused = |value: Option<&[u8]>| {
        let bad = decode(&rules, value, None, &rules.stamp(PROCESSED_NANOS)).unwrap_err();
        (bad.reason, bad.detail)
    };
    let deep = "[".repeat(129) + &"]".repeat(129);
    for (value, reason) in [
        (Some(&b"{\"eventId\":\"\xff\"}"[..]), Reason::InvalidUtf8),
        (Some(deep.as_bytes()), Reason::TooDeep),
        (None, Reason::Tombstone),
    ] {
        assert_eq!(refused(value), (reason, detail(reason)));
    }
    let large = |filler: usize| format!(r#"{{"eventId":"1","deviceId":"a","x":"{}"}}"#, "x".repeat(filler));
    let (document, _) = document_of(&rules, &large(0)).unwrap();
    let too_large = large(2 * 1024 * 1024 + 1 - document.body_len());
    let expected = (Reason::TooLarge, detail(Reason::TooLarge));
    assert_eq!(refused_detail(&rules, &too_large), expected);
}

fn refused_detail(rules: &Rules, value: &str) -> (Reason, String) {
    document_of(rules, value).unwrap_err()
}
