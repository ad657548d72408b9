//! openraft's view of the Raft log: encodes entries and hands all IO to the log's own thread.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use crate::storage::{Done, RaftLog, Record};
use crate::trials::{self, Place};

use super::blocking;
use super::convert;
use super::log_tail::LogTail;
use super::types::{Entry, LogId, TypeConfig, Vote};

/// Bytes of entries handed out by one limited read, so that one message to a peer stays small.
const READ_BYTES_MAX: usize = 4 << 20;

/// The Raft log and the vote, on disk.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<RaftLog>,
    tail: Arc<LogTail>,
}

impl LogStore {
    pub(crate) fn new(log: Arc<RaftLog>) -> LogStore {
        LogStore { log, tail: Arc::default() }
    }

    /// What it keeps in memory.
    pub(super) fn tail(&self) -> Arc<LogTail> {
        Arc::clone(&self.tail)
    }

    /// The entries from `start` up to `end`, or as many as there are. The log may answer in pieces;
    /// a reader that took the first piece for all would leave committed entries out.
    fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if let Some(entries) = self.tail.read(start, end, bytes_max) {
            return Ok(entries);
        }
        // Old entries come from the disk.
        blocking::in_place(|| {
            let (mut entries, mut bytes, mut next) = (Vec::new(), 0, start);
            while next < end && bytes < bytes_max {
                let records =
                    self.log.read(next..end, bytes_max - bytes).map_err(io::Error::other)?;
                let Some(last) = records.last() else { break };
                next = last.index + 1;
                for record in records {
                    bytes += record.bytes.len();
                    entries.push(convert::decode_entry(record.bytes)?);
                }
            }
            Ok(entries)
        })
    }

    fn last_purged(&self) -> io::Result<Option<LogId>> {
        self.log.purged_marker().map(|bytes| convert::decode_log_id(&bytes)).transpose()
    }
}

/// How far the log is known to be committed. What it remembers of that is a hint, by which all that
/// stands in it is applied: it counts only if the log has that very entry.
pub(super) fn known_committed(log: &RaftLog) -> io::Result<Option<LogId>> {
    let hint = log.committed().map(|bytes| convert::decode_log_id(&bytes)).transpose()?;
    let Some(id) = hint else { return Ok(None) };
    let records = log.read(id.index..id.index + 1, READ_BYTES_MAX).map_err(io::Error::other)?;
    let entry = records.into_iter().next().map(|record| convert::decode_entry(record.bytes));
    Ok(entry.transpose()?.map(|entry| entry.log_id).filter(|found| *found == id))
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

/// A completion that can be awaited.
fn completion() -> (Done, oneshot::Receiver<io::Result<()>>) {
    let (sender, receiver) = oneshot::channel();
    let done: Done = Box::new(move |result| {
        // Nobody waits any more when the node is being shut down.
        let _ignored = sender.send(result);
    });
    (done, receiver)
}

async fn durable(receiver: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    receiver.await.unwrap_or_else(|_| Err(io::Error::other("the log thread has stopped")))
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let Range { start, end } = bounds(&range);
        self.read(start, end, usize::MAX)
    }

    /// The committed entries that are to be applied, in pieces. None that the log has may be left
    /// out: openraft takes the whole range for applied.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let pieces = stream::try_unfold((self.clone(), bounds(&range)), async |(log, rest)| {
            if rest.is_empty() {
                return Ok(None);
            }
            let entries = log.read(rest.start, rest.end, READ_BYTES_MAX)?;
            let Some(last) = entries.last() else {
                if log.log.last_index() < Some(rest.start) {
                    return Ok(None);
                }
                let message = format!("entry {} cannot be read from the log", rest.start);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            };
            let next = last.log_id.index + 1;
            let piece = stream::iter(entries.into_iter().map(Ok::<_, io::Error>));
            Ok(Some((piece, (log, next..rest.end))))
        });
        Box::pin(pieces.try_flatten())
    }

    /// What is to be sent to a peer. Whoever reads for a call that has failed may find that `start`
    /// is purged by now: openraft would send the rest as if it followed on `start - 1`.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let entries = self.read(start, end, READ_BYTES_MAX)?;
        let follows = entries.first().is_some_and(|first| first.log_id.index == start);
        Ok(if follows { entries } else { Vec::new() })
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.log.vote().map(|bytes| convert::decode_vote(&bytes)).transpose()
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id = self.last_purged()?;
        let last_log_id = match self.log.last_index() {
            Some(last) => self.read(last, last + 1, usize::MAX)?.pop().map(|entry| entry.log_id),
            None => last_purged_log_id,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        trials::at(Place::VoteSaveBefore)?;
        let (done, receiver) = completion();
        self.log.save_vote(convert::encode_vote(vote), done);
        durable(receiver).await?;
        trials::at(Place::VoteSaveAfter)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(id) = committed {
            self.log.save_committed(convert::encode_log_id(&id));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        blocking::in_place(|| known_committed(&self.log))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        trials::at(Place::LogAppendBefore)?;
        let (mut records, mut kept) = (Vec::new(), Vec::new());
        for entry in entries {
            let bytes = convert::encode_entry(&entry);
            let (index, len) = (entry.log_id.index, bytes.len());
            records.push(Record { index, bytes });
            kept.push((entry, len));
        }
        // First, so that it never ends before the log does.
        self.tail.append(kept);
        self.log.append(records, Box::new(move |result| callback.io_completed(result)));
        trials::at(Place::LogAppendAfter)
    }

    async fn truncate_after(&mut self, last_kept: Option<LogId>) -> io::Result<()> {
        self.tail.truncate_after(last_kept.map(|id| id.index));
        let (done, receiver) = completion();
        self.log.truncate_after(last_kept.map(|id| id.index), done);
        durable(receiver).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.tail.purge(upto.index);
        // Deleting needs no answer: the log thread does it in order, behind what is waiting.
        self.log.purge(upto.index, convert::encode_log_id(&upto), Box::new(|_| {}));
        Ok(())
    }
}
