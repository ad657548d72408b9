//! The replicated state and the only way to change it.

use std::sync::Arc;

use crate::clock::UnixNanos;
use crate::group::chunked::Chunked;
use crate::group::dirty::{Dirty, DirtyNames};
use crate::group::family::Families;
use crate::group::hash::Hashes;
use crate::group::index::SeriesIndex;
use crate::group::mutation::{Batch, Outcome, RequestId, StateLimits};
use crate::group::recent::{Recent, RecentIndex, remembered};
use crate::group::stored::Group;
use crate::group::view::{Totals, View};
use crate::trials::{self, Bug};

/// All groups, and what it takes to keep them consistent.
#[derive(Debug, Clone)]
pub struct GroupStore {
    pub(crate) hashes: Hashes,
    pub(crate) groups: Chunked<Arc<Group>>,
    pub(crate) families: Families,
    pub(crate) index: SeriesIndex,
    pub(crate) recent: Recent,
    pub(crate) totals: Totals,
    /// The slot of the next group. Slots are never reused.
    pub(crate) next_slot: u64,
    pub(crate) dirty: DirtyNames,
}

/// What all mutations of a batch have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) at: UnixNanos,
    pub(crate) limits: StateLimits,
}

impl GroupStore {
    /// An empty store. `hash_key` must be the same on all replicas, and secret from clients.
    pub fn new(hash_key: [u8; 16]) -> Self {
        let hashes = Hashes::new(&hash_key);
        let mut totals = Totals::default();
        totals.digest = hashes.base(totals.applied_index, totals.last_at);
        GroupStore {
            hashes,
            groups: Chunked::default(),
            families: Families::default(),
            index: SeriesIndex::default(),
            recent: Recent::default(),
            totals,
            next_slot: 0,
            dirty: DirtyNames::default(),
        }
    }

    /// Applies one log entry and tells what became of each of its mutations. Total: the outcomes and
    /// the state after it follow from the state before it and the entry, and from nothing else.
    ///
    /// # Panics
    ///
    /// If an entry comes twice or late: the layer above would be broken beyond repair.
    pub fn apply(&mut self, index: u64, batch: &Batch) -> Vec<Outcome> {
        assert!(
            index > self.totals.applied_index,
            "entry {index} comes after entry {}",
            self.totals.applied_index
        );
        // A leader whose clock is behind its predecessor's must not turn back time.
        let at = batch.at.max(self.totals.last_at);
        let terms = Terms { at, limits: batch.limits };
        let mut requests: Vec<(RequestId, Outcome)> = Vec::with_capacity(batch.mutations.len());
        let mut outcomes = Vec::with_capacity(batch.mutations.len());
        for mutation in &batch.mutations {
            let so_far = (index, &*requests);
            let known = self.recent.find(&self.hashes, mutation.id, so_far);
            if let Some(known) = known.filter(|_| !trials::bug(Bug::NoDedupe)) {
                outcomes.push(known);
                continue;
            }
            let outcome = self.change(terms, &mutation.change);
            if let Some(outcome) = remembered(&outcome) {
                self.recent.note(&self.hashes, mutation.id, index);
                requests.push((mutation.id, outcome));
            }
            outcomes.push(outcome);
        }
        self.remember(index, at, requests);
        self.advance(index, at);
        outcomes
    }

    /// The state as it is now. Costs a few reference counts.
    pub fn view(&self) -> View {
        View::new(
            self.groups.clone(),
            self.families.clone(),
            self.recent.by_index().clone(),
            self.totals,
        )
    }

    /// The items that changed since the last call, as they are now. The caller encodes them, with
    /// [`Dirty::into_items`], where it holds up nobody.
    pub fn take_dirty(&mut self) -> Dirty {
        Dirty::new(std::mem::take(&mut self.dirty), self.view())
    }

    fn remember(&mut self, index: u64, at: UnixNanos, requests: Vec<(RequestId, Outcome)>) {
        if requests.is_empty() {
            return;
        }
        let new = RecentIndex::new(&self.hashes, index, at, requests);
        self.totals.digest = self.totals.digest.plus(new.digest);
        for old in self.recent.remember(&self.hashes, new) {
            self.totals.digest = self.totals.digest.minus(old.digest);
            self.dirty.recent(old.index);
        }
        self.dirty.recent(index);
        self.totals.recent_indexes = self.recent.by_index().len() as u64;
    }

    fn advance(&mut self, index: u64, at: UnixNanos) {
        let totals = &mut self.totals;
        let before = self.hashes.base(totals.applied_index, totals.last_at);
        (totals.applied_index, totals.last_at) = (index, at);
        let after = self.hashes.base(index, at);
        totals.digest = totals.digest.minus(before).plus(after);
    }
}
