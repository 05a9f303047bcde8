//! The log: on stderr, one line an event of note, as JSON or for people.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogFormat;
use crate::observe::defect;

/// What is logged unless `RUST_LOG` says otherwise: our own notes, and of the libraries what somebody
/// has to look at.
const DEFAULT: &str = "info,azure_core=warn,azure_identity=warn,azure_data_cosmos=warn,\
                       azure_data_cosmos_driver=warn,rdkafka=warn,librdkafka=warn,hyper=warn,h2=warn,reqwest=warn";

/// Begins to log. A second call changes nothing.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would report a log that nobody reads any more on stderr, where that is, and panic over it.
        .log_internal_errors(false);
    // A program that embeds this one may have begun already.
    let _ = match format {
        LogFormat::Json => {
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        if defect::is_expected() {
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload_as_str().unwrap_or("something that is no text");
        tracing::error!(place, said, "a defect: this should never happen, please report it");
    }));
}
