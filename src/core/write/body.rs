//! The body of a request: a document, or the operations of a transactional batch.

use super::plan::{OPERATION_PREFIX, Versions};
use crate::core::transform::Document;

/// Writes the newest versions of a group into one body. `document` gives a record's document and the value
/// that it was decoded from.
pub fn of<'a>(group: &[Versions], document: impl Fn(usize) -> Option<(&'a Document, &'a [u8])>) -> Vec<u8> {
    let length: usize = group.iter().map(|versions| versions.length).sum();
    let newest = group.iter().filter_map(|versions| document(versions.newest));
    if group.len() == 1 {
        let mut body = Vec::with_capacity(length);
        newest.for_each(|(document, value)| document.write_body(value, &mut body));
        return body;
    }
    let mut body = Vec::with_capacity(length + group.len() * (OPERATION_PREFIX.len() + 2) + 1);
    for (document, value) in newest {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(OPERATION_PREFIX);
        document.write_body(value, &mut body);
        body.push(b'}');
    }
    body.push(b']');
    body
}
