//! The state database: what the Raft log adds up to, on sled, as keys and values.
//!
//! It can always be rebuilt from a snapshot and the log, so it is never the reason for losing
//! anything; but it must never be *wrong*. sled 0.34 answers damage with a panic, an error or by
//! silently dropping everything after it, and its `flush` never reaches the disk. So beside the
//! caller's items there is a bookkeeping item, written in the same atomic batch each time:
//! the number of the write, the number of items and the sum of all their 128-bit hashes. Each value
//! carries its own hash, too. What is loaded has to add up exactly; and the number of the write that
//! the last [`StateDb::flush`] made durable is kept in a file apart, so that an older state that adds
//! up is noticed as well.
//!
//! ```text
//! open ──► adds up, not older than the last flush ──► Loaded: every item
//!   └────► error, panic, hang or kill during the last open ──► set aside ──► Rebuild: empty
//! ```
//!
//! All calls block. After an error every later call fails: the caller goes on without it or calls
//! [`StateDb::rewrite`].

mod book;
mod files;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::book::Book;
use self::files::Files;
use super::Folder;
use super::error::{Error, Kind, Subject, Verb};
use super::panics::{self, Scope};
use super::slots::Slots;
use crate::trials::{self, Bug};

/// A key and its value.
pub(crate) type Item = (Vec<u8>, Vec<u8>);
/// A key and its new value, or `None` to remove it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// sled's page cache. Reads happen only at start, so this bounds what writing keeps around.
const CACHE_BYTES: u64 = 2 << 20;

/// A segment of sled's file, and a buffer of its log. Used buffers wait until a thread of sled's has
/// 64 things to free, so this bounds what they take; what is larger is written to a file of its own.
const SEGMENT_BYTES: usize = 128 << 10;

/// How often sled is asked to free garbage after a write. Each time it frees some hundreds of
/// things at most, of which a change leaves about five; when nothing is left it takes under 1 µs.
const GARBAGE_ROUNDS_MIN: usize = 32;
const CHANGES_PER_GARBAGE_ROUND: usize = 32;

/// How often and how far apart the database's lock is tried for.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What opening led to.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Everything that was there, verified. Empty at the first start.
    Loaded {
        /// The open database.
        db: StateDb,
        /// All its items, in the order of their keys.
        items: Vec<Item>,
    },
    /// What was there could not be trusted and was set aside.
    Rebuild {
        /// A new, empty database.
        db: StateDb,
        /// What was wrong with the old one, for the operator.
        reason: String,
    },
}

/// An open state database.
#[derive(Debug)]
pub(crate) struct StateDb {
    /// Present until dropped; left alone for ever once sled has failed.
    db: Option<sled::Db>,
    files: Files,
    mark: Slots,
    book: Book,
    /// Changes written since it was last tidied.
    garbage: usize,
    failed: Option<String>,
}

impl StateDb {
    /// Opens the database and verifies every item; whatever is wrong with it leads to
    /// [`Opened::Rebuild`]. An error means that there cannot be a database here at all.
    pub(crate) fn open(folder: &Folder) -> Result<Opened, Error> {
        let files = Files::of(folder);
        let reason = match load(&files) {
            Ok((db, items)) => return Ok(Opened::Loaded { db, items }),
            Err(Unusable::Refused(error)) => return Err(error),
            Err(Unusable::Damaged(reason)) => reason,
        };
        let db = StateDb::replace_damaged(folder)?;
        Ok(Opened::Rebuild { db, reason })
    }

    /// Removes what is there, which is out of date or has failed, and makes a new, empty database.
    pub(crate) fn rewrite(folder: &Folder) -> Result<StateDb, Error> {
        StateDb::discard(folder)?;
        StateDb::make_new(&Files::of(folder))
    }

    /// Removes what is there; nobody may have it open.
    pub(crate) fn discard(folder: &Folder) -> Result<(), Error> {
        Files::of(folder).remove()
    }

    /// Sets aside what is there, which is damaged, and makes a new, empty database.
    fn replace_damaged(folder: &Folder) -> Result<StateDb, Error> {
        let files = Files::of(folder);
        files.set_aside()?;
        StateDb::make_new(&files)
    }

    fn make_new(files: &Files) -> Result<StateDb, Error> {
        // Only now: a mark that forgets its write while the old database is still in place would
        // make that one look good enough.
        files.create_mark()?;
        let made = files.guard(|| make(files))?;
        made.unwrap_or_else(|panic| Err(files.error(Verb::Open, &panic)))
    }

    /// Makes all the changes or none. Durable only after [`StateDb::flush`].
    pub(crate) fn write(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        let count = changes.len();
        for (key, value) in changes {
            match value {
                Some(value) => {
                    let (key, stored) = self.book.put(&key, &value);
                    batch.insert(key, stored);
                }
                None => batch.remove(self.book.remove(&key)),
            }
        }
        let (key, stored) = self.book.close();
        batch.insert(key, stored);
        self.run(Verb::Write, |db| {
            db.apply_batch(batch).map_err(|e| e.to_string())?;
            // Hands sled's log buffers to the system; they are in memory until then.
            db.flush().map_err(|e| e.to_string())?;
            free_garbage(count);
            Ok(())
        })?;
        self.garbage += count;
        Ok(())
    }

    /// Frees what the last writes left behind and could not free at once, because a thread of sled's
    /// was still busy with it. For when there is nothing to write; costs nothing a second time.
    pub(crate) fn tidy(&mut self) -> Result<(), Error> {
        match std::mem::take(&mut self.garbage) {
            0 => Ok(()),
            changes => self.run(Verb::Write, |_| {
                free_garbage(changes);
                Ok(())
            }),
        }
    }

    /// Makes everything written so far durable.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.run(Verb::Sync, |db| db.flush().map(drop).map_err(|e| e.to_string()))?;
        let bare = trials::bug(Bug::BareSledFlush);
        let synced = if bare { Ok(()) } else { self.files.sync() };
        let sequence = self.book.sequence();
        let synced = synced.and_then(|()| self.mark.write(sequence, &[]));
        let synced = synced.and_then(|()| self.mark.sync());
        synced.map_err(|e| self.fail(Verb::Sync, e.to_string()))
    }

    /// Runs something on sled. A panic in it is an error like any other.
    fn run(
        &mut self,
        verb: Verb,
        work: impl FnOnce(&sled::Db) -> Result<(), String>,
    ) -> Result<(), Error> {
        if let Some(text) = &self.failed {
            return Err(self.files.error(verb, text));
        }
        let Some(db) = &self.db else {
            return Err(self.files.error(verb, "it is closed"));
        };
        let result = panics::catching(Scope::Thread, || work(db)).and_then(|result| result);
        result.map_err(|text| self.fail(verb, text))
    }

    fn fail(&mut self, verb: Verb, text: String) -> Error {
        let error = self.files.error(verb, &text);
        self.failed.get_or_insert(text);
        // Dropping a failed sled flushes, and may panic or block for ever.
        std::mem::forget(self.db.take());
        error
    }
}

impl Drop for StateDb {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            drop(panics::catching(Scope::Thread, move || drop(db)));
        }
    }
}

/// Why a database cannot be used.
enum Unusable {
    /// It can be set aside and rebuilt.
    Damaged(String),
    /// It cannot even be looked at.
    Refused(Error),
}

fn load(files: &Files) -> Result<(StateDb, Vec<Item>), Unusable> {
    if files.is_new().map_err(Unusable::Refused)? {
        files.create_mark().map_err(Unusable::Refused)?;
    } else if files.last_open_failed() {
        let reason = "the process ended or was killed while it was being opened";
        return Err(Unusable::Damaged(reason.to_owned()));
    }
    let loaded = files.guard(|| read(files)).map_err(Unusable::Refused)?;
    loaded.unwrap_or_else(|panic| Err(Unusable::Damaged(panic)))
}

fn read(files: &Files) -> Result<(StateDb, Vec<Item>), Unusable> {
    let damaged = |text: String| Unusable::Damaged(text);
    let (mark, flushed) = files.open_mark().map_err(|e| damaged(e.to_string()))?;
    let existed = files.dir().is_dir();
    if !existed && flushed > 0 {
        return Err(damaged("its folder is missing".to_owned()));
    }
    let db = open_sled(files)?;
    // Not dropped on failure: that would flush, and may panic or block for ever.
    let db = std::mem::ManuallyDrop::new(db);
    let mut book = Book::default();
    let mut items = Vec::new();
    for item in db.iter() {
        let (key, stored) = item.map_err(|e| damaged(e.to_string()))?;
        if let Some(item) = book.load(&key, &stored).map_err(damaged)? {
            items.push(item);
        }
    }
    book.verify(flushed).map_err(damaged)?;
    files.sync_names().map_err(Unusable::Refused)?;
    let db = Some(std::mem::ManuallyDrop::into_inner(db));
    Ok((StateDb { db, files: files.clone(), mark, book, garbage: 0, failed: None }, items))
}

fn make(files: &Files) -> Result<StateDb, Error> {
    let (mark, _) = files.open_mark()?;
    let db = open_sled(files).map_err(|unusable| match unusable {
        Unusable::Refused(error) => error,
        Unusable::Damaged(text) => files.error(Verb::Open, &text),
    })?;
    files.sync_names()?;
    let book = Book::default();
    Ok(StateDb { db: Some(db), files: files.clone(), mark, book, garbage: 0, failed: None })
}

fn open_sled(files: &Files) -> Result<sled::Db, Unusable> {
    let config = sled::Config::new()
        .path(files.dir())
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .use_compression(false)
        .flush_every_ms(None);
    // Dropped in this same process, sled lets go of its lock only when its threads are done.
    for _ in 0..LOCK_TRIES {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(e) if e.to_string().contains("could not acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(e) => return Err(Unusable::Damaged(e.to_string())),
        }
    }
    let detail = "another user holds its lock";
    let error = Error::new(Kind::InUse, Subject::State, Verb::Open, files.dir(), detail);
    Err(Unusable::Refused(error))
}

/// Frees what a write of so many changes left behind. Every change of a page leaves the page's old
/// version to be freed later, which sled does only in the course of later calls; so without this,
/// a large write followed by none would keep many times its size for ever.
fn free_garbage(changes: usize) {
    for _ in 0..GARBAGE_ROUNDS_MIN + changes / CHANGES_PER_GARBAGE_ROUND {
        sled::pin().flush();
    }
}

/// The folder that a database is set aside to.
fn aside_path(state: &Path, number: u64) -> PathBuf {
    state.with_extension(format!("damaged-{number}"))
}
