//! What must hold of any configuration whatever, for the tests and for the fuzzer: the loader takes it, or
//! says where it is wrong and what to do. It never panics.

use std::path::Path;

use streamproc::config::{Broken, Config, ConfigError, Place, load_and_check};
use streamproc::core::transform::Rules;

/// Loads a file of these bytes, under these variables, as the program does. Gives whether it is taken.
///
/// # Errors
///
/// What does not hold.
pub(crate) fn check(folder: &Path, toml: &[u8], environment: &[(String, String)]) -> Result<bool, String> {
    let path = folder.join("streamproc.toml");
    std::fs::write(&path, toml).map_err(|error| error.to_string())?;
    let rules = |config: &Config| {
        let broken = Rules::compile(&config.event).err();
        broken.map(|error| Broken { key: error.key, reason: error.reason }).into_iter().collect()
    };
    match load_and_check(Some(&path), environment.iter().cloned(), rules) {
        Ok(loaded) => {
            serde_json::to_string(&loaded.config).map_err(|error| format!("it cannot be shown: {error}"))?;
            Ok(true)
        }
        Err(errors) => {
            let lines = toml.split(|byte| *byte == b'\n').count();
            if errors.iter().next().is_none() {
                return Err("refused without an error".into());
            }
            if let Some(error) = errors.iter().find(|error| !is_of_use(error, lines)) {
                return Err(format!("an error that is of no use: {error:?}"));
            }
            if errors.to_string().trim().is_empty() {
                return Err("the errors say nothing".into());
            }
            Ok(false)
        }
    }
}

/// Whether an error names a key, a variable, or a line that the file has, and what to do.
fn is_of_use(error: &ConfigError, lines: usize) -> bool {
    let named = match &error.place {
        Place::File { line, column, .. } => (1..=lines).contains(line) && *column > 0,
        Place::Variable(name) => !name.is_empty(),
        Place::Nowhere => !error.key.is_empty(),
    };
    let told = [&error.found, &error.expected, &error.action];
    named && told.iter().all(|text| !text.trim().is_empty())
}
