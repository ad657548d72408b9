//! The Raft log: entries, vote and purge marker, durable before anyone is told.
//!
//! ```text
//!  append, save_vote, truncate_after, purge ──► queue ──► log thread ──► one batch, one fsync
//!        │ at once                              (bounded)                 │ high-water mark
//!        ▼                                                                ▼
//!  what reads see (ends, vote, recent records)                     Done … Done, in order
//! ```
//!
//! A change is visible to reads at once and durable when its [`Done`] is called. Everything goes
//! through one queue, so that the order of submission is the order on disk and the order of `Done`.
//! While one batch is being synced the next gathers, whatever its size: that is all of group commit.
//!
//! After a failed write or sync the log stays failed: every operation from then on is answered with
//! that error. What a failed fsync covered may or may not be on disk, and asking again could only
//! turn that into a false yes.

#[cfg(test)]
mod by_hand;
mod engine;
mod files;
mod live;
mod open;
mod reader;
#[cfg(test)]
mod tests;
mod types;
mod writer;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;

#[cfg(test)]
pub(crate) use self::by_hand::{ByHand, Hands};
use self::live::{Live, Operation};
use self::reader::Reader;
pub(crate) use self::types::{Damage, Done, LostTail, OnSync, Options, Record, Recovered, Stats};
use super::error::{Error, Subject, Verb};
use super::hard_state::FIELD_BYTES_MAX;
use super::{fsutil, lock, wait};

/// Operations waiting for the log thread, and their bytes. Beyond it [`RaftLog`]'s submitting calls
/// block until the disk has caught up; the proposers stay far below it.
const QUEUE_LEN_MAX: usize = 8192;
const QUEUE_BYTES_MAX: usize = 256 << 20;

/// An open log. Dropping it finishes what is queued, makes everything durable and ends the threads.
pub(crate) struct RaftLog {
    shared: Arc<Shared>,
    /// None once the log is closed, as the next one.
    reader: Mutex<Option<Arc<Reader>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    dir: PathBuf,
}

struct Shared {
    live: Mutex<Live>,
    /// The log thread has something to do.
    work: Condvar,
    /// The queue has room again.
    room: Condvar,
    /// In place of the log thread.
    #[cfg(test)]
    woken: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Shared {
    fn wake(&self) {
        self.work.notify_one();
        #[cfg(test)]
        if let Some(woken) = &self.woken {
            woken();
        }
    }
}

impl RaftLog {
    /// Appends records that follow the last one. They are readable at once. Returns at once, unless
    /// the disk has stalled for so long that the queue is full; so do the other changes.
    pub(crate) fn append(&self, records: Vec<Record>, done: Done) {
        self.submit(Operation::Append(records), done);
    }

    /// Replaces the vote. At most [`FIELD_BYTES_MAX`] bytes.
    pub(crate) fn save_vote(&self, vote: Bytes, done: Done) {
        self.submit(Operation::Vote(vote), done);
    }

    /// Remembers how far the log is committed, as a hint: it reaches the disk with the next
    /// operation or when the log is closed, and may be older after a crash.
    pub(crate) fn save_committed(&self, committed: Bytes) {
        if committed.len() <= FIELD_BYTES_MAX {
            lock(&self.shared.live).committed = Some(committed);
        }
    }

    /// Drops every entry after `last_kept`, or all of them.
    pub(crate) fn truncate_after(&self, last_kept: Option<u64>, done: Done) {
        let next = last_kept.map_or(0, |index| index.saturating_add(1));
        self.submit(Operation::Truncate { next }, done);
    }

    /// Drops every entry up to and including `upto`, which may lie beyond the end: the next entry
    /// then is the one after it. `marker` is kept for [`RaftLog::purged_marker`]. The space is given
    /// back to the disk a little later.
    pub(crate) fn purge(&self, upto: u64, marker: Bytes, done: Done) {
        self.submit(Operation::Purge { first: upto.saturating_add(1), marker }, done);
    }

    /// Reads entries, as many as fit into `bytes_max` but at least one if there is any in the range.
    /// Indexes outside of the log are skipped. Recent entries come from memory; for older ones this
    /// blocks on the disk.
    pub(crate) fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Record>, Error> {
        loop {
            let (cold, epoch) = {
                let live = lock(&self.shared.live);
                let range = live.clamp(&range);
                if range.is_empty() || range.start >= live.cold_end() {
                    return Ok(live.recent(range, bytes_max));
                }
                (range.start..range.end.min(live.cold_end()), live.epoch)
            };
            let reader = lock(&self.reader).clone();
            let read = match reader {
                Some(reader) => reader.read(cold.clone(), bytes_max),
                None => return Err(self.error(Verb::Read, &closed())),
            };
            let live = lock(&self.shared.live);
            if live.epoch != epoch {
                // Entries were dropped meanwhile; what was read may be no longer true.
                continue;
            }
            let mut records = read?;
            let bytes: usize = records.iter().map(|r| r.bytes.len()).sum();
            let complete = records.last().is_some_and(|r| r.index + 1 == cold.end);
            // Records may have left memory meanwhile; then the caller asks again for the rest.
            if complete && live.cold_end() == cold.end {
                let rest = live.clamp(&(cold.end..range.end));
                records.extend(live.recent_within(rest, bytes_max.saturating_sub(bytes)));
            }
            return Ok(records);
        }
    }

    /// The lowest index in the log.
    #[cfg(test)]
    pub(crate) fn first_index(&self) -> Option<u64> {
        let live = lock(&self.shared.live);
        (live.first < live.next).then_some(live.first)
    }

    /// Up to where entries were purged; 0: none were.
    pub(crate) fn purged_index(&self) -> u64 {
        lock(&self.shared.live).first.saturating_sub(1)
    }

    /// The highest index in the log.
    pub(crate) fn last_index(&self) -> Option<u64> {
        let live = lock(&self.shared.live);
        (live.first < live.next).then(|| live.next - 1)
    }

    /// The highest index up to which all is durable, here or in what made the log be purged.
    pub(crate) fn durable_index(&self) -> Option<u64> {
        lock(&self.shared.live).durable_end().checked_sub(1)
    }

    /// The vote saved last.
    pub(crate) fn vote(&self) -> Option<Bytes> {
        lock(&self.shared.live).vote.clone()
    }

    /// The hint saved last.
    pub(crate) fn committed(&self) -> Option<Bytes> {
        lock(&self.shared.live).committed.clone()
    }

    /// The marker of the last purge.
    pub(crate) fn purged_marker(&self) -> Option<Bytes> {
        lock(&self.shared.live).marker.clone()
    }

    /// Figures for the operator. Looks at the files, so it may block.
    pub(crate) fn stats(&self) -> Result<Stats, Error> {
        let bytes_on_disk =
            fsutil::bytes_on_disk(&self.dir).map_err(|e| self.error(Verb::Read, &e))?;
        let live = lock(&self.shared.live);
        Ok(Stats {
            bytes_on_disk,
            entries: live.next - live.first,
            waiting: live.queue.len(),
            reclaim_error: live.reclaim_error.clone(),
        })
    }

    /// Drops the log up to and including `index` and takes it into use again, after [`Recovered`]
    /// told of damage or a lost tail. Only for a caller whose own verified state includes `index`.
    /// It must cover all that is damaged or lost; after a lost tail nothing beyond it is kept.
    /// The vote is the newest known, from the mark if the log lost it. Blocks until durable.
    pub(crate) fn reset_to(&self, index: u64, marker: Bytes) -> Result<(), Error> {
        let (told, answer) = std::sync::mpsc::sync_channel(1);
        let done: Done = Box::new(move |result| drop(told.send(result)));
        let first = index.saturating_add(1);
        self.submit(Operation::Reset { first, next: first, vote: None, marker }, done);
        let result = answer.recv().unwrap_or_else(|_| Err(closed()));
        result.map_err(|e| self.error(Verb::Write, &e))
    }

    /// Finishes what is queued, makes everything durable and ends the threads. Blocks, for as long
    /// as the disk does; who comes second does not wait.
    pub(crate) fn close(&self) {
        lock(&self.shared.live).closing = true;
        self.shared.wake();
        self.shared.room.notify_all();
        // The reader goes first, so that the log thread holds the engine alone and closes it.
        let reader = lock(&self.reader).take();
        drop(reader);
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer {
            drop(writer.join());
        }
    }

    fn submit(&self, operation: Operation, done: Done) {
        let mut live = lock(&self.shared.live);
        while !live.closing
            && (live.queue.len() >= QUEUE_LEN_MAX || live.queue_bytes >= QUEUE_BYTES_MAX)
        {
            live = wait(&self.shared.room, live);
        }
        if live.closing {
            drop(live);
            return done(Err(closed()));
        }
        let was_empty = live.queue.is_empty();
        live.accept(operation, done);
        let complete = live.queue.len() == live.wanted;
        drop(live);
        if was_empty || complete {
            self.shared.wake();
        }
    }

    fn error(&self, verb: Verb, cause: &io::Error) -> Error {
        Error::io(Subject::RaftLog, verb, &self.dir, cause)
    }
}

impl Drop for RaftLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for RaftLog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RaftLog").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed")
}
