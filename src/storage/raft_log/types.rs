//! What goes into a log and what it tells about itself.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its place in the log.
    pub(crate) index: u64,
    /// What the caller wrote there.
    pub(crate) bytes: Bytes,
}

/// Told once an operation is durable, or why it never will be. Called on the log thread: it must be
/// quick and must not submit to the same log.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Told after each fsync: how long write and fsync took, how many records and bytes it covered.
pub(crate) type OnSync = Box<dyn Fn(Duration, usize, usize) + Send + Sync>;

/// How a log is to be kept.
pub(crate) struct Options {
    /// Size at which a file of the log is closed and the next one begun. Disk use follows the
    /// log's logical size in steps of this.
    pub(crate) file_bytes: u64,
    /// Bytes of recent records kept in memory; what is not yet written always is.
    pub(crate) tail_bytes_max: usize,
    /// The longest that the high-water mark stays behind the log in durability.
    pub(crate) mark_interval: Duration,
    /// See [`OnSync`].
    pub(crate) on_sync: OnSync,
    /// Who does the log thread's work instead of it.
    #[cfg(test)]
    pub(crate) by_hand: Option<super::Hands>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            file_bytes: 32 << 20,
            tail_bytes_max: 128 << 10,
            mark_interval: Duration::from_millis(100),
            on_sync: Box::new(|_, _, _| {}),
            #[cfg(test)]
            by_hand: None,
        }
    }
}

/// What opening a log found. With `damage` or `lost_tail` the log can be read but refuses every
/// change until [`super::RaftLog::reset_to`] has cut off what is not to be trusted.
#[derive(Debug, Default)]
#[must_use = "a damaged log must not be used as if it were whole"]
pub(crate) struct Recovered {
    /// Entries that are unreadable or missing.
    pub(crate) damage: Option<Damage>,
    /// The log ends before what it had made durable.
    pub(crate) lost_tail: Option<LostTail>,
    /// One of the mark's two slots was spoiled, as a power cut can do; the other one was used.
    pub(crate) mark_slot_spoiled: bool,
}

/// Entries between the purge point and the end that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The lowest index affected.
    pub(crate) first: u64,
    /// The highest index affected: state that includes it makes the log whole again.
    pub(crate) last: u64,
    /// What is wrong with the first.
    pub(crate) detail: String,
}

/// The log is older than its high-water mark: entries, a vote or a truncation are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LostTail {
    /// One past the last index that had been durable.
    pub(crate) mark_next: u64,
    /// One past the last index that is there.
    pub(crate) next: u64,
    /// How many synced batches are gone.
    pub(crate) batches: u64,
}

/// Figures for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Bytes that the log's files occupy.
    pub(crate) bytes_on_disk: u64,
    /// Entries between the purge point and the end.
    pub(crate) entries: u64,
    /// Operations waiting for the disk.
    pub(crate) waiting: usize,
    /// Why purged space could not be given back the last time, if it could not.
    pub(crate) reclaim_error: Option<String>,
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options").field("file_bytes", &self.file_bytes).finish_non_exhaustive()
    }
}
