//! Snapshot files: the whole state at one log id, as a sequence of items.
//!
//! ```text
//! header   magic "QG-SNAP\1" | index | term | length of meta | meta | crc32 of all that
//! block    1 | length (at most 256 KiB) | that many bytes of the item stream | crc32     (repeated)
//! footer   2 | items | bytes of the item stream | hash of the whole file so far | crc32
//! ```
//!
//! The item stream is each item's length in 32 bits followed by the item; items may span blocks.
//! Nothing follows the footer. No length is trusted before the bytes it announces are there and
//! their checksum fits, so a damaged file costs no more memory than it has bytes.
//!
//! A file gets its name once it is durable and complete. The caller keeps two that it knows to be
//! whole: should the newest be damaged, the older one and a longer piece of the log still make up
//! the state, as long as the log is purged only below the older one. Only a file below both of them
//! is removed: what is damaged, unknown or unread counts for nothing, whatever its name says.

mod format;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;

pub(crate) use self::reader::Items;
pub(crate) use self::writer::{Encoder, Incoming, SnapshotWriter};
use super::error::{Error, Subject, Verb};
use super::fsutil;
use crate::clock::UnixNanos;
use crate::trials::{self, Bug, Place};

/// What a file's name says.
type IndexAndTerm = (u64, u64);

/// The folder of the snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    dir: PathBuf,
}

/// A complete snapshot that was verified from its first byte to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotFile {
    /// Index of the last log entry that it includes.
    pub(crate) index: u64,
    /// Term of that entry.
    pub(crate) term: u64,
    /// What the caller wrote into the header.
    pub(crate) meta: Bytes,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its size.
    pub(crate) bytes: u64,
    /// When it was finished.
    pub(crate) created: UnixNanos,
}

/// What was found among the snapshots.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// The newest one that is whole.
    pub(crate) file: Option<SnapshotFile>,
    /// Those newer than it that are not, for the operator.
    pub(crate) damaged: Vec<Error>,
}

impl Snapshots {
    /// Takes the folder into use: creates it, and removes what an interrupted write left.
    pub(crate) fn open(dir: &Path) -> Result<Snapshots, Error> {
        let io = |e| Error::io(Subject::Snapshot, Verb::Open, dir, &e);
        fsutil::create_dir(dir).map_err(io)?;
        for entry in fs::read_dir(dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(&path).map_err(io)?;
            }
        }
        Ok(Snapshots { dir: dir.to_path_buf() })
    }

    /// Begins a snapshot of the state at a log id. `meta` is the caller's, for the header.
    pub(crate) fn create(
        &self,
        index: u64,
        term: u64,
        meta: &[u8],
    ) -> Result<SnapshotWriter, Error> {
        SnapshotWriter::create(self, index, term, meta)
    }

    /// Begins to receive a snapshot file that another replica has written.
    pub(crate) fn receive(&self) -> Result<Incoming, Error> {
        Incoming::create(self)
    }

    /// Finds the newest snapshot that is whole, reading it completely. Blocks for as long.
    pub(crate) fn newest(&self) -> Result<Newest, Error> {
        let mut newest = Newest::default();
        for (_, path) in self.list()? {
            match reader::verify(&path) {
                Ok(file) if file.path == self.path_of(file.index, file.term) => {
                    newest.file = Some(file);
                    break;
                }
                Ok(file) => {
                    let detail = format!("its name is not that of index {}", file.index);
                    newest.damaged.push(Error::damaged(Subject::Snapshot, &path, detail));
                }
                Err(error) => newest.damaged.push(error),
            }
        }
        Ok(newest)
    }

    /// The files that have a name, with the log index and term in it, newest first.
    fn list(&self) -> Result<Vec<(IndexAndTerm, PathBuf)>, Error> {
        let io = |e| Error::io(Subject::Snapshot, Verb::Read, &self.dir, &e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if let Some(id) = parse_name(&path) {
                names.push((id, path));
            }
        }
        names.sort();
        names.reverse();
        Ok(names)
    }

    fn path_of(&self, index: u64, term: u64) -> PathBuf {
        self.dir.join(format!("{index:020}-{term:020}.snapshot"))
    }

    /// Gives a finished temporary file its name, durably.
    fn publish(&self, temporary: &Path, file: &SnapshotFile) -> Result<(), Error> {
        let io = |e| Error::io(Subject::Snapshot, Verb::Write, &file.path, &e);
        trials::at(Place::SnapshotRenameBefore).map_err(io)?;
        fsutil::rename(temporary, &file.path).map_err(io)?;
        trials::at(Place::SnapshotRenameAfter).map_err(io)?;
        if trials::bug(Bug::PurgeBeforeSnapshot) {
            return Ok(());
        }
        fsutil::sync_dir(&self.dir).map_err(io)
    }

    /// Removes all files older than `oldest`, which must not be needed any more.
    pub(crate) fn remove_older_than(&self, oldest: &SnapshotFile) -> Result<(), Error> {
        let older = |id: IndexAndTerm| id < (oldest.index, oldest.term);
        for (_, path) in self.list()?.into_iter().filter(|(id, _)| older(*id)) {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(Subject::Snapshot, Verb::Write, &path, &e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl SnapshotFile {
    /// Verifies a file from its first byte to its last, wherever it is. Blocks for as long.
    pub(crate) fn verify(path: &Path) -> Result<SnapshotFile, Error> {
        reader::verify(path)
    }

    /// Reads the items one by one, verifying again what is read.
    pub(crate) fn items(&self) -> Result<Items, Error> {
        Items::open(&self.path)
    }
}

fn parse_name(path: &Path) -> Option<IndexAndTerm> {
    let name = path.file_name()?.to_str()?.strip_suffix(".snapshot")?;
    let (index, term) = name.split_once('-')?;
    Some((index.parse().ok()?, term.parse().ok()?))
}

/// Size of a file and when it was last written.
fn measure(file: &fs::File) -> io::Result<(u64, UnixNanos)> {
    let meta = file.metadata()?;
    let since_epoch = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let created = UnixNanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX));
    Ok((meta.len(), created))
}
