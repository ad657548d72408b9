//! The log thread: all writing, one batch and one fsync for everything that waits.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use super::super::hard_state::HardState;
use super::super::high_water::HighWater;
use super::super::{lock, wait};
use super::engine::{Batch, Failure, LogEngine};
use super::live::{Live, Operation, Queued};
use super::{OnSync, Shared, closed};
use crate::trials::{self, Bug, Place};

/// Bytes of records after which a batch is written although more is waiting.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Batches after which purged space is given back although the queue was never empty.
const RECLAIM_DELAY_MAX: u32 = 256;

/// Operations below which nobody is waited for: a few make no group that is worth a delay.
const GATHER_MIN: usize = 8;
/// The longest wait for a group, as this part of the time that the last sync took.
const GATHER_SHARE: u32 = 4;

/// What the log thread owns.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: Arc<LogEngine>,
    pub(super) high_water: HighWater,
    /// What the next batch carries on from.
    pub(super) state: HardState,
    /// How far the log is committed, for the next batch that is written anyway.
    pub(super) hint: Option<Bytes>,
    /// A reset continues above what the mark says, so that the mark becomes true again.
    pub(super) sequence_min: u64,
    pub(super) tail_bytes_max: usize,
    pub(super) on_sync: OnSync,
    pub(super) batch: Batch,
    pub(super) expected: Expected,
}

/// What the next group may become.
pub(super) struct Expected {
    /// All that were told last, and all that waited meanwhile.
    pub(super) operations: usize,
    pub(super) until: Instant,
}

impl Writer {
    /// Works until the log is closed and the queue is empty.
    pub(super) fn run(mut self) {
        let _gone = Gone(self.shared.clone());
        // Batches since a purge whose space has not been given back yet.
        let mut unclaimed: Option<u32> = None;
        let mut usable = true;
        while let Some(taken) = self.take(unclaimed.is_some() && usable) {
            let purges = taken.iter().any(|queued| is_purge(&queued.operation));
            unclaimed = if purges { unclaimed.or(Some(0)) } else { unclaimed.map(|n| n + 1) };
            let idle = taken.is_empty();
            usable &= self.work_off(taken);
            if usable && unclaimed.is_some_and(|batches| idle || batches >= RECLAIM_DELAY_MAX) {
                unclaimed = None;
                usable = self.reclaim();
            }
        }
        self.finish(usable);
    }

    /// Waits for work: operations, or nothing when purged space should be given back while the
    /// queue is empty. `None` once the log is closed and everything is done.
    fn take(&mut self, reclaim: bool) -> Option<Vec<Queued>> {
        let mut live = lock(&self.shared.live);
        while live.queue.is_empty() {
            if live.closing {
                return None;
            }
            if reclaim {
                return Some(Vec::new());
            }
            live = wait(&self.shared.work, live);
        }
        drop(self.gather(live));
        Some(self.take_waiting(BATCH_BYTES_MAX))
    }

    /// Takes what waits, up to the size of one batch.
    pub(super) fn take_waiting(&mut self, bytes_max: usize) -> Vec<Queued> {
        let mut live = lock(&self.shared.live);
        let mut taken = live.take(bytes_max);
        // What is committed may be among the entries that still wait, or take the place of some.
        if live.queue.is_empty() {
            self.hint.clone_from(&live.committed);
        }
        drop(live);
        self.shared.room.notify_all();
        if trials::bug(Bug::AckBeforeFsync) {
            answer_early(&mut taken);
        }
        taken
    }

    /// Those who were told at the last sync are about to come back, while those who came too late
    /// for it wait already: taken at once, they would go on in two halves for ever. So whoever comes
    /// within a fraction of what a sync takes comes along.
    fn gather<'a>(&self, mut live: MutexGuard<'a, Live>) -> MutexGuard<'a, Live> {
        let expected = self.expected.operations;
        if expected < GATHER_MIN {
            return live;
        }
        live.wanted = expected;
        while live.queue.len() < expected && live.queue_bytes < BATCH_BYTES_MAX && !live.closing {
            let left = self.expected.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.work.wait_timeout(live, left);
            live = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        live.wanted = 0;
        live
    }

    /// Writes, syncs, tells. Whether the engine may be used any more.
    pub(super) fn work_off(&mut self, taken: Vec<Queued>) -> bool {
        let begun = Instant::now();
        let last = taken.last().map_or(0, |queued| queued.number);
        let written = self.write(&taken);
        let took = begun.elapsed();
        let mut live = lock(&self.shared.live);
        match written {
            Ok(Written { synced, records, bytes }) => {
                live.evict(last, self.tail_bytes_max);
                let operations = taken.len() + live.queue.len();
                drop(live);
                for queued in taken {
                    (queued.done)(queued.operation.map(drop));
                }
                self.expected =
                    Expected { operations, until: Instant::now() + took / GATHER_SHARE };
                if synced {
                    (self.on_sync)(took, records, bytes);
                }
                true
            }
            Err(Failure { cause, fatal }) => {
                let (kind, text) = failure(&mut live, &cause);
                drop(live);
                for queued in taken {
                    let answer = queued.operation.and_then(|_| Err(io::Error::new(kind, &*text)));
                    (queued.done)(answer);
                }
                !fatal
            }
        }
    }

    fn write(&mut self, taken: &[Queued]) -> Result<Written, Failure> {
        let not_fatal = |cause| Failure { cause, fatal: false };
        if let Some((kind, text)) = &lock(&self.shared.live).failed
            && taken.iter().any(|queued| queued.operation.is_ok())
        {
            return Err(not_fatal(io::Error::new(*kind, text.clone())));
        }
        let mut changed = false;
        for operation in taken.iter().filter_map(|queued| queued.operation.as_ref().ok()) {
            changed |= self.add(operation).map_err(not_fatal)?;
        }
        if !changed {
            return Ok(Written::default());
        }
        let (records, bytes) = (self.batch.records, self.batch.bytes);
        self.state.sequence += 1;
        self.state.committed.clone_from(&self.hint);
        self.batch.hard_state(&self.state).map_err(not_fatal)?;
        trials::at(Place::LogFsyncBefore).map_err(not_fatal)?;
        self.engine.write(&mut self.batch, true)?;
        trials::at(Place::LogFsyncAfter).map_err(not_fatal)?;
        self.high_water.record(&self.state).map_err(not_fatal)?;
        Ok(Written { synced: true, records, bytes })
    }

    /// Adds one operation to the batch. Whether it has anything for the disk.
    fn add(&mut self, operation: &Operation) -> io::Result<bool> {
        match operation {
            Operation::Append(records) => {
                if let (Some(first), 0, None) =
                    (records.first(), self.state.next, &self.state.marker)
                {
                    (self.state.first, self.state.next) = (first.index, first.index);
                }
                if records.first().is_some_and(|record| record.index != self.state.next) {
                    return Err(io::Error::other("the log thread lost count of the entries"));
                }
                for record in records {
                    self.batch.append(record);
                    self.state.next = record.index + 1;
                }
                return Ok(!records.is_empty());
            }
            Operation::Vote(_) if trials::bug(Bug::VoteNotStored) => return Ok(false),
            Operation::Vote(vote) => self.state.vote = Some(vote.clone()),
            Operation::Truncate { next } => {
                self.batch.break_sequence()?;
                self.state.next = *next;
            }
            Operation::Purge { first, marker } => {
                trials::at(Place::PurgeBefore)?;
                self.batch.purge(*first)?;
                self.state.first = *first;
                self.state.next = self.state.next.max(*first);
                self.state.marker = Some(marker.clone());
            }
            Operation::Reset { first, next, vote, marker } => {
                self.batch.purge(*first)?;
                self.state.sequence = self.state.sequence.max(self.sequence_min);
                (self.state.first, self.state.next) = (*first, *next);
                self.state.vote.clone_from(vote);
                self.state.marker = Some(marker.clone());
            }
        }
        Ok(true)
    }

    /// Gives purged space back. That it fails costs space and nothing else, and the next purge
    /// tries again; but a failed sync is fatal here as everywhere. Whether the engine may be used
    /// any more.
    pub(super) fn reclaim(&self) -> bool {
        let result = trials::at(Place::PurgeAfter)
            .map_err(|cause| Failure { cause, fatal: false })
            .and_then(|()| self.engine.reclaim());
        let mut live = lock(&self.shared.live);
        live.reclaim_error = None;
        if let Err(Failure { cause, fatal }) = result {
            live.reclaim_error = Some(cause.to_string());
            if fatal {
                failure(&mut live, &cause);
            }
            return !fatal;
        }
        true
    }

    pub(super) fn finish(mut self, usable: bool) {
        let live = lock(&self.shared.live);
        let unchanged = live.committed == self.state.committed;
        let idle = unchanged || live.held.is_some() || live.failed.is_some();
        let committed = live.committed.clone();
        drop(live);
        if usable && !idle {
            self.state.committed = committed;
            self.state.sequence += 1;
            // Nobody waits for this hint, so nobody is told if it does not get there.
            if self.batch.hard_state(&self.state).is_ok() {
                drop(self.engine.write(&mut self.batch, false));
            }
        }
        drop(self.high_water.close());
        if usable {
            drop(self.engine);
        } else {
            // Closing the engine would sync once more what could not be synced.
            std::mem::forget(self.engine);
        }
    }
}

/// What one batch did.
#[derive(Default)]
struct Written {
    synced: bool,
    records: usize,
    bytes: usize,
}

pub(super) fn is_purge(operation: &io::Result<Operation>) -> bool {
    matches!(operation, Ok(Operation::Purge { .. } | Operation::Reset { .. }))
}

/// Tells all who append that it is done.
fn answer_early(taken: &mut [Queued]) {
    for queued in taken.iter_mut().filter(|q| matches!(q.operation, Ok(Operation::Append(_)))) {
        std::mem::replace(&mut queued.done, Box::new(|_| {}))(Ok(()));
    }
}

/// Makes the failure the answer to everything from now on, unless there was one before.
fn failure(live: &mut Live, cause: &io::Error) -> (io::ErrorKind, String) {
    live.failed.get_or_insert_with(|| (cause.kind(), cause.to_string())).clone()
}

/// Answers what is still queued when the log thread ends, even if by a panic: nobody waits for ever.
pub(super) struct Gone(pub(super) Arc<Shared>);

impl Drop for Gone {
    fn drop(&mut self) {
        let mut live = lock(&self.0.live);
        live.closing = true;
        let rest = std::mem::take(&mut live.queue);
        drop(live);
        self.0.room.notify_all();
        for queued in rest {
            (queued.done)(Err(closed()));
        }
    }
}
