//! The replaced job, compiled and run as the one Java process that stands for its cluster.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use streamproc::sandbox::public_key;
use tempfile::TempDir;

use crate::stage::endpoint::Endpoint;
use crate::support::guard;
use crate::support::process::Process;

/// The job's classes.
pub struct Job {
    classes: TempDir,
}

/// A run of it. What it leaves on disk goes with it.
pub struct Running {
    pub process: Process,
    _dir: TempDir,
}

impl Job {
    /// Compiles what stands in `spark/`.
    ///
    /// # Panics
    /// When its jars or the compiler are not there.
    pub fn compile() -> Self {
        assert!(jars().exists(), "Spark is not there; run `scripts/setup.sh peers`");
        let classes = guard::temp_dir("classes");
        let sources = fs::read_dir(source()).unwrap().map(|entry| entry.unwrap().path());
        let mut command = Command::new("javac");
        command
            // The compiler of another Java than the one that will run it serves as well.
            .args(["--release", "17", "-d"])
            .arg(classes.path())
            .arg("-cp")
            .arg(jars().join("*"))
            .args(sources.filter(|path| path.extension().is_some_and(|extension| extension == "java")));
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("javac cannot be started; run `scripts/setup.sh peers`: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { classes }
    }

    /// Starts it over what a topic holds now.
    pub fn start(
        &self,
        bootstrap: &str,
        topic: &str,
        endpoint: &Endpoint,
        max_offsets_per_trigger: Option<u64>,
    ) -> Running {
        let dir = guard::temp_dir("spark");
        let class_path = format!("{}:{}/*", self.classes.path().display(), jars().display());
        let property = |name: &str, value: &Path| format!("-D{name}={}", value.display());
        let mut command = Command::new(env::var_os("JAVA").unwrap_or_else(|| "java".into()));
        command
            .current_dir(dir.path())
            .arg(format!("@{}", source().join("jvm.options").display()))
            .arg(property("log4j2.configurationFile", &source().join("log4j2.properties")))
            .arg(property("java.io.tmpdir", dir.path()))
            .arg(property("spark.local.dir", dir.path()))
            .args(["-cp", &class_path, "Job", bootstrap, topic])
            .arg(dir.path().join("checkpoint"))
            .args(max_offsets_per_trigger.map(|most| most.to_string()))
            .env("COSMOS_ENDPOINT", endpoint.url().as_str())
            .env("COSMOS_KEY", public_key());
        Running { process: Process::start("Spark", &mut command), _dir: dir }
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/spark")
}

/// Where the set-up puts Spark.
fn jars() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/spark/libs")
}
