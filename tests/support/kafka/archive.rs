//! How Java is started here, and the archive of loaded classes that halves a broker's start.
//!
//! Most of a broker's first seconds go into loading some 7,000 classes from 90 jars. Java can write
//! them to an archive when a process ends (application class data sharing) and map that file in the
//! next. The first test run on a machine trains one broker for it; measured on two idle cores, format and start
//! took 2.2 s without and 1.1 s with it, and 2.9 against 1.4 CPU seconds.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, io};

use crate::support::guard::{self, Signal};
use crate::support::wait;

use super::Options;
use super::node::{self, Layout};

/// A Java command with Kafka's classes, ready for more flags and the name of a main class. It
/// unpacks its native libraries, and leaves them, in `dir`.
///
/// The compiler stops at its first level: the processes live for minutes and share two cores with
/// what they test.
pub(super) fn java(dir: &Path, flags: &[String]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env::var_os("JAVA").unwrap_or_else(|| "java".into()));
    command
        // The class path is relative so that the archive, which remembers it, survives a move.
        .current_dir(kafka())
        .args(["-cp", "libs/*", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"])
        .args(["-XX:-UsePerfData", "-Djava.awt.headless=true"])
        .arg(format!("-Djava.io.tmpdir={}", dir.display()))
        .arg(format!("-Dlog4j2.configurationFile={}", root.join("tests/kafka/log4j2.properties").display()));
    if flags.is_empty() && archive().exists() {
        command.arg(format!("-XX:SharedArchiveFile={}", archive().display()));
    }
    command.args(flags);
    command
}

/// Where the set-up puts Kafka.
fn kafka() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/kafka")
}

/// The archive for this Java and these jars.
fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let missing = "Apache Kafka is not there; run `scripts/setup.sh test`";
        let mut jars: Vec<_> = fs::read_dir(kafka().join("libs"))
            .unwrap_or_else(|e| panic!("{missing}: {e}"))
            .flatten()
            .map(|entry| (entry.file_name(), entry.metadata().and_then(|m| m.modified()).ok()))
            .collect();
        assert!(!jars.is_empty(), "{missing}");
        jars.sort();
        let java =
            Command::new(env::var_os("JAVA").unwrap_or_else(|| "java".into())).arg("-version").output();
        let java =
            java.unwrap_or_else(|e| panic!("java cannot be started; run `scripts/setup.sh test`: {e}"));
        let mut hash = DefaultHasher::new();
        (jars, java.stderr).hash(&mut hash);
        kafka().join(format!("classes-{:016x}.jsa", hash.finish()))
    })
}

/// Makes the archive if there is none. Without it everything works, only slower, so a failure is
/// told and no more.
pub(super) fn train_once() {
    static TRAINED: OnceLock<()> = OnceLock::new();
    TRAINED.get_or_init(|| {
        if archive().exists() {
            return;
        }
        // Held until the end of this scope; another test process that trains now does it for us.
        let Some(_lock) = node::lock(&kafka().join("training.lock")) else { return };
        if let Err(error) = train() {
            eprintln!("no archive of Kafka's classes: {error}");
        }
    });
}

fn train() -> Result<(), io::Error> {
    let dir = guard::temp_dir("training");
    let options = Options::brokers(1);
    let mut node = Layout::new(dir.path(), &options, None).format(1).map_err(io::Error::other)?;
    let unfinished = dir.path().join("classes.jsa");
    node.start_with(&[format!("-XX:ArchiveClassesAtExit={}", unfinished.display())]);
    wait::until_ok(Duration::from_mins(2), "a broker to learn from", || {
        if node.log_has("Kafka Server started") { Ok(()) } else { Err(node.log_tail()) }
    });
    node.end(Signal::Term);
    // Not a rename, because the temporary directory may be on another file system; the rename
    // makes it appear at once and whole.
    let beside = archive().with_extension("unfinished");
    fs::copy(&unfinished, &beside)?;
    fs::rename(&beside, archive())
}
