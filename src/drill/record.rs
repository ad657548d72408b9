//! What happened in a round, as it is noted while it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Groups of one run, and so pushes of one round.
pub(super) const GROUPS_MAX: u64 = 900_000;
/// From the values of one round to those of the next.
const VALUES_A_ROUND: u64 = 1_000_000;
const _: () = assert!(GROUPS_MAX < VALUES_A_ROUND);

/// How a push ended for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Acknowledged,
    /// It surely has no effect.
    Failed,
    /// It may have taken effect, or may still do so.
    Unknown,
}

/// One push. Times count from the beginning of the round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Push {
    pub(super) endpoint: usize,
    /// The number in its grouping key.
    pub(super) group: u64,
    /// When it was to be begun; its latency counts from here.
    pub(super) due: Duration,
    pub(super) ended: Duration,
    pub(super) outcome: Outcome,
}

impl Push {
    pub(super) fn acknowledged(&self) -> bool {
        self.outcome == Outcome::Acknowledged
    }

    pub(super) fn latency(&self) -> Duration {
        self.ended.saturating_sub(self.due)
    }
}

/// One scrape under load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scrape {
    pub(super) endpoint: usize,
    pub(super) due: Duration,
    pub(super) ended: Duration,
    pub(super) succeeded: bool,
    /// Pushes that were acknowledged before it began and that it did not show.
    pub(super) stale: usize,
}

/// What the groups of a run show, by their numbers.
pub(super) type Shown = BTreeMap<u64, u64>;

/// The account of one round; clients write it at the same time.
#[derive(Debug)]
pub(super) struct Ledger {
    begun: Instant,
    round: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next_group: u64,
    retired: BTreeSet<u64>,
    pushes: Vec<Push>,
    scrapes: Vec<Scrape>,
    /// Groups, in the order in which their pushes were acknowledged.
    acknowledged: Vec<u64>,
    /// Why something failed, and how often.
    reasons: BTreeMap<String, usize>,
}

/// Reasons that are told apart.
const REASONS_MAX: usize = 20;

impl Ledger {
    /// A ledger of the round of this number, which does not use the `retired` groups: a push to them
    /// may still take effect.
    pub(super) fn new(round: u64, retired: BTreeSet<u64>) -> Ledger {
        let inner = Inner { retired, ..Inner::default() };
        Ledger { begun: Instant::now(), round, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far into the round a moment is.
    pub(super) fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.begun)
    }

    pub(super) fn now(&self) -> Duration {
        self.at(Instant::now())
    }

    /// A group for the next push.
    pub(super) fn take_group(&self) -> u64 {
        let mut inner = self.inner();
        while inner.retired.contains(&inner.next_group) {
            inner.next_group += 1;
        }
        let group = inner.next_group;
        inner.next_group += 1;
        group
    }

    /// The value that is pushed to a group in this round.
    pub(super) fn value(&self, group: u64) -> u64 {
        value(self.round, group)
    }

    pub(super) fn push(&self, push: Push, reason: Option<String>) {
        let mut inner = self.inner();
        if push.acknowledged() {
            inner.acknowledged.push(push.group);
        }
        inner.pushes.push(push);
        inner.note(reason);
    }

    /// How many pushes were acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.inner().acknowledged.len()
    }

    /// Whether a push was acknowledged at each of so many endpoints.
    pub(super) fn acknowledged_at_all(&self, endpoints: usize) -> bool {
        let inner = self.inner();
        let at = |at| inner.pushes.iter().any(|push| push.endpoint == at && push.acknowledged());
        (0..endpoints).all(at)
    }

    /// How many of the first `count` acknowledged pushes are not shown.
    pub(super) fn not_shown(&self, count: usize, shown: &Shown) -> usize {
        let inner = self.inner();
        let first = inner.acknowledged.iter().take(count);
        first.filter(|group| shown.get(*group) != Some(&self.value(**group))).count()
    }

    pub(super) fn scrape(&self, scrape: Scrape, reason: Option<String>) {
        let mut inner = self.inner();
        inner.scrapes.push(scrape);
        inner.note(reason);
    }

    /// Pushes acknowledged, failed and unknown so far, and when the last was acknowledged.
    pub(super) fn counts(&self) -> ([usize; 3], Duration) {
        let inner = self.inner();
        let count = |outcome| inner.pushes.iter().filter(|push| push.outcome == outcome).count();
        let last = inner.pushes.iter().rev().find(|push| push.acknowledged());
        let counts = [Outcome::Acknowledged, Outcome::Failed, Outcome::Unknown].map(count);
        (counts, last.map_or(Duration::ZERO, |push| push.ended))
    }

    /// The account as it stands, when nothing is under way any more.
    pub(super) fn close(&self) -> Account {
        let mut inner = self.inner();
        Account {
            pushes: std::mem::take(&mut inner.pushes),
            scrapes: std::mem::take(&mut inner.scrapes),
            reasons: std::mem::take(&mut inner.reasons),
        }
    }
}

impl Inner {
    fn note(&mut self, reason: Option<String>) {
        let Some(reason) = reason else { return };
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }
}

/// The value of a group in a round.
pub(super) fn value(round: u64, group: u64) -> u64 {
    round * VALUES_A_ROUND + group
}

/// A closed ledger.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    pub(super) pushes: Vec<Push>,
    pub(super) scrapes: Vec<Scrape>,
    pub(super) reasons: BTreeMap<String, usize>,
}

impl Account {
    /// Groups whose pushes have ended in this way.
    pub(super) fn groups_with(&self, outcome: Outcome) -> impl Iterator<Item = u64> + '_ {
        self.pushes.iter().filter(move |push| push.outcome == outcome).map(|push| push.group)
    }
}
