//! Microsoft's SDK for Python against the sandbox: a client that shares no code with the emulator.

use std::path::Path;
use std::process::Command;

use streamproc::sandbox::CosmosOptions;

use crate::clients::cosmos;

const HOW: &str = "STREAMPROC_PYTHON is not set. `make test` sets it; by hand:\n  \
    python3 -m venv .cache/venv && .cache/venv/bin/pip install -r tests/python/requirements.txt\n  \
    export STREAMPROC_PYTHON=$PWD/.cache/venv/bin/python\n\
    To leave this test out, set STREAMPROC_SKIP_PYTHON=1.";

#[tokio::test]
async fn microsofts_sdk_for_python_works_with_the_sandbox() {
    if std::env::var("STREAMPROC_SKIP_PYTHON").is_ok_and(|skip| skip == "1") {
        return;
    }
    let python = std::env::var("STREAMPROC_PYTHON").expect(HOW);
    for physical_partitions in [4, CosmosOptions::default().physical_partitions] {
        let options = CosmosOptions { physical_partitions, ..CosmosOptions::default() };
        let sandbox = cosmos(options).await;
        let key_file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&key_file, sandbox.cosmos_key().unwrap()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/sandbox_sdk.py");
        let mut command = Command::new(&python);
        command.arg(script).arg(sandbox.cosmos_endpoint().unwrap().as_str()).arg(key_file.path());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        let output = output.unwrap_or_else(|error| panic!("cannot run {python}: {error}"));
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.trim(), "OK", "with {physical_partitions} partitions: {complained}");
        sandbox.stop().await;
    }
}
