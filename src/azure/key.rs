//! The account key: read from its file every time, so that a rotated one is found.

use std::fmt;
use std::path::PathBuf;

use azure_core::base64;
use azure_core::credentials::Secret;

use super::credential::Environment;
use crate::config::sign_in::COSMOS_KEY_VARIABLE;
use crate::config::{Cosmos, CosmosAuth};

/// Where the account key comes from, and the key as it was last read. `Debug` does not show it.
#[derive(Clone)]
pub struct AccountKey {
    /// The file; without one the key came from the environment and never changes.
    file: Option<PathBuf>,
    secret: Secret,
}

/// Why there is no key. Never shows it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither file nor variable.
    #[error("the account key: neither cosmos.auth.key_file nor {COSMOS_KEY_VARIABLE} is set")]
    NotSet,
    /// The file cannot be read.
    #[error("the account key: {path} (cosmos.auth.key_file): {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no key.
    #[error(
        "the account key: what stands in {place} is not base64; it must be the key alone, not a connection string"
    )]
    NotBase64 {
        /// The file or the variable.
        place: String,
    },
}

impl AccountKey {
    /// Reads the key of an account. The sandbox's is public, so there none has to be configured.
    ///
    /// # Errors
    ///
    /// When there is none, or what is there is none.
    pub fn of(cosmos: &Cosmos, env: Environment<'_>) -> Result<Self, KeyError> {
        match (Self::read(&cosmos.auth, env), sandbox_key(&cosmos.endpoint)) {
            (Err(KeyError::NotSet), Some(secret)) => Ok(Self { file: None, secret }),
            (key, _) => key,
        }
    }

    /// Reads the key that is configured.
    ///
    /// # Errors
    ///
    /// When there is none, or what is there is none.
    pub fn read(auth: &CosmosAuth, env: Environment<'_>) -> Result<Self, KeyError> {
        if let Some(path) = &auth.key_file {
            return Ok(Self { file: Some(path.clone()), secret: from_file(path)? });
        }
        let text = env(COSMOS_KEY_VARIABLE).filter(|key| !key.is_empty()).ok_or(KeyError::NotSet)?;
        Ok(Self { file: None, secret: checked(&text, COSMOS_KEY_VARIABLE)? })
    }

    /// The key.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Reads the file again and says whether the key is another one: for the time when the service
    /// refuses the old one.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or holds no key; the old key is kept.
    pub fn reread(&mut self) -> Result<bool, KeyError> {
        let Some(path) = &self.file else { return Ok(false) };
        let secret = from_file(path)?;
        let changed = secret != self.secret;
        self.secret = secret;
        Ok(changed)
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(feature = "sandbox")]
fn sandbox_key(endpoint: &str) -> Option<Secret> {
    crate::sandbox::key_for(&endpoint.parse().ok()?).map(Secret::new)
}

#[cfg(not(feature = "sandbox"))]
fn sandbox_key(_: &str) -> Option<Secret> {
    None
}

fn from_file(path: &std::path::Path) -> Result<Secret, KeyError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    checked(&text, &path.display().to_string())
}

fn checked(text: &str, place: &str) -> Result<Secret, KeyError> {
    let key = text.trim();
    match base64::decode(key) {
        Ok(bytes) if !bytes.is_empty() => Ok(Secret::new(key.to_owned())),
        _ => Err(KeyError::NotBase64 { place: place.to_owned() }),
    }
}
