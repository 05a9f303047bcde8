//! From a file and the environment to a [`Config`] that has been checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors, Place, Problem};
use super::file::Reading;
use super::layer::{Entry, Layer, Layers};
use super::reference::{Key, placeholder, reference};
use super::{Config, check, environment, file, properties, sdk_variables, sign_in, unknown};

/// A configuration that has been checked, and where its values come from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration. It holds no secret: only the names of files that do.
    pub config: Config,
    /// The file it was read from.
    pub file: Option<PathBuf>,
    /// The keys that the environment overrides, each with its variable.
    pub overridden: BTreeMap<String, String>,
    /// The variables of the Cosmos DB SDK that are set, with their values as they may be shown.
    pub sdk_variables: BTreeMap<String, String>,
}

/// Reads the file, lays the environment over it, and checks everything.
///
/// Without a file the environment alone is read. `env` is the whole environment: the variables
/// `STREAMPROC__*` override keys, `AZURE_COSMOS_*` are checked, `STREAMPROC_COSMOS_KEY` is noticed.
///
/// # Errors
///
/// All that is wrong and can be seen in one go, the most useful first. Nothing but this and the
/// files named by the configuration is opened, and no secret is read.
pub fn load(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    load_and_check(path, env, |_| Vec::new())
}

/// A rule that the configuration breaks and that others know about.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The key.
    pub key: &'static str,
    /// What was found, and why it cannot be.
    pub reason: String,
}

/// Does the same, and holds the configuration against rules that live elsewhere: those of the event
/// are the transform's.
///
/// # Errors
///
/// As those of [`load`].
pub fn load_and_check(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    more: impl Fn(&Config) -> Vec<Broken>,
) -> Result<Loaded, ConfigErrors> {
    let variables: BTreeMap<String, String> = env.collect();
    let mut layers = Layers::default();
    let mut from_file = Reading::default();
    if let Some(path) = path {
        let text = file::read(path).map_err(|error| ConfigErrors::new(vec![*error]))?;
        from_file = file::parse(path, &text).map_err(ConfigErrors::new)?;
        layers.end = Some((path.to_owned(), text.lines().count().max(1)));
    }
    let from_environment = environment::read(&variables);

    let mut errors = [from_file.errors, from_environment.errors].concat();
    let meant = [from_file.meant, from_environment.meant].concat();
    layers.spoilt = [from_file.spoilt, from_environment.spoilt].concat();
    layers.file = from_file.layer;
    layers.environment = from_environment.layer;

    let missing: Vec<&Key> = reference()
        .keys()
        .filter(|key| key.default.is_none())
        .filter(|key| layers.entry(&key.path).is_none() && !layers.spoilt.contains(&key.path))
        .collect();
    for key in &missing {
        if !unknown::explains(&meant, &key.path) {
            errors.push(missing_key(key, &layers));
        }
    }
    layers.spoilt.extend(missing.iter().map(|key| key.path.clone()));

    match build(&layers) {
        Ok(config) => {
            errors.extend(check::check(&config, &layers));
            errors.extend(more(&config).into_iter().map(|broken| {
                let action = "docs/configuration.md says what this key may be";
                layers.error(
                    Problem::Contradiction,
                    broken.key,
                    broken.reason,
                    "values that fit together",
                    action,
                )
            }));
            errors.extend(sign_in::check(&config, &layers, &variables));
            errors.extend(properties::check(&config, &layers));
            errors.extend(sdk_variables::check(&config.cosmos.endpoint, &variables));
            if errors.is_empty() {
                return Ok(Loaded {
                    config,
                    file: path.map(Path::to_owned),
                    overridden: overridden(&layers),
                    sdk_variables: sdk_variables::set(&variables),
                });
            }
        }
        Err(error) => errors.push(ConfigError {
            problem: Problem::WrongType,
            place: Place::Nowhere,
            key: String::new(),
            found: error.to_string(),
            expected: "a configuration of this version".into(),
            action: "compare with docs/configuration.md".into(),
        }),
    }
    Err(ConfigErrors::new(errors))
}

/// Merges the layers. Required keys without a usable value get a placeholder, so that all the others
/// can still be checked; there is an error about each of them already.
fn build(layers: &Layers) -> Result<Config, config::ConfigError> {
    let mut placeholders = Layer::default();
    let defaults = config::Config::try_from(&placeholder())?;
    for key in reference().keys().filter(|key| layers.spoilt.contains(&key.path) && key.default.is_none()) {
        let value = defaults.get::<config::Value>(&key.path)?;
        placeholders.entries.insert(key.path.clone(), Entry { value, place: Place::Nowhere });
    }
    config::Config::builder()
        .add_source(placeholders)
        .add_source(layers.file.clone())
        .add_source(layers.environment.clone())
        .build()?
        .try_deserialize()
}

fn overridden(layers: &Layers) -> BTreeMap<String, String> {
    let variables = layers.environment.entries.iter();
    variables
        .filter_map(|(path, entry)| match &entry.place {
            Place::Variable(name) => Some((path.clone(), name.clone())),
            Place::File { .. } | Place::Nowhere => None,
        })
        .collect()
}

fn missing_key(key: &Key, layers: &Layers) -> ConfigError {
    let (section, name) = key.path.rsplit_once('.').unwrap_or(("", &key.path));
    layers.error(
        Problem::Missing,
        &key.path,
        "nothing",
        format!("{}: {}", key.kind, key.about),
        format!(
            "add {name} = {} under [{section}], or set {}",
            example(&key.path),
            environment::variable(&key.path)
        ),
    )
}

/// What a required value looks like.
fn example(path: &str) -> &'static str {
    match path {
        "kafka.bootstrap_servers" => "\"localhost:9092\"",
        "kafka.topics" => "[\"streaming\"]",
        "cosmos.endpoint" => "\"https://ACCOUNT.documents.azure.com:443/\"",
        "cosmos.regions" => "[\"West Europe\"]",
        "cosmos.database" => "\"streaming\"",
        "cosmos.container" => "\"rawdata\"",
        "dead_letter.topic" => "\"streaming-dead-letter\"",
        _ => "…",
    }
}
