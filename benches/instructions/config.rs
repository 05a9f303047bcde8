//! Of the configuration, what the core knows of it: `[event]`. The rest needs librdkafka.

#[allow(dead_code, reason = "the defaults of all sections are one file")]
#[path = "../../src/config/defaults.rs"]
mod defaults;
#[path = "../../src/config/event.rs"]
mod event;
#[path = "../../src/config/values.rs"]
mod values;

pub use event::{EpochUnit, Event, Format, Precision, Tombstone, Ttl};
pub use values::{ByteSize, Span};
