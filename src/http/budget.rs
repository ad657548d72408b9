//! Bounds on the memory that all request bodies hold at once, and all answers.
//!
//! Limits on single bodies do not bound their sum; this does. A request that would exceed it is
//! refused rather than made to wait, since waiting while holding a part of it could block everyone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{ANSWER_BYTES_FREE, Limits};

const GRAIN_BYTES: usize = 1024;

/// The memory that is left for request bodies, or for answers.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    grains: Arc<Semaphore>,
    /// Bytes of each lease that do not count.
    free_bytes: usize,
    /// For the one lease that may go beyond the budget, if one may.
    beyond: Option<Arc<Semaphore>>,
}

/// The part of a budget that one request holds; it is returned when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    /// Taken where the budget did not suffice; from then on nothing is counted.
    beyond: Option<OwnedSemaphorePermit>,
}

/// Nothing is left of the budget.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Budget {
    /// For what is read of all bodies, and made of them.
    pub(super) fn of_bodies(limits: &Limits) -> Budget {
        Budget { grains: grains(limits.inflight_bytes), free_bytes: 0, beyond: None }
    }

    /// For all answers, as far as they are not shared. How long an answer becomes is up to what is
    /// stored, so one at a time may be longer than the whole budget.
    pub(super) fn of_answers(limits: &Limits) -> Budget {
        Budget {
            grains: grains(limits.answer_bytes),
            free_bytes: ANSWER_BYTES_FREE,
            beyond: Some(Arc::new(Semaphore::new(1))),
        }
    }

    /// An empty lease.
    pub(super) fn lease(&self) -> Lease {
        Lease { budget: self.clone(), held: None, beyond: None }
    }
}

fn grains(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(bytes.div_ceil(GRAIN_BYTES).min(Semaphore::MAX_PERMITS)))
}

impl Lease {
    /// An empty lease of the same budget.
    pub(super) fn sibling(&self) -> Lease {
        self.budget.lease()
    }

    /// Takes what is missing for this request to hold `bytes` in all.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let counted = bytes.saturating_sub(self.budget.free_bytes);
        let missing = counted.div_ceil(GRAIN_BYTES).saturating_sub(held);
        if missing == 0 || self.beyond.is_some() {
            return Ok(());
        }
        let take = |missing| Arc::clone(&self.budget.grains).try_acquire_many_owned(missing).ok();
        let Some(more) = u32::try_from(missing).ok().and_then(take) else {
            return self.go_beyond();
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            held @ None => *held = Some(more),
        }
        Ok(())
    }

    fn go_beyond(&mut self) -> Result<(), Exhausted> {
        let beyond = self.budget.beyond.as_ref().ok_or(Exhausted)?;
        self.beyond = Some(Arc::clone(beyond).try_acquire_owned().map_err(|_| Exhausted)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_no_more_than_there_is() {
        let limits = Limits { inflight_bytes: 32 * 1024, ..Limits::default() };
        let budget = Budget::of_bodies(&limits);
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

    #[test]
    fn one_answer_at_a_time_may_go_beyond() {
        let limits = Limits { answer_bytes: 32 * 1024, ..Limits::default() };
        let budget = Budget::of_answers(&limits);
        let [mut first, mut second, mut third] = [(); 3].map(|()| budget.lease());
        let free = ANSWER_BYTES_FREE;
        assert_eq!(first.grow_to(free + 32 * 1024), Ok(()));
        assert_eq!(second.grow_to(free), Ok(()), "small answers are always possible");
        assert_eq!(second.grow_to(usize::MAX), Ok(()));
        assert_eq!(third.grow_to(free), Ok(()));
        assert_eq!(third.grow_to(free + 1), Err(Exhausted));
        drop(second);
        assert_eq!(third.grow_to(free + 1), Ok(()));
        assert_eq!(third.grow_to(1 << 40), Ok(()));
        drop((first, third));
        let mut fourth = budget.lease();
        assert_eq!(fourth.grow_to(free + 32 * 1024), Ok(()));
        assert!(fourth.beyond.is_none(), "all of it was given back");
    }
}
