//! The only place that says raft-engine: one region, entries, and the hard state in one key.
//!
//! How raft-engine works decides how it is used here:
//! - It has no way to drop entries from the end. The hard state, written with every batch, says where
//!   the log ends; what the engine still has beyond it is never looked at and is overwritten in time.
//! - Its compaction of old files can forget that entries were purged. The hard state says where the
//!   log begins, too.
//! - Its block cache is one per *thread*, keyed by file number and offset, but not by engine. So an
//!   engine's entries are only ever read by the one reader thread that belongs to it.
//! - Its `sync` does nothing without something to write; a sync is asked for with a batch.
//! - Recycling of files is off, so that purging gives space back, and what follows the end of a file
//!   cannot be an older record.
//! - Compression is off: entries are written once and mostly read from memory, and the time would
//!   lie on the path of every push.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use protobuf::well_known_types::BytesValue;
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize, RecoveryMode};

use super::super::codec::Fields;
use super::super::error::{Error, Kind, Subject, Verb};
use super::super::fsutil;
use super::super::hard_state::HardState;
use super::super::panics::{self, Scope};
use super::Record;
use super::files::Files;

const REGION: u64 = 1;
const HARD_STATE: &[u8] = b"hard-state";
/// Bytes of records up to which the engine's buffer is used again for the next batch.
const BUFFER_KEPT_MAX: usize = 1 << 20;
/// The index and the checksum before each record's bytes.
const PREFIX_BYTES: usize = 8 + 4;

/// An open engine.
pub(super) struct LogEngine {
    engine: Engine<Files>,
    dir: PathBuf,
}

/// A batch that failed.
pub(super) struct Failure {
    pub(super) cause: io::Error,
    /// The engine panicked, as it does when an fsync fails: it must not be asked for anything more.
    pub(super) fatal: bool,
}

/// Tells raft-engine where in a message the index is.
struct Entries;

impl MessageExt for Entries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        Fields(&entry.value).u64().unwrap_or(u64::MAX)
    }
}

/// Changes that are written together or not at all.
#[derive(Default)]
pub(super) struct Batch {
    items: LogBatch,
    /// Records not yet handed over: consecutive ones go in one piece.
    entries: Vec<BytesValue>,
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Batch {
    pub(super) fn append(&mut self, record: &Record) {
        let mut value = Vec::with_capacity(PREFIX_BYTES + record.bytes.len());
        value.extend_from_slice(&record.index.to_le_bytes());
        value.extend_from_slice(&checksum(record.index, &record.bytes).to_le_bytes());
        value.extend_from_slice(&record.bytes);
        self.entries.push(BytesValue { value, ..BytesValue::default() });
        self.records += 1;
        self.bytes += record.bytes.len();
    }

    /// The entries that follow may begin at any index, instead of continuing those before.
    pub(super) fn break_sequence(&mut self) -> io::Result<()> {
        let added = self.items.add_entries::<Entries>(REGION, &self.entries);
        self.entries.clear();
        added.map_err(|e| to_io(&e))
    }

    pub(super) fn purge(&mut self, first: u64) -> io::Result<()> {
        self.break_sequence()?;
        self.items.add_command(REGION, Command::Compact { index: first });
        Ok(())
    }

    pub(super) fn hard_state(&mut self, state: &HardState) -> io::Result<()> {
        self.break_sequence()?;
        self.items.put(REGION, HARD_STATE.to_vec(), state.encode()).map_err(|e| to_io(&e))
    }
}

impl LogEngine {
    /// Opens the files in `dir`, which must exist. A torn end of the newest file is cut off, as
    /// after a crash; the caller finds out whether that was more than a crash explains.
    pub(super) fn open(dir: &Path, file_bytes: u64) -> Result<LogEngine, Error> {
        let damaged = |why: &dyn std::fmt::Display| {
            let detail = format!("it cannot be opened, so nothing tells where it ended: {why}");
            Err(Error::damaged(Subject::RaftLog, dir, detail))
        };
        let Some(name) = dir.to_str() else {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8");
            return Err(Error::io(Subject::RaftLog, Verb::Open, dir, &cause));
        };
        let config = Config {
            dir: name.to_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            recovery_threads: 1,
            batch_compression_threshold: ReadableSize(0),
            target_file_size: ReadableSize(file_bytes),
            purge_threshold: ReadableSize(file_bytes),
            enable_log_recycle: false,
            ..Config::default()
        };
        let engine = match panics::catching(Scope::RaftEngine, || {
            Engine::open_with_file_system(config, Arc::new(Files))
        }) {
            Ok(Ok(engine)) => engine,
            Ok(Err(e)) if e.to_string().contains("another instance") => {
                return Err(Error::new(Kind::InUse, Subject::RaftLog, Verb::Open, dir, e));
            }
            // Cutting a file that is not the newest fails with this error: it is opened to be read.
            Ok(Err(raft_engine::Error::Io(e))) if e.kind() != io::ErrorKind::InvalidInput => {
                return Err(Error::io(Subject::RaftLog, Verb::Open, dir, &e));
            }
            Ok(Err(e)) => return damaged(&e),
            Err(panic) => return damaged(&panic),
        };
        fsutil::sync_dir(dir).map_err(|e| Error::io(Subject::RaftLog, Verb::Sync, dir, &e))?;
        Ok(LogEngine { engine, dir: dir.to_path_buf() })
    }

    /// The hard state of the newest batch, or `None` when none was ever written.
    pub(super) fn hard_state(&self) -> Result<Option<HardState>, Error> {
        let damaged = |detail| Error::damaged(Subject::RaftLog, &self.dir, detail);
        match self.engine.get(REGION, HARD_STATE) {
            Some(encoded) => HardState::decode(&encoded)
                .map(Some)
                .ok_or_else(|| damaged("the vote and the ends of the log are unreadable")),
            None if self.engine.last_index(REGION).is_some() => {
                Err(damaged("there are entries but no vote and no ends of the log"))
            }
            None => Ok(None),
        }
    }

    /// Writes a batch; with `sync` it is durable when this returns.
    pub(super) fn write(&self, batch: &mut Batch, sync: bool) -> Result<(), Failure> {
        let large = batch.bytes > BUFFER_KEPT_MAX;
        (batch.records, batch.bytes) = (0, 0);
        let written = changing(|| self.engine.write(&mut batch.items, sync)).map(drop);
        if large {
            batch.items = LogBatch::default();
        }
        written
    }

    /// Reads and checks one entry; the error says what is wrong with it. Only for the reader thread.
    pub(super) fn read(&self, index: u64) -> Result<Record, String> {
        let read = || self.engine.get_entry::<Entries>(REGION, index);
        let entry = panics::catching(Scope::Thread, read)?.map_err(|e| e.to_string())?;
        let value = entry.ok_or("it is missing")?.value;
        let mut fields = Fields(&value);
        let (found, sum) = fields.u64().zip(fields.u32()).ok_or("it is too short")?;
        if found != index {
            return Err(format!("entry {found} is in its place"));
        }
        if checksum(index, fields.0) != sum {
            return Err("its checksum does not fit".to_owned());
        }
        Ok(Record { index, bytes: Bytes::from(value).slice(PREFIX_BYTES..) })
    }

    /// Gives the space of purged entries back to the disk.
    pub(super) fn reclaim(&self) -> Result<(), Failure> {
        changing(|| self.engine.purge_expired_files()).map(drop)
    }

    /// An error about an entry.
    pub(super) fn damaged_entry(&self, index: u64, detail: &str) -> Error {
        Error::damaged(Subject::RaftLog, &self.dir, format_args!("entry {index}: {detail}"))
    }

    /// An error about the whole log.
    pub(super) fn failed(&self, verb: Verb, cause: &io::Error) -> Error {
        Error::io(Subject::RaftLog, verb, &self.dir, cause)
    }
}

/// Runs something that may sync. It does not tolerate panics: that of a failed sync is to end the
/// process. Only where nothing ends it is it answered here.
fn changing<T>(work: impl FnOnce() -> raft_engine::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| Failure { cause: to_io(&e), fatal: false }),
        Err(payload) => {
            let text = format!("the log's engine gave up: {}", panics::message(payload.as_ref()));
            Err(Failure { cause: io::Error::other(text), fatal: true })
        }
    }
}

fn checksum(index: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&index.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn to_io(error: &raft_engine::Error) -> io::Error {
    match error {
        raft_engine::Error::Io(e) => io::Error::new(e.kind(), e.to_string()),
        // Asked to try again, as raft-engine does after it made room in vain: the disk is full.
        raft_engine::Error::TryAgain(text) => {
            io::Error::new(io::ErrorKind::StorageFull, text.clone())
        }
        other => io::Error::other(other.to_string()),
    }
}
