//! The files of a partition's log, to break records as a bad disk does.
//!
//! A batch of records (format 2) lies in the file as
//!
//! ```text
//!  0 base offset (8) | 8 length of what follows (4) | 12 leader epoch (4) | 16 magic (1) | 17 CRC-32C of the rest (4)
//! 21 attributes, the codec in the low three bits (2) | 23 last offset, less the base (4) | ... | 61 records
//! ```
//!
//! The broker hands batches on without a look into them, so that a change in a file is what readers
//! see, at once and without a restart.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Cluster;

const HEADER: usize = 61;

/// A batch of records in a file.
#[derive(Clone, Debug)]
pub struct StoredBatch {
    /// The offset of its first record.
    pub first: i64,
    /// The offset of its last record.
    pub last: i64,
    file: PathBuf,
    at: u64,
    bytes: Vec<u8>,
}

impl Cluster {
    /// The batches of a partition on the first node, in order.
    pub fn batches(&self, topic: &str, partition: i32) -> Vec<StoredBatch> {
        let dir = self.dir.path().join(format!("node-1/data/{topic}-{partition}"));
        let mut files: Vec<_> = fs::read_dir(&dir)
            .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "log"))
            .collect();
        files.sort();
        files.iter().flat_map(|file| batches_of(file)).collect()
    }

    /// The batch that holds an offset.
    pub fn batch_of(&self, topic: &str, partition: i32, offset: i64) -> StoredBatch {
        let batches = self.batches(topic, partition);
        let found = batches.into_iter().find(|batch| (batch.first..=batch.last).contains(&offset));
        found.unwrap_or_else(|| panic!("no batch of {topic}/{partition} holds {offset}"))
    }
}

fn batches_of(file: &Path) -> Vec<StoredBatch> {
    let log = fs::read(file).unwrap();
    let (mut at, mut batches) = (0, Vec::new());
    while let Some(header) = log.get(at..at + HEADER) {
        let length = usize::try_from(i32::from_be_bytes(header[8..12].try_into().unwrap())).unwrap();
        let end = at + 12 + length;
        let Some(bytes) = log.get(at..end).filter(|_| length > 0) else { break };
        let first = i64::from_be_bytes(header[..8].try_into().unwrap());
        let delta = i32::from_be_bytes(header[23..27].try_into().unwrap());
        let (file, bytes) = (file.to_owned(), bytes.to_vec());
        batches.push(StoredBatch { first, last: first + i64::from(delta), file, at: at as u64, bytes });
        at = end;
    }
    batches
}

impl StoredBatch {
    /// The number of its compression: none, gzip, snappy, lz4, zstd.
    pub fn codec(&self) -> u8 {
        self.bytes[22] & 7
    }

    /// Flips a bit of its last byte: its checksum is wrong from now on.
    pub fn flip(&self) {
        let mut bytes = self.bytes.clone();
        *bytes.last_mut().unwrap() ^= 1;
        self.write(&bytes);
    }

    /// Names a compression that nobody knows, under a checksum that is right.
    pub fn name_unknown_codec(&self) {
        let mut bytes = self.bytes.clone();
        bytes[22] = bytes[22] & !7 | 5;
        let checksum = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        self.write(&bytes);
    }

    /// Makes it what it was.
    pub fn mend(&self) {
        self.write(&self.bytes);
    }

    fn write(&self, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all_at(bytes, self.at).unwrap();
    }
}

/// The checksum of Kafka's batches (RFC 3720, B.4).
pub fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 }
            },
        )
    })
}
