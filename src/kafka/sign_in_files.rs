//! The files of a sign-in: whether what they hold has changed since a client was made of them.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::config::KafkaAuth;

/// What the files held at a time, as a digest.
#[derive(Clone, PartialEq, Eq)]
pub struct SignInFiles(Vec<Option<[u8; 32]>>);

impl SignInFiles {
    /// What they hold now.
    pub fn of(auth: &KafkaAuth) -> Self {
        let paths = [&auth.password_file, &auth.ca_file, &auth.certificate_file, &auth.key_file];
        Self(paths.into_iter().flatten().map(|path| digest(path)).collect())
    }

    /// Whether they hold something else now. Not while one of them cannot be read: it is being
    /// replaced.
    pub fn have_changed(&self, auth: &KafkaAuth) -> bool {
        let now = Self::of(auth);
        now != *self && now.0.iter().all(Option::is_some)
    }
}

fn digest(path: &Path) -> Option<[u8; 32]> {
    std::fs::read(path).ok().map(|content| Sha256::digest(content).into())
}
