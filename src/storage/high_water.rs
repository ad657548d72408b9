//! The high-water mark: what the Raft log had made durable, kept apart from the log itself.
//!
//! No log can notice by itself that its tail is gone: a shorter log looks like an older one. So
//! after each fsync of the log, and before anyone is told, the newest durable [`HardState`] is
//! written here. At start a log that is behind its mark has lost what was promised to others.
//!
//! The mark is made durable behind the log, at most once per interval, by a thread of its own: a
//! push waits for one fsync, not two. Hence the mark never exceeds what is durable; after the death
//! of the process it is exact; after a power cut it lags by at most the interval (and the sync), so
//! that a log which loses its tail at the same moment *and beyond what the disk had confirmed* could
//! go unnoticed for the batches of that interval.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::{Error, Subject, Verb};
use super::hard_state::HardState;
use super::slots::Slots;
use super::{lock, wait};

/// The mark of a log that is open.
#[derive(Debug)]
pub(super) struct HighWater {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    slots: Slots,
    pending: Mutex<Pending>,
    changed: Condvar,
    interval: Duration,
}

#[derive(Debug, Default)]
struct Pending {
    dirty: bool,
    closing: bool,
    /// A failed sync is never retried: what it should have written may be gone.
    failed: Option<(io::ErrorKind, String)>,
}

/// What the mark says at start.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) state: HardState,
    pub(super) slot_spoiled: bool,
}

/// Makes the mark of an empty log, durably.
pub(super) fn create(path: &Path) -> Result<(), Error> {
    Slots::create(path, Subject::HighWater, &HardState::default().encode())
}

impl HighWater {
    /// Reads the mark and starts its thread, unless there is no interval: then it is synced by hand.
    pub(super) fn open(
        path: &Path,
        interval: Option<Duration>,
    ) -> Result<(HighWater, Mark), Error> {
        let (slots, latest) = Slots::open(path, Subject::HighWater)?;
        let state = HardState::decode(&latest.record)
            .filter(|state| state.sequence == latest.sequence)
            .ok_or_else(|| Error::damaged(Subject::HighWater, path, "its fields do not fit"))?;
        let mark = Mark { state, slot_spoiled: latest.other_spoiled };
        let pending = Mutex::default();
        let unattended = interval.is_none();
        let interval = interval.unwrap_or_default();
        let shared = Arc::new(Shared { slots, pending, changed: Condvar::new(), interval });
        if unattended {
            return Ok((HighWater { shared, thread: None }, mark));
        }
        let thread = std::thread::Builder::new().name("high-water".into()).spawn({
            let shared = shared.clone();
            move || shared.sync_behind()
        });
        let thread = thread.map_err(|e| Error::io(Subject::HighWater, Verb::Open, path, &e))?;
        Ok((HighWater { shared, thread: Some(thread) }, mark))
    }

    /// Notes that `state` is durable in the log.
    pub(super) fn record(&self, state: &HardState) -> io::Result<()> {
        self.shared.slots.write(state.sequence, &state.encode())?;
        let mut pending = lock(&self.shared.pending);
        if let Some((kind, text)) = &pending.failed {
            return Err(io::Error::new(*kind, text.clone()));
        }
        if !pending.dirty {
            pending.dirty = true;
            self.shared.changed.notify_all();
        }
        Ok(())
    }

    /// Makes the mark durable, if it has changed, in place of the thread.
    #[cfg(test)]
    pub(super) fn sync_by_hand(&self) {
        let mut pending = lock(&self.shared.pending);
        if std::mem::take(&mut pending.dirty) {
            self.shared.slots.sync().unwrap();
        }
    }

    /// Makes the mark durable and ends its thread.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.end();
        match &lock(&self.shared.pending).failed {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        lock(&self.shared.pending).closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for HighWater {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn sync_behind(&self) {
        let mut pending = lock(&self.pending);
        loop {
            while !pending.dirty && !pending.closing {
                pending = wait(&self.changed, pending);
            }
            if !pending.dirty {
                return;
            }
            // Waiting first is what coalesces the batches of one interval into one sync.
            let waited = self.changed.wait_timeout_while(pending, self.interval, |p| !p.closing);
            pending = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            pending.dirty = false;
            drop(pending);
            let synced = self.slots.sync();
            pending = lock(&self.pending);
            if let Err(e) = synced {
                let text = self.slots.error(Verb::Sync, &e).to_string();
                pending.failed = Some((e.kind(), text));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_what_was_recorded_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("high-water");
        create(&path).unwrap();
        for round in 0..3_u64 {
            let (high_water, mark) = HighWater::open(&path, Some(Duration::from_hours(1))).unwrap();
            assert_eq!((mark.state.sequence, mark.slot_spoiled), (round * 10, false));
            for sequence in round * 10 + 1..=round * 10 + 10 {
                let state = HardState { sequence, next: sequence * 2, ..HardState::default() };
                high_water.record(&state).unwrap();
            }
            if round == 1 {
                high_water.close().unwrap();
            }
        }
    }
}
