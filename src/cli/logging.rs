//! The log: on stderr, one line an event of note, as JSON or for people.
//!
//! Much of what is logged was said by others: a broker, a server, a library that quotes them. None of it may
//! look like a line of ours, or move the terminal of whoever reads it. `tracing-subscriber` (0.3.23) sees to
//! that in messages and in strings, but not where a field is shown by its `Display` (`%error`), nor in JSON, where
//! a terminal's sequences of the C1 range (`\u{9b}31m`) stay as they are. So everything passes [`shown`].

use std::fmt;
use std::io::{self, IsTerminal, Write};

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;
use crate::core::shown;
use crate::observe::defect;

/// What is logged unless `RUST_LOG` says otherwise: our own notes, and of the libraries what somebody
/// has to look at. A certificate that is not trusted is an error to its verifier with every try; it is a
/// condition here, which says it once.
const DEFAULT: &str = "info,azure_core=warn,azure_identity=warn,azure_data_cosmos=warn,\
                       azure_data_cosmos_driver=warn,rdkafka=warn,librdkafka=warn,hyper=warn,h2=warn,reqwest=warn,\
                       rustls_platform_verifier=off";

/// Begins to log. A second call changes nothing.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    // A program that embeds this one may have begun already.
    let _ = log(format, filter, io::stderr().is_terminal(), io::stderr).try_init();
    std::panic::set_hook(Box::new(|panic| {
        if defect::is_expected() {
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload_as_str().unwrap_or("something that is no text");
        tracing::error!(place, said, "a defect: this should never happen, please report it");
    }));
}

/// A log that writes to what `out` gives, each line in one go.
fn log<W: Write + 'static>(
    format: LogFormat,
    filter: EnvFilter,
    in_colour: bool,
    out: impl Fn() -> W + Send + Sync + 'static,
) -> Dispatch {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would report a log that nobody reads any more on stderr, where that is, and panic over it.
        .log_internal_errors(false);
    match format {
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(move || JsonLines(out()))
            .finish()
            .into(),
        LogFormat::Text => {
            log.with_ansi(in_colour).with_target(false).fmt_fields(OnOneLine).with_writer(out).finish().into()
        }
    }
}

/// Fields as text, none of which leaves its line.
struct OnOneLine;

impl<'writer> FormatFields<'writer> for OnOneLine {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::new();
        DefaultFields::new().format_fields(Writer::new(&mut text), fields)?;
        writer.write_str(&shown::text(&text))
    }
}

/// Hands on lines of JSON, which are the same JSON afterwards.
struct JsonLines<W>(W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let json = String::from_utf8_lossy(line);
        let json = json.trim_end_matches('\n');
        // In one go, or the lines of two threads would mix.
        self.0.write_all(format!("{}\n", shown::json(json)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What somebody else has said: a line that looks like ours, sequences of a terminal in both forms, a
    /// change of direction.
    const SAID: &str = "no\r\n2026-11-22T10:00:00Z ERROR made up\u{1b}[2J\u{9b}31m\u{7}\u{202e}x";

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged when it is said in every way there is.
    fn logged(format: LogFormat, in_colour: bool) -> String {
        let paper = Paper::default();
        let out = paper.clone();
        let log = log(format, EnvFilter::new("trace"), in_colour, move || out.clone());
        tracing::dispatcher::with_default(&log, || {
            let _span = tracing::info_span!("span", said = %SAID).entered();
            tracing::info!("{SAID}");
            tracing::info!(said = SAID, "a string");
            tracing::info!(said = %SAID, "by Display");
            tracing::info!(said = ?Some(SAID), "by Debug");
            let error = anyhow::anyhow!("{SAID}").context(SAID);
            tracing::info!(%error, causes = ?error, "an error");
            tracing::info!(
                error = error.as_ref() as &(dyn std::error::Error + 'static),
                "an error by itself"
            );
        });
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn whatever_is_said_stays_on_its_line_and_moves_no_terminal() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let logged = logged(format, false);
            let lines: Vec<_> = logged.lines().collect();
            assert_eq!(lines.len(), 6, "{format:?}: {logged:?}");
            for line in lines {
                assert!(line.contains("INFO") && line.contains("made up"), "{format:?}: {line:?}");
                assert_eq!(shown::text(line), line, "{format:?}");
            }
        }
    }

    #[test]
    fn on_a_terminal_only_our_own_colours_are_seen() {
        let logged = logged(LogFormat::Text, true);
        assert_eq!(logged.lines().count(), 6, "{logged:?}");
        assert!(logged.contains("\u{1b}[32m INFO"), "{logged:?}");
        assert!(
            !logged.contains("\u{1b}[2J") && !logged.contains(['\u{9b}', '\u{7}', '\u{202e}']),
            "{logged:?}"
        );
    }

    #[test]
    fn json_still_says_what_was_said() {
        let logged = logged(LogFormat::Json, false);
        let lines: Vec<serde_json::Value> =
            logged.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["message"], SAID);
        assert_eq!(lines[1]["said"], SAID);
        assert_eq!(lines[2]["said"], SAID);
    }
}
