//! The newest entries as they were appended, so that sending and applying them neither decodes them
//! again nor leaves the async runtime for a log that might have to go to the disk.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::types::Entry;

/// Bytes that are kept, as the log encodes them; the newest entry is kept whatever its size.
const BYTES_MAX: usize = 4 << 20;
/// What an entry costs beside them.
const ENTRY_OVERHEAD: usize = 128;

/// Consecutive entries that end where the log ends; perhaps none.
#[derive(Default)]
pub(crate) struct LogTail {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    /// The end of the log at the last [`LogTail::age`].
    aged: Option<u64>,
}

impl LogTail {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps entries that were appended, each with its encoded length.
    pub(super) fn append(&self, entries: Vec<(Entry, usize)>) {
        let mut kept = self.lock();
        for (entry, bytes) in entries {
            let index = entry.log_id.index;
            if kept.entries.back().is_some_and(|(last, _)| last.log_id.index + 1 != index) {
                *kept = Kept::default();
            }
            kept.bytes += bytes + ENTRY_OVERHEAD;
            kept.entries.push_back((entry, bytes));
        }
        while kept.bytes > BYTES_MAX && kept.entries.len() > 1 {
            kept.drop_oldest();
        }
    }

    /// Forgets what is after `last_kept`.
    pub(super) fn truncate_after(&self, last_kept: Option<u64>) {
        let mut kept = self.lock();
        while kept.entries.back().is_some_and(|(last, _)| Some(last.log_id.index) > last_kept) {
            if let Some((_, bytes)) = kept.entries.pop_back() {
                kept.bytes -= bytes + ENTRY_OVERHEAD;
            }
        }
    }

    /// Forgets what is up to `upto`.
    pub(super) fn purge(&self, upto: u64) {
        let mut kept = self.lock();
        while kept.entries.front().is_some_and(|(first, _)| first.log_id.index <= upto) {
            kept.drop_oldest();
        }
    }

    /// Forgets what was there already the last time this was called: by then it has been sent and
    /// applied, or whoever needs it is behind and gets it from the disk.
    pub(super) fn age(&self) {
        let mut kept = self.lock();
        while kept.entries.front().is_some_and(|(first, _)| Some(first.log_id.index) <= kept.aged) {
            kept.drop_oldest();
        }
        kept.aged = kept.entries.back().map(|(last, _)| last.log_id.index);
        if kept.entries.is_empty() {
            kept.entries = VecDeque::new();
        }
    }

    /// The entries from `start` up to `end`, or as many as fit into `bytes_max` but at least one.
    /// `None`: the log has to be asked.
    pub(super) fn read(&self, start: u64, end: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let kept = self.lock();
        let first = kept.entries.front()?.0.log_id.index;
        let skip = usize::try_from(start.checked_sub(first)?).ok()?;
        if skip >= kept.entries.len() {
            return None;
        }
        let mut left = bytes_max;
        let within = kept.entries.iter().skip(skip).take_while(|(entry, bytes)| {
            let fits = *bytes <= left || entry.log_id.index == start;
            left = left.saturating_sub(*bytes);
            fits && entry.log_id.index < end
        });
        Some(within.map(|(entry, _)| entry.clone()).collect())
    }
}

impl Kept {
    fn drop_oldest(&mut self) {
        if let Some((_, bytes)) = self.entries.pop_front() {
            self.bytes -= bytes + ENTRY_OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;
    use openraft::vote::RaftLeaderId;

    use super::*;
    use crate::raft::types::{LeaderId, LogId};

    fn entries(indexes: std::ops::Range<u64>, bytes: usize) -> Vec<(Entry, usize)> {
        let id = |index| LogId::new(LeaderId::new(1, 1).to_committed(), index);
        let entry = |index| Entry { log_id: id(index), payload: EntryPayload::Blank };
        indexes.map(|index| (entry(index), bytes)).collect()
    }

    fn read(tail: &LogTail, start: u64, end: u64, bytes_max: usize) -> Option<Vec<u64>> {
        let entries = tail.read(start, end, bytes_max)?;
        Some(entries.iter().map(|entry| entry.log_id.index).collect())
    }

    #[test]
    fn what_it_does_not_have_the_log_is_asked_for() {
        let tail = LogTail::default();
        assert_eq!(read(&tail, 0, 9, 999), None);
        tail.append(entries(5..9, 10));
        assert_eq!(read(&tail, 4, 9, 999), None);
        assert_eq!(read(&tail, 5, u64::MAX, usize::MAX), Some(vec![5, 6, 7, 8]));
        assert_eq!(read(&tail, 6, 8, 999), Some(vec![6, 7]));
        assert_eq!(read(&tail, 9, 12, 999), None);
        // As many as fit, but one.
        assert_eq!(read(&tail, 5, 9, 25), Some(vec![5, 6]));
        assert_eq!(read(&tail, 5, 9, 0), Some(vec![5]));
    }

    #[test]
    fn it_ends_where_the_log_ends() {
        let tail = LogTail::default();
        tail.append(entries(5..9, 10));
        tail.truncate_after(Some(6));
        tail.append(entries(7..8, 10));
        assert_eq!(read(&tail, 5, 99, 999), Some(vec![5, 6, 7]));
        tail.purge(5);
        assert_eq!((read(&tail, 5, 99, 999), read(&tail, 6, 99, 999)), (None, Some(vec![6, 7])));
        // A log that goes on elsewhere.
        tail.append(entries(20..22, 10));
        assert_eq!((read(&tail, 7, 99, 999), read(&tail, 20, 99, 999)), (None, Some(vec![20, 21])));
        tail.truncate_after(None);
        assert_eq!(read(&tail, 20, 99, 999), None);
        assert_eq!(tail.lock().bytes, 0);
    }

    #[test]
    fn what_is_old_goes() {
        let tail = LogTail::default();
        tail.append(entries(5..9, 10));
        tail.age();
        tail.append(entries(9..11, 10));
        assert_eq!(read(&tail, 5, 6, 999), Some(vec![5]));
        tail.age();
        assert_eq!((read(&tail, 8, 99, 999), read(&tail, 9, 99, 999)), (None, Some(vec![9, 10])));
        // A log that goes on below what was there.
        tail.truncate_after(None);
        tail.append(entries(3..4, 10));
        tail.age();
        tail.age();
        assert_eq!(read(&tail, 3, 99, 999), None);
        assert_eq!(tail.lock().bytes, 0);
    }

    #[test]
    fn it_is_bounded() {
        let tail = LogTail::default();
        tail.append(entries(0..9, 1 << 20));
        assert_eq!(read(&tail, 0, 99, usize::MAX), None);
        assert_eq!(read(&tail, 6, 99, usize::MAX), Some(vec![6, 7, 8]));
        tail.append(entries(9..10, 64 << 20));
        assert_eq!(read(&tail, 9, 99, usize::MAX), Some(vec![9]), "the newest is kept, alone");
        assert_eq!(read(&tail, 8, 99, usize::MAX), None);
        tail.append(entries(10..11, 10));
        assert_eq!(read(&tail, 9, 99, usize::MAX), None);
        assert_eq!(tail.lock().bytes, 10 + ENTRY_OVERHEAD);
    }
}
