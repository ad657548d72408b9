//! What reads see: the log as submitted, of which the newest part is still on its way to the disk.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::super::hard_state::{FIELD_BYTES_MAX, HardState};
use super::{Done, Record};

/// What a record costs in memory and queue beside its bytes.
const RECORD_OVERHEAD: usize = 64;

/// A change of the log.
#[derive(Debug)]
pub(super) enum Operation {
    Append(Vec<Record>),
    Vote(Bytes),
    Truncate {
        next: u64,
    },
    Purge {
        first: u64,
        marker: Bytes,
    },
    /// As [`Operation::Purge`], with the end and the vote that were settled for it.
    Reset {
        first: u64,
        next: u64,
        vote: Option<Bytes>,
        marker: Bytes,
    },
}

/// A change on its way to the disk, or the refusal that takes its place in the order of `Done`.
pub(super) struct Queued {
    pub(super) operation: io::Result<Operation>,
    pub(super) number: u64,
    pub(super) done: Done,
}

/// Why a log refuses changes, and what it takes to use it again.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) reason: String,
    /// A reset must purge at least to here.
    pub(super) first_min: u64,
    /// Whether what lies beyond a reset is to be dropped too.
    pub(super) drop_rest: bool,
}

/// The log in memory, and the queue of changes that are not on disk yet.
#[derive(Default)]
pub(super) struct Live {
    /// The lowest index not purged.
    pub(super) first: u64,
    /// One past the highest index.
    pub(super) next: u64,
    /// One past the highest index that is durable, unless the log ends before.
    pub(super) durable_next: u64,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    pub(super) marker: Option<Bytes>,
    /// The newest records, consecutive and ending at `next`: everything that is not yet written,
    /// and as much more as fits. Each with the number of the operation that brought it.
    recent: VecDeque<(u64, Record)>,
    recent_bytes: usize,
    /// Counts the times that entries were dropped.
    pub(super) epoch: u64,
    pub(super) queue: VecDeque<Queued>,
    pub(super) queue_bytes: usize,
    /// The number of operations in the queue at which the log thread is to be woken, beside the
    /// first.
    pub(super) wanted: usize,
    operations: u64,
    pub(super) closing: bool,
    pub(super) failed: Option<(io::ErrorKind, String)>,
    pub(super) held: Option<Held>,
    pub(super) reclaim_error: Option<String>,
}

impl Live {
    /// The log as found on disk.
    pub(super) fn new(state: &HardState) -> Live {
        Live {
            first: state.first,
            next: state.next,
            durable_next: state.next,
            vote: state.vote.clone(),
            committed: state.committed.clone(),
            marker: state.marker.clone(),
            ..Live::default()
        }
    }

    /// Applies a change to what reads see and queues it for the disk.
    pub(super) fn accept(&mut self, operation: Operation, done: Done) {
        self.operations += 1;
        let number = self.operations;
        let operation = match self.refusal(&operation) {
            Some(refusal) => Err(refusal),
            None => Ok(self.apply(operation)),
        };
        self.queue_bytes += operation.as_ref().map_or(0, cost);
        self.queue.push_back(Queued { operation, number, done });
    }

    /// The part of a range that the log has.
    pub(super) fn clamp(&self, range: &Range<u64>) -> Range<u64> {
        range.start.max(self.first)..range.end.min(self.next)
    }

    /// One past the highest index that only the disk has.
    pub(super) fn cold_end(&self) -> u64 {
        self.recent.front().map_or(self.next, |(_, record)| record.index)
    }

    /// Records from memory, at least one if there is any: `range` must lie between
    /// [`Live::cold_end`] and the end.
    pub(super) fn recent(&self, range: Range<u64>, bytes_max: usize) -> Vec<Record> {
        let first_len = self.recent_from(range.start).next().map_or(0, |r| r.bytes.len());
        self.recent_within(range, bytes_max.max(first_len))
    }

    /// As [`Live::recent`], but only as many as really fit.
    pub(super) fn recent_within(&self, range: Range<u64>, bytes_max: usize) -> Vec<Record> {
        let mut left = bytes_max;
        let fits = |record: &&Record| {
            let rest = left.checked_sub(record.bytes.len());
            left = rest.unwrap_or(0);
            record.index < range.end && rest.is_some()
        };
        self.recent_from(range.start).take_while(fits).cloned().collect()
    }

    fn recent_from(&self, index: u64) -> impl Iterator<Item = &Record> {
        let skip = usize::try_from(index.saturating_sub(self.cold_end())).unwrap_or(usize::MAX);
        self.recent.iter().skip(skip).map(|(_, record)| record)
    }

    /// Lets go of the oldest records that are written, down to the limit.
    pub(super) fn evict(&mut self, written: u64, bytes_max: usize) {
        while self.recent_bytes > bytes_max
            && self.recent.front().is_some_and(|(number, _)| *number <= written)
        {
            if let Some((_, record)) = self.recent.pop_front() {
                self.recent_bytes -= weight(&record);
            }
        }
    }

    /// Takes what is waiting, oldest first, up to a limit of bytes but at least one.
    pub(super) fn take(&mut self, bytes_max: usize) -> Vec<Queued> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(queued) = self.queue.pop_front() {
            let cost = queued.operation.as_ref().map_or(0, cost);
            if !taken.is_empty() && bytes + cost > bytes_max {
                self.queue.push_front(queued);
                break;
            }
            bytes += cost;
            taken.push(queued);
        }
        self.queue_bytes -= bytes;
        taken
    }

    /// Whether the log has never held anything.
    fn is_new(&self) -> bool {
        self.next == 0 && self.marker.is_none()
    }

    /// Where these records must begin. A new log begins where its first record does.
    fn next_for(&self, records: &[Record]) -> u64 {
        let first = records.first().map(|record| record.index);
        first.filter(|_| self.is_new()).unwrap_or(self.next)
    }

    /// Why a change cannot be made, if it cannot.
    fn refusal(&self, operation: &Operation) -> Option<io::Error> {
        if let Some((kind, text)) = &self.failed {
            return Some(io::Error::new(*kind, text.clone()));
        }
        let invalid = |text: String| Some(io::Error::new(io::ErrorKind::InvalidInput, text));
        if let Some(held) = &self.held
            && !matches!(operation, Operation::Reset { .. })
        {
            return Some(io::Error::new(io::ErrorKind::InvalidData, held.reason.clone()));
        }
        match operation {
            Operation::Append(records) => {
                let expected = self.next_for(records)..;
                let found = records.iter().map(|record| record.index);
                let gap = expected.zip(found).find(|(expected, found)| expected != found);
                gap.and_then(|(expected, found)| {
                    invalid(format!("entry {found} was appended where {expected} belongs"))
                })
            }
            Operation::Vote(bytes) => too_long(bytes),
            Operation::Truncate { next } if *next < self.first => {
                invalid(format!("entries from {next} on are purged already"))
            }
            Operation::Truncate { .. } => None,
            Operation::Purge { marker, .. } => too_long(marker),
            Operation::Reset { first, marker, .. } => {
                let needed = self.held.as_ref().map_or(0, |held| held.first_min);
                if *first < needed {
                    return invalid(format!("entries up to {needed} are damaged or lost"));
                }
                too_long(marker)
            }
        }
    }

    /// Makes the change in memory. What comes back is what the disk has to do, with its bounds
    /// settled: the log thread sees them in the order in which they were settled here.
    fn apply(&mut self, operation: Operation) -> Operation {
        match operation {
            Operation::Append(records) => {
                if self.is_new() {
                    self.first = self.next_for(&records);
                }
                for record in &records {
                    self.recent_bytes += weight(record);
                    self.recent.push_back((self.operations, record.clone()));
                    self.next = record.index + 1;
                }
                Operation::Append(records)
            }
            Operation::Vote(vote) => {
                self.vote = Some(vote.clone());
                Operation::Vote(vote)
            }
            Operation::Truncate { next } => {
                let next = next.min(self.next);
                self.drop_outside(self.first, next);
                Operation::Truncate { next }
            }
            Operation::Purge { first, marker } => {
                // Purging less than what is purged already keeps the newer marker.
                let (first, marker) = match self.marker.clone() {
                    Some(kept) if first <= self.first => (self.first, kept),
                    _ => (first.max(self.first), marker),
                };
                self.marker = Some(marker.clone());
                self.drop_outside(first, self.next.max(first));
                Operation::Purge { first, marker }
            }
            Operation::Reset { first, marker, .. } => {
                let drop_rest = self.held.take().is_some_and(|held| held.drop_rest);
                let first = first.max(self.first);
                let next = if drop_rest { first } else { self.next.max(first) };
                self.marker = Some(marker.clone());
                self.drop_outside(first, next);
                Operation::Reset { first, next, vote: self.vote.clone(), marker }
            }
        }
    }

    fn drop_outside(&mut self, first: u64, next: u64) {
        self.epoch += 1;
        self.first = first;
        self.next = next;
        while self.recent.back().is_some_and(|(_, record)| record.index >= next) {
            if let Some((_, record)) = self.recent.pop_back() {
                self.recent_bytes -= weight(&record);
            }
        }
        while self.recent.front().is_some_and(|(_, record)| record.index < first) {
            if let Some((_, record)) = self.recent.pop_front() {
                self.recent_bytes -= weight(&record);
            }
        }
    }
}

fn too_long(field: &Bytes) -> Option<io::Error> {
    let text = "a vote or marker is longer than the log can keep";
    (field.len() > FIELD_BYTES_MAX).then(|| io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn weight(record: &Record) -> usize {
    record.bytes.len() + RECORD_OVERHEAD
}

fn cost(operation: &Operation) -> usize {
    match operation {
        Operation::Append(records) => records.iter().map(weight).sum(),
        _ => RECORD_OVERHEAD,
    }
}
