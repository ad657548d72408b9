//! When this replica heard from the leader, and how old its own state can be at most.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Signs of life that are remembered: of a few seconds.
const REMEMBERED: usize = 64;

/// How often a leader notes that it was followed.
const LED_INTERVAL: Duration = Duration::from_millis(100);

/// A sign of life of the leader, which this replica has followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    /// What the leader knew to be committed when it sent it.
    pub(crate) commit: Option<u64>,
}

/// The leader's latest signs of life, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Contact {
    heard: Mutex<VecDeque<Heard>>,
}

impl Contact {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heard(&self, sign: Heard) {
        let mut heard = self.lock();
        if heard.len() == REMEMBERED {
            heard.pop_front();
        }
        heard.push_back(sign);
    }

    /// The same of this replica, while it leads itself; what comes soon after another is left out.
    pub(crate) fn led(&self, sign: Heard) {
        if self.newest().is_none_or(|newest| newest.at + LED_INTERVAL <= sign.at) {
            self.heard(sign);
        }
    }

    /// The newest sign of life.
    pub(crate) fn newest(&self) -> Option<Heard> {
        self.lock().back().copied()
    }

    /// When a state that has applied everything up to `applied` was the newest there is. `None`: too
    /// long ago to tell.
    pub(crate) fn fresh_at(&self, applied: Option<u64>) -> Option<Instant> {
        let heard = self.lock();
        heard.iter().rev().find(|sign| sign.commit <= applied).map(|sign| sign.at)
    }
}

/// How long ago something was.
pub(crate) fn age(at: Instant) -> Duration {
    Instant::now().saturating_duration_since(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_state_is_that_of_the_newest_commit_it_holds() {
        let contact = Contact::default();
        assert!(contact.newest().is_none() && contact.fresh_at(Some(9)).is_none());
        let begin = Instant::now();
        let second = |n| begin + Duration::from_secs(n);
        for (at, commit) in [(0, None), (1, Some(5)), (2, Some(5)), (3, Some(8))] {
            contact.heard(Heard { at: second(at), commit });
        }
        assert_eq!(contact.fresh_at(None), Some(second(0)));
        assert_eq!(contact.fresh_at(Some(4)), Some(second(0)));
        assert_eq!(contact.fresh_at(Some(7)), Some(second(2)));
        assert_eq!(contact.fresh_at(Some(8)), Some(second(3)));
        assert_eq!(contact.newest().unwrap().commit, Some(8));
        for _ in 0..REMEMBERED {
            contact.heard(Heard { at: second(4), commit: Some(9) });
        }
        assert_eq!(contact.fresh_at(Some(8)), None, "older signs are forgotten");
    }
}
