//! The headers of a record.

use std::panic::AssertUnwindSafe;

use rdkafka::message::{BorrowedHeaders, Headers};
use smallvec::SmallVec;

use crate::observe::defect;

/// A name, and what it says.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// What stands for the name of a header that cannot be read.
pub const UNREADABLE_NAME: &str = "\u{fffd}";

/// All headers, in their order.
///
/// Kafka's protocol says that a name is UTF-8, and no broker looks. rdkafka (0.39, `message.rs`) takes it
/// for granted and panics, so that one record would stop its worker, and its successor, for ever. Such a
/// header keeps its place, without its value: neither can be had.
pub fn all(headers: &BorrowedHeaders) -> SmallVec<[Header<'_>; 4]> {
    each(headers.count(), |at| headers.try_get(at).map(|header| (header.key, header.value)))
}

fn each<'a>(count: usize, get: impl Fn(usize) -> Option<Header<'a>>) -> SmallVec<[Header<'a>; 4]> {
    let read = |at| {
        let header = defect::expected(AssertUnwindSafe(|| get(at)));
        header.ok().flatten().unwrap_or((UNREADABLE_NAME, None))
    };
    (0..count).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_cannot_be_read_keeps_its_place() {
        let names = ["a", "b", "c"];
        let headers = each(3, |at| {
            assert_ne!(at, 1, "as rdkafka does with a name that is not UTF-8");
            Some((names[at], Some(&b"v"[..])))
        });
        assert_eq!(headers.as_slice(), [("a", Some(&b"v"[..])), (UNREADABLE_NAME, None), ("c", Some(b"v"))]);
    }
}
