//! Writing a snapshot: from items to a file or elsewhere, or as the bytes of a file that another
//! replica sends.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::super::codec;
use super::super::error::{Error, Subject, Verb};
use super::super::fsutil;
use super::format::{self, BLOCK, BLOCK_BYTES_MAX, FOOTER, FileHash, MAGIC, META_BYTES_MAX};
use super::{SnapshotFile, Snapshots, measure, reader};
use crate::trials::{self, Bug};

/// Tells apart the temporary files of one process.
static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A file that has no name of its own yet; removed unless it gets one.
#[derive(Debug)]
struct Temporary {
    file: File,
    path: PathBuf,
    written: u64,
}

impl Temporary {
    fn create(snapshots: &Snapshots) -> Result<Temporary, Error> {
        let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = snapshots.dir.join(format!("{number}.tmp"));
        let file = File::options().write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(|e| Error::io(Subject::Snapshot, Verb::Write, &path, &e))?;
        Ok(Temporary { file, path, written: 0 })
    }

    fn error(&self, verb: Verb, cause: &io::Error) -> Error {
        Error::io(Subject::Snapshot, verb, &self.path, cause)
    }

    fn sync(&self) -> Result<(), Error> {
        if trials::bug(Bug::PurgeBeforeSnapshot) {
            return Ok(());
        }
        let synced = fsutil::synced(&self.path, || self.file.sync_all());
        synced.map_err(|e| self.error(Verb::Sync, &e))
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fsutil::writing(&self.path, self.written, bytes.len(), || Ok(Vec::new()))?;
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already if it was renamed; a leftover is removed at the next start.
        drop(fs::remove_file(&self.path));
    }
}

/// Writes the format, wherever the bytes go.
#[derive(Debug)]
pub(crate) struct Encoder<W> {
    out: W,
    /// The block being filled.
    block: Vec<u8>,
    items: u64,
    bytes: u64,
    hash: FileHash,
}

impl<W: Write> Encoder<W> {
    /// Begins a snapshot of the state at a log id. `meta` is the caller's, for the header.
    pub(crate) fn begin(out: W, index: u64, term: u64, meta: &[u8]) -> io::Result<Encoder<W>> {
        let block = Vec::with_capacity(BLOCK_BYTES_MAX);
        let mut encoder = Encoder { out, block, items: 0, bytes: 0, hash: FileHash::new() };
        let meta_len = u32::try_from(meta.len()).ok().filter(|_| meta.len() <= META_BYTES_MAX);
        let meta_len = meta_len.ok_or_else(|| too_long("its meta data"))?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&index.to_le_bytes());
        header.extend_from_slice(&term.to_le_bytes());
        header.extend_from_slice(&meta_len.to_le_bytes());
        header.extend_from_slice(meta);
        codec::seal(&mut header);
        encoder.put(&header)?;
        Ok(encoder)
    }

    /// Adds an item.
    pub(crate) fn item(&mut self, item: &[u8]) -> io::Result<()> {
        let len = u32::try_from(item.len()).map_err(|_| too_long("an item"))?;
        self.stream(&len.to_le_bytes())?;
        self.stream(item)?;
        self.items += 1;
        Ok(())
    }

    /// Completes the format and gives back what it was written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.end_block()?;
        let mut footer = vec![FOOTER];
        footer.extend_from_slice(&self.items.to_le_bytes());
        footer.extend_from_slice(&self.bytes.to_le_bytes());
        footer.extend_from_slice(&self.hash.value().to_le_bytes());
        codec::seal(&mut footer);
        self.put(&footer)?;
        Ok(self.out)
    }

    fn stream(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = BLOCK_BYTES_MAX - self.block.len();
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.block.extend_from_slice(now);
            self.bytes += now.len() as u64;
            bytes = later;
            if self.block.len() == BLOCK_BYTES_MAX {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let len = u32::try_from(self.block.len()).unwrap_or(u32::MAX);
        if len == 0 {
            return Ok(());
        }
        let mut out = Vec::with_capacity(format::BLOCK_HEADER_BYTES + self.block.len() + 4);
        out.push(BLOCK);
        out.extend_from_slice(&len.to_le_bytes());
        out.append(&mut self.block);
        codec::seal(&mut out);
        self.put(&out)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

fn too_long(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{what} is too long"))
}

/// A snapshot that is being written. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    snapshots: Snapshots,
    encoder: Encoder<Temporary>,
    index: u64,
    term: u64,
    meta: Bytes,
    /// Of the temporary file, for errors.
    path: PathBuf,
}

impl SnapshotWriter {
    pub(super) fn create(
        snapshots: &Snapshots,
        index: u64,
        term: u64,
        meta: &[u8],
    ) -> Result<SnapshotWriter, Error> {
        let temporary = Temporary::create(snapshots)?;
        let path = temporary.path.clone();
        let encoder = Encoder::begin(temporary, index, term, meta);
        let encoder = encoder.map_err(|e| Error::io(Subject::Snapshot, Verb::Write, &path, &e))?;
        let (snapshots, meta) = (snapshots.clone(), Bytes::copy_from_slice(meta));
        Ok(SnapshotWriter { snapshots, encoder, index, term, meta, path })
    }

    /// Adds an item.
    pub(crate) fn write_item(&mut self, item: &[u8]) -> Result<(), Error> {
        let written = self.encoder.item(item);
        written.map_err(|e| Error::io(Subject::Snapshot, Verb::Write, &self.path, &e))
    }

    /// Completes the file: durable, and then named.
    pub(crate) fn finish(self) -> Result<SnapshotFile, Error> {
        let SnapshotWriter { snapshots, encoder, index, term, meta, path } = self;
        let temporary = encoder.finish();
        let temporary =
            temporary.map_err(|e| Error::io(Subject::Snapshot, Verb::Write, &path, &e))?;
        temporary.sync()?;
        let measured = measure(&temporary.file);
        let (bytes, created) = measured.map_err(|e| temporary.error(Verb::Read, &e))?;
        let path = snapshots.path_of(index, term);
        let file = SnapshotFile { index, term, meta, path, bytes, created };
        snapshots.publish(&temporary.path, &file)?;
        Ok(file)
    }
}

/// A snapshot file on its way from another replica. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Incoming {
    snapshots: Snapshots,
    temporary: Temporary,
}

impl Incoming {
    pub(super) fn create(snapshots: &Snapshots) -> Result<Incoming, Error> {
        let temporary = Temporary::create(snapshots)?;
        Ok(Incoming { snapshots: snapshots.clone(), temporary })
    }

    /// Adds the next bytes of the file.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.temporary.write_all(bytes);
        written.map_err(|e| self.temporary.error(Verb::Write, &e))
    }

    /// Verifies what arrived from its first byte to its last and keeps it, durably. A snapshot that
    /// was spoiled on its way is refused here and leaves nothing.
    pub(crate) fn finish(self) -> Result<SnapshotFile, Error> {
        self.temporary.sync()?;
        let mut file = reader::verify(&self.temporary.path)?;
        file.path = self.snapshots.path_of(file.index, file.term);
        self.snapshots.publish(&self.temporary.path, &file)?;
        Ok(file)
    }
}
