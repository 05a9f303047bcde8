//! `docs/dead-letters.md` names every header of a dead letter, in the order in which they stand.

use smallvec::smallvec;
use streamproc::core::kafka::{Offset, TopicPartition};
use streamproc::core::reason::Reason;
use streamproc::core::records::Record;
use streamproc::core::write::verdict::Status;
use streamproc::dead_letter::Letter;

use crate::page::Page;

#[test]
fn the_headers_of_a_dead_letter_are_those_of_the_page() {
    let partition = TopicPartition::new("streaming", 3);
    let letter = Letter {
        partition: &partition,
        record: Record {
            offset: Offset(42),
            timestamp_millis: Some(1_558_027_000_000),
            key: Some(b"a"),
            value: Some(b"{}"),
            headers: smallvec![(&b"own"[..], Some(&b"1"[..]))],
        },
        reason: Reason::RejectedByStore,
        error: "Cosmos DB answers 409",
        status: Some(Status::new(409, 0)),
        group: "streamproc",
    };
    let written = letter.reference().headers;
    let written: Vec<&str> = written.iter().map(|(name, _)| name.as_str()).collect();
    let page = Page::read("docs/dead-letters.md");
    let table = page.tables().find(|table| table.header[0] == "header").unwrap();
    let named: Vec<String> = table.rows.iter().map(|row| row[0].replace('`', "")).collect();
    assert_eq!(written[0], "own", "the record's own stand before ours");
    assert_eq!(written[1..], named);
}
