//! A strict JSON scanner that finds things without building them.
//!
//! The service changes a handful of an event's fields and passes the rest through byte for byte, so
//! it needs to know *where* values are, and that all of them are valid, but never what most of them
//! say. [`Scanner`] walks a text once and reports spans; nothing is allocated, nothing recurses.
//!
//! It takes exactly RFC 8259, with two limits that the RFC leaves to each parser: objects and arrays
//! nest at most [`MAX_DEPTH`] deep, and a number must be a finite double, because that is what Cosmos
//! DB keeps. Escapes of lone surrogates (`\ud800`) are grammatical and pass; only who asks for the
//! characters of such a string, with [`Text::unescape`], gets an error.

mod error;
mod escape;
mod number;
mod scanner;
mod text;
mod words;

pub use error::{Error, Expected, Problem};
pub use escape::write_string;
pub use scanner::{Kind, MAX_DEPTH, Name, Scanner, Value};
pub use text::{LoneSurrogate, Text};

#[cfg(test)]
mod tests;
