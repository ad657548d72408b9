//! How much of the disk is free, and how much of that is promised to pushes under way.
//!
//! The disk is asked now and then only. Without the promises, everything that is pushed between two
//! looks would be let in by the same figure, and the log could meet the end of the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::group::{Change, Mutation};

use super::error::Unavailable;

/// Stands for a disk that has not told yet.
const UNKNOWN: u64 = u64::MAX;

/// The free space, shared by those who ask the disk and those who want some of it.
#[derive(Debug)]
pub(crate) struct DiskSpace {
    free: AtomicU64,
    promised: AtomicU64,
    /// Free space below which no push is taken; 0 turns the check off.
    reserve: u64,
}

/// Space that a push may use; given back when dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    space: Arc<DiskSpace>,
    bytes: u64,
}

impl DiskSpace {
    pub(crate) fn new(reserve: u64) -> DiskSpace {
        DiskSpace { free: AtomicU64::new(UNKNOWN), promised: AtomicU64::new(0), reserve }
    }

    /// Takes over what the disk has told.
    pub(crate) fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::Relaxed);
    }

    /// What the disk has told, if it has.
    pub(crate) fn free(&self) -> Option<u64> {
        Some(self.free.load(Ordering::Relaxed)).filter(|free| *free != UNKNOWN)
    }

    /// Free space that pushes leave alone.
    pub(crate) fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Whether the reserve is whole.
    pub(crate) fn check(&self) -> Result<(), Unavailable> {
        self.suffices_for(0)
    }

    /// Whether little is free beyond the reserve: about to refuse pushes, or doing so.
    pub(crate) fn is_short(&self) -> bool {
        self.free.load(Ordering::Relaxed) < self.reserve.saturating_add(self.reserve / 4)
    }

    /// Whether this replica may take the lead from one that is short: more than not to be short, so
    /// that disks that fill up together do not pass the lead in circles.
    pub(crate) fn is_roomy(&self) -> bool {
        self.free.load(Ordering::Relaxed) >= self.reserve.saturating_add(self.reserve / 2)
    }

    /// Whether the log can take `bytes` that the leader has decided on. They may use half of the
    /// reserve: it is there for what cannot be refused politely.
    pub(crate) fn check_replicated(&self, bytes: u64) -> Result<(), Unavailable> {
        let free = self.free.load(Ordering::Relaxed);
        let needed = match self.reserve {
            0 => 0,
            reserve => (reserve / 2).saturating_add(bytes),
        };
        if free < needed { Err(Unavailable::DiskFull { free, needed }) } else { Ok(()) }
    }

    /// Promises the log room for a mutation; what only frees space is always taken.
    pub(crate) fn promise_for(
        self: &Arc<Self>,
        mutation: &Mutation,
    ) -> Result<Option<Promise>, Unavailable> {
        match mutation.change {
            Change::Push { .. } | Change::FailedPush { .. } => {
                self.promise(mutation.encoded_len() as u64).map(Some)
            }
            Change::Delete { .. } | Change::Wipe => Ok(None),
        }
    }

    /// Promises the log room for `bytes` more that leaves the reserve whole.
    pub(crate) fn promise(self: &Arc<Self>, bytes: u64) -> Result<Promise, Unavailable> {
        let others = self.promised.fetch_add(bytes, Ordering::Relaxed);
        let promise = Promise { space: Arc::clone(self), bytes };
        match self.suffices_for(others.saturating_add(bytes)) {
            Ok(()) => Ok(promise),
            Err(refusal) => {
                promise.withdraw();
                Err(refusal)
            }
        }
    }

    fn suffices_for(&self, bytes: u64) -> Result<(), Unavailable> {
        let free = self.free.load(Ordering::Relaxed);
        let needed = match self.reserve {
            0 => 0,
            reserve => reserve.saturating_add(bytes),
        };
        if free < needed { Err(Unavailable::DiskFull { free, needed }) } else { Ok(()) }
    }
}

impl Promise {
    /// Gives the space back unused.
    fn withdraw(mut self) {
        self.space.promised.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        // It counts as used until the disk is asked again.
        let used = |free: u64| (free != UNKNOWN).then(|| free.saturating_sub(self.bytes));
        // An error means that the free space is not known.
        let _unknown = self.space.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, used);
        self.space.promised.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_no_more_than_there_is() {
        let space = Arc::new(DiskSpace::new(100));
        drop(space.promise(u64::MAX).unwrap());
        space.set_free(150);
        let first = space.promise(30).unwrap();
        let refusal = Unavailable::DiskFull { free: 150, needed: 160 };
        assert_eq!(space.promise(30).unwrap_err(), refusal);
        let second = space.promise(20).unwrap();
        assert_eq!(space.check(), Ok(()));
        // What was promised is used, until the disk says otherwise.
        drop(first);
        assert_eq!(space.free(), Some(120));
        assert!(space.promise(1).is_err());
        drop(second);
        space.set_free(140);
        assert!(space.promise(40).is_ok());
        assert!(space.promise(1).is_err());
        space.set_free(99);
        assert!(space.check().is_err());
        assert!(space.check_replicated(49).is_ok());
        assert!(space.check_replicated(50).is_err());
    }

    #[test]
    fn is_short_before_it_refuses() {
        let space = Arc::new(DiskSpace::new(100));
        assert!(!space.is_short(), "it has not told yet");
        assert!(space.is_roomy());
        for (free, roomy, short, refuses) in [
            (150, true, false, false),
            (149, false, false, false),
            (125, false, false, false),
            (124, false, true, false),
            (100, false, true, false),
            (99, false, true, true),
        ] {
            space.set_free(free);
            let told = (space.is_roomy(), space.is_short(), space.check().is_err());
            assert_eq!(told, (roomy, short, refuses), "{free}");
        }
    }

    #[test]
    fn a_reserve_of_nothing_turns_the_check_off() {
        let space = Arc::new(DiskSpace::new(0));
        space.set_free(0);
        assert!(space.promise(1000).is_ok());
        assert_eq!(space.check(), Ok(()));
        assert!(space.is_roomy() && !space.is_short());
    }
}
