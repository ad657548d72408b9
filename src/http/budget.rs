//! A bound on the memory that all request bodies hold at once.
//!
//! Limits on single bodies do not bound their sum; this does. A request that would exceed it is
//! refused rather than made to wait, since waiting while holding a part of it could block everyone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;

const GRAIN_BYTES: usize = 1024;

/// The memory that is left for request bodies.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    grains: Arc<Semaphore>,
}

/// The part of a budget that one request holds; it is returned when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
}

/// Nothing is left of the budget.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Budget {
    pub(super) fn new(limits: &Limits) -> Budget {
        let grains = limits.inflight_bytes.div_ceil(GRAIN_BYTES);
        Budget { grains: Arc::new(Semaphore::new(grains.min(Semaphore::MAX_PERMITS))) }
    }

    /// An empty lease.
    pub(super) fn lease(&self) -> Lease {
        Lease { budget: self.clone(), held: None }
    }
}

impl Lease {
    /// An empty lease of the same budget.
    pub(super) fn sibling(&self) -> Lease {
        self.budget.lease()
    }

    /// Takes what is missing for this request to hold `bytes` in all.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.div_ceil(GRAIN_BYTES).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| Exhausted)?;
        let more = Arc::clone(&self.budget.grains).try_acquire_many_owned(missing);
        let more = more.map_err(|_| Exhausted)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            held @ None => *held = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_no_more_than_there_is() {
        let limits = Limits { inflight_bytes: 32 * 1024, ..Limits::default() };
        let budget = Budget::new(&limits);
        let (mut first, mut second) = (budget.lease(), budget.lease());
        assert_eq!(first.grow_to(1), Ok(()));
        assert_eq!(first.grow_to(1000), Ok(()));
        assert_eq!(first.grow_to(16 * 1024), Ok(()));
        assert_eq!(second.grow_to(16 * 1024 + 1), Err(Exhausted));
        assert_eq!(second.grow_to(16 * 1024), Ok(()));
        assert_eq!(first.grow_to(16 * 1024 + 1), Err(Exhausted));
        drop(second);
        assert_eq!(first.grow_to(32 * 1024), Ok(()));
    }
}
