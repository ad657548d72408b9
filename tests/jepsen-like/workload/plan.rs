//! What one client does next.

use std::sync::Arc;

use super::kind::Kind;
use super::random::Random;
use crate::history::{Action, Cell, Cells, Group};

/// Groups that all clients fight over.
const HOT_GROUPS: u64 = 5;
/// Changes to a hot group before another takes its place, where an order has to be searched for.
const CHANGES_PER_GROUP: u64 = 250;
const CHURN_GROUPS: u64 = 10_000;
const LARGE_GROUPS: u64 = 4;
/// A series of a large body has about four hundred bytes.
const LARGE_SERIES_MIN: u64 = 2_500;
const LARGE_SERIES_MORE: u64 = 10_000;
/// Kinds whose scrapes are long are scraped so many times a second.
const LONG_SCRAPES_PER_SECOND: u64 = 1;
/// Of its four seconds, W7 writes in one.
const READS_PERIOD: u64 = 4;
const SECOND: u64 = 1_000_000_000;

/// Makes an action, with a weight among others.
type Choice = (u64, fn(&mut Plan, u64) -> Action);

/// An action, and whether it is to be sent several times.
pub(super) struct Step {
    pub(super) action: Action,
    /// Repetitions with the same key after the first attempt.
    pub(super) repeats: u32,
}

/// Which values a client pushes, and to what.
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) random: Random,
    /// The client's number and how many there are, so that values are its own.
    pub(super) number: u64,
    pub(super) clients: u64,
    pub(super) ops_per_second: u64,
    pub(super) pushed: u64,
}

impl Plan {
    /// The next step, `now` nanoseconds after the epoch.
    pub(super) fn step(&mut self, now: u64) -> Step {
        let action = match self.kind {
            Kind::Puts => self.one_of(now, 400, &[(1000, Plan::put)]),
            Kind::Mix => {
                self.one_of(now, 250, &[(450, Plan::put), (350, Plan::post), (200, Plan::delete)])
            }
            Kind::Set | Kind::Large => self.one_of(now, self.long_scrapes(), &[(1000, Plan::put)]),
            Kind::Inconsistent => {
                self.one_of(now, 250, &[(500, Plan::put), (500, Plan::inconsistent)])
            }
            Kind::Retries => self.one_of(now, 200, &[(800, Plan::put), (200, Plan::delete)]),
            Kind::Reads => {
                let writes = (now / SECOND).is_multiple_of(READS_PERIOD);
                self.one_of(now, if writes { 600 } else { 1000 }, &[(1000, Plan::put)])
            }
            Kind::Churn => {
                let scrapes = self.long_scrapes();
                self.one_of(
                    now,
                    scrapes,
                    &[(599, Plan::put), (400, Plan::delete), (1, |_, _| Action::Wipe)],
                )
            }
        };
        let repeated = self.kind == Kind::Retries && action != Action::Scrape;
        let repeats = if repeated { u32::try_from(self.random.below(4)).unwrap_or(0) } else { 0 };
        Step { action, repeats }
    }

    /// Of a thousand operations, so many are scrapes that there is about one a second.
    fn long_scrapes(&self) -> u64 {
        (1000 * LONG_SCRAPES_PER_SECOND / self.ops_per_second.max(1)).clamp(1, 300)
    }

    /// Scrapes, so many times in a thousand; else one of the choices by its weight.
    fn one_of(&mut self, now: u64, scrapes: u64, of: &[Choice]) -> Action {
        if self.random.per_mille(scrapes) {
            return Action::Scrape;
        }
        let mut drawn = self.random.below(1000);
        for (weight, make) in of {
            if drawn < *weight {
                return make(self, now);
            }
            drawn -= weight;
        }
        Action::Scrape
    }

    /// A value that nobody else pushes.
    fn value(&mut self) -> u64 {
        self.pushed += 1;
        self.pushed * self.clients + self.number
    }

    fn group(&mut self, now: u64) -> Group {
        match self.kind {
            Kind::Puts | Kind::Reads => Arc::from(format!("g{}", self.random.below(HOT_GROUPS))),
            Kind::Mix | Kind::Inconsistent | Kind::Retries => {
                let slot = self.random.below(HOT_GROUPS);
                let seconds = (CHANGES_PER_GROUP * HOT_GROUPS / self.ops_per_second.max(1)).max(1);
                Arc::from(format!("g{slot}-{}", now / SECOND / seconds))
            }
            Kind::Set => Arc::from(format!("s{}-{}", self.number, self.pushed)),
            Kind::Large => Arc::from(format!("l{}", self.random.below(LARGE_GROUPS))),
            Kind::Churn => Arc::from(format!("c{}", self.random.below(CHURN_GROUPS))),
        }
    }

    fn cells(&mut self, families: &[&str]) -> Cells {
        let value = self.value();
        let series = if self.kind == Kind::Large {
            u32::try_from(LARGE_SERIES_MIN + self.random.below(LARGE_SERIES_MORE)).unwrap_or(1)
        } else {
            1
        };
        families.iter().map(|family| (Arc::from(*family), Cell { value, series })).collect()
    }

    fn put(&mut self, now: u64) -> Action {
        let families: &[&str] = match self.kind {
            Kind::Mix | Kind::Inconsistent | Kind::Retries => &["a", "b"],
            _ => &["a"],
        };
        let cells = self.cells(families);
        Action::Put { group: self.group(now), cells }
    }

    fn post(&mut self, now: u64) -> Action {
        let cells = match self.random.below(3) {
            0 => self.cells(&["a"]),
            1 => self.cells(&["b"]),
            _ => self.cells(&["a", "b"]),
        };
        Action::Post { group: self.group(now), cells }
    }

    fn delete(&mut self, now: u64) -> Action {
        Action::Delete { group: self.group(now) }
    }

    fn inconsistent(&mut self, now: u64) -> Action {
        Action::Inconsistent { group: self.group(now) }
    }
}
