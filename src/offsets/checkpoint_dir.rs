//! Reading a checkpoint's files.

use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::{self, Ends, Finished, NoBatch};

/// What the newest finished batch of a query says.
#[derive(Debug)]
pub struct Checkpoint {
    /// Which batch it is.
    pub finished: Finished,
    /// Where it ends.
    pub ends: Ends,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It is somewhere else than on this machine.
    #[error(
        "{0} is not a folder of this machine: copy the checkpoint's folders offsets and commits here first, as with \
         `databricks fs cp --recursive` or `az storage fs directory download`"
    )]
    Elsewhere(String),
    /// It is not a checkpoint.
    #[error(
        "{folder} cannot be read ({error}): expected the folder that the query has as checkpointLocation, which holds \
         offsets and commits"
    )]
    NoFolder {
        /// The folder that should be in it.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It has no batch to begin behind.
    #[error("{folder}: {error}")]
    NoBatch {
        /// The checkpoint.
        folder: PathBuf,
        /// Why not.
        error: NoBatch,
    },
    /// A file of it cannot be read or understood.
    #[error("{file}: {what}")]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Reads the newest finished batch of the query that has this checkpoint.
///
/// # Errors
/// When it is not on this machine, is no checkpoint, has no finished batch, or cannot be understood.
pub fn read(folder: &Path) -> Result<Checkpoint, CheckpointError> {
    let text = folder.to_string_lossy();
    if text.contains("://") || text.starts_with("dbfs:") {
        return Err(CheckpointError::Elsewhere(text.into_owned()));
    }
    let (offsets, commits) = (folder.join("offsets"), folder.join("commits"));
    let finished = checkpoint::newest_finished(
        &checkpoint::batches(names(&offsets)?.iter().map(String::as_str)),
        &checkpoint::batches(names(&commits)?.iter().map(String::as_str)),
    )
    .map_err(|error| CheckpointError::NoBatch { folder: folder.to_owned(), error })?;
    let batch = finished.batch.to_string();
    parsed(&commits.join(&batch), checkpoint::check_commit)?;
    let ends = parsed(&offsets.join(&batch), checkpoint::ends)?;
    Ok(Checkpoint { finished, ends })
}

fn names(folder: &Path) -> Result<Vec<String>, CheckpointError> {
    let listed = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.path().is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    };
    listed().map_err(|error| CheckpointError::NoFolder { folder: folder.to_owned(), error })
}

fn parsed<T>(file: &Path, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, CheckpointError> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    text.and_then(|text| parse(&text)).map_err(|what| CheckpointError::File { file: file.to_owned(), what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kafka::{Offset, TopicPartition};

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        folder
    }

    #[test]
    fn the_end_of_the_newest_finished_batch_is_read_whatever_lies_beside_it() {
        let folder = folder(&[
            ("metadata", "{\"id\":\"3\"}"),
            ("sources/0/0", "v1\n{}"),
            ("offsets/8", "v1\n{}\n{\"t\":{\"0\":80}}"),
            ("offsets/9", "v1\n{}\n{\"t\":{\"0\":90}}"),
            ("offsets/10", "v1\n{}\n{\"t\":{\"0\":100}}"),
            ("offsets/.10.crc", "crc"),
            ("offsets/__tmp_path_dir/11", "v1"),
            ("commits/8", "v1\n{}"),
            ("commits/9", "v1\n{}"),
            ("commits/.9.crc", "crc"),
        ]);
        let read = read(folder.path()).unwrap();
        assert_eq!(read.finished, Finished { batch: 9, begun: Some(10) });
        assert_eq!(read.ends.offsets, [(TopicPartition::new("t", 0), Offset(90))].into());
    }

    #[test]
    fn what_is_no_checkpoint_is_refused_by_the_name_of_the_file() {
        let refused = |files: &[(&str, &str)]| read(folder(files).path()).unwrap_err().to_string();
        assert!(refused(&[]).contains("offsets cannot be read"));
        assert!(refused(&[("offsets/0", "v1\n{}\n-")]).contains("commits cannot be read"));
        assert!(refused(&[("offsets/0", "v1"), ("commits/.0.crc", "")]).contains("batch 0 was begun"));
        let garbled = refused(&[("offsets/3", "v1\n{}\n{\"t\""), ("commits/3", "v1\n{}")]);
        assert!(garbled.contains("offsets/3: line 3"), "{garbled}");
        let empty = refused(&[("offsets/3", "v1\n{}\n-"), ("commits/3", "")]);
        assert!(empty.contains("commits/3: it is empty"), "{empty}");
        for elsewhere in ["abfss://c@a.dfs.core.windows.net/x", "dbfs:/checkpoints/x"] {
            assert!(matches!(read(Path::new(elsewhere)), Err(CheckpointError::Elsewhere(_))), "{elsewhere}");
        }
    }
}
