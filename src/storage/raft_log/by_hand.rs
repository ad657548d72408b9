//! The log thread's work without the thread, for the simulator, whose time is its own.

use super::live::Queued;
use super::writer::{Gone, Writer};

/// How the work is handed over.
pub(crate) struct Hands {
    /// Called whenever there may be something to do.
    pub(crate) woken: Box<dyn Fn() + Send + Sync>,
    /// Called once, with what does it.
    pub(crate) take_over: Box<dyn FnOnce(ByHand) + Send>,
}

/// Does what the log thread does, one piece at a time. Dropped without [`ByHand::finish`], it leaves
/// the log as the death of the process would.
pub(crate) struct ByHand {
    writer: Writer,
    _gone: Gone,
}

/// What one batch is going to be.
pub(crate) struct Taken(Vec<Queued>);

impl ByHand {
    pub(super) fn new(writer: Writer) -> ByHand {
        let gone = Gone(writer.shared.clone());
        ByHand { writer, _gone: gone }
    }

    /// What waits, up to so many bytes but at least one operation; `None` if nothing does.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Option<Taken> {
        let taken = self.writer.take_waiting(bytes_max);
        (!taken.is_empty()).then_some(Taken(taken))
    }

    /// Writes it, syncs, tells. Whether the log can go on.
    pub(crate) fn work_off(&mut self, taken: Taken) -> bool {
        let purges = taken.0.iter().any(|queued| super::writer::is_purge(&queued.operation));
        self.writer.work_off(taken.0) && (!purges || self.writer.reclaim())
    }

    /// Makes the high-water mark durable, if it has changed.
    pub(crate) fn sync_mark(&self) {
        self.writer.high_water.sync_by_hand();
    }

    /// Whether the log was closed and everything is done.
    pub(crate) fn is_done(&self) -> bool {
        let live = super::lock(&self.writer.shared.live);
        live.closing && live.queue.is_empty()
    }

    /// Ends as the thread would.
    pub(crate) fn finish(self) {
        self.writer.high_water.sync_by_hand();
        self.writer.finish(true);
    }
}
