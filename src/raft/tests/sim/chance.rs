//! Chance that follows from a seed.

use std::cell::Cell;
use std::sync::Mutex;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::storage::testing::Rng;

thread_local! {
    /// What the replicas of this thread draw by lot; none outside of the simulator.
    static DRAWN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on what replicas draw on this thread follows from the seed.
pub(super) fn begin(seed: u64) {
    DRAWN.set(Some(seed));
}

pub(super) fn end() {
    DRAWN.set(None);
}

/// The generator for the next thing that a replica draws, if a simulation goes on.
pub(crate) fn seeded() -> Option<SmallRng> {
    let mut state = Rng(DRAWN.get()?);
    let drawn = state.next();
    DRAWN.set(Some(state.0));
    Some(SmallRng::seed_from_u64(drawn))
}

/// What decides about the world around the replicas.
pub(super) struct Chance(Mutex<Rng>);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(Mutex::new(Rng(seed)))
    }

    pub(super) fn below(&self, bound: u64) -> u64 {
        self.0.lock().unwrap().below(bound.max(1))
    }

    pub(super) fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// Whether something happens that happens in so many of a thousand cases.
    pub(super) fn permille(&self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    pub(super) fn millis(&self, from: u64, to: u64) -> Duration {
        self.micros(from * 1000, to * 1000)
    }

    pub(super) fn micros(&self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from + self.below(to - from))
    }
}
