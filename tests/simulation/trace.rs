//! What happened, line by line, for whoever looks into a seed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// The lines so far. Most worlds keep none: text costs more than what it tells of.
#[derive(Clone)]
pub(crate) struct Trace {
    begun: Instant,
    lines: Option<Arc<Mutex<Vec<String>>>>,
}

impl Trace {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self { begun: Instant::now(), lines: is_kept.then(Arc::default) }
    }

    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let line = format!("{:>8.3}  {}", self.begun.elapsed().as_secs_f64(), line());
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.lines.as_ref();
        lines.map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    /// Stands for all of it: two runs are the same if it is.
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.lines().hash(&mut hasher);
        hasher.finish()
    }
}
