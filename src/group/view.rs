//! An immutable picture of the state.

use std::sync::Arc;

use crate::clock::UnixNanos;
use crate::group::chunked::Chunked;
use crate::group::family::Families;
use crate::group::hash::Digest;
use crate::group::items::{
    Item, family_key, family_value, group_key, group_value, meta_item, recent_key, recent_value,
};
use crate::group::key::GroupingKey;
use crate::group::recent::RecentIndex;
use crate::group::stored::Group;
use crate::group::times::is_time_family;
use crate::trials::{self, Bug};

/// Figures about the state, kept up to date with each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) applied_index: u64,
    pub(crate) last_at: UnixNanos,
    pub(crate) groups: u64,
    /// Families of groups, without those of push times.
    pub(crate) family_items: u64,
    pub(crate) recent_indexes: u64,
    pub(crate) series: u64,
    pub(crate) state_bytes: u64,
    pub(crate) digest: Digest,
}

/// The state as it was after some log entry. Copies share everything; writers never wait for those
/// who read one, nor do readers for writers.
#[derive(Debug, Clone)]
pub struct View {
    groups: Chunked<Arc<Group>>,
    families: Families,
    recent: Chunked<Arc<RecentIndex>>,
    totals: Totals,
}

impl View {
    pub(crate) fn new(
        groups: Chunked<Arc<Group>>,
        families: Families,
        recent: Chunked<Arc<RecentIndex>>,
        totals: Totals,
    ) -> Self {
        View { groups, families, recent, totals }
    }

    /// All groups in order.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().map(|group| &**group)
    }

    /// The group with this key.
    pub fn group(&self, key: &GroupingKey) -> Option<&Group> {
        self.groups.get(key).map(|group| &**group)
    }

    /// Number of groups.
    pub fn group_count(&self) -> u64 {
        self.totals.groups
    }

    /// Number of metric names, the two of push times included.
    pub fn family_count(&self) -> u64 {
        self.families.list().len() as u64
    }

    /// Number of series, those of push times included.
    pub fn series_count(&self) -> u64 {
        self.totals.series
    }

    /// Bytes of what is stored: encoded metrics, names and help texts, and a fixed number for each
    /// family. Indexes, caches and the allocator come on top; compression of metrics takes off.
    pub fn state_bytes(&self) -> u64 {
        self.totals.state_bytes
    }

    /// The index of the newest batch in it, 0 before the first.
    pub fn applied_index(&self) -> u64 {
        self.totals.applied_index
    }

    /// The time of the newest batch in it.
    pub fn last_at(&self) -> UnixNanos {
        self.totals.last_at
    }

    /// Proves what it holds: replicas that applied the same entries have the same digest.
    pub fn digest(&self) -> u128 {
        self.totals.digest.to_u128()
    }

    /// Everything there is to persist, for a snapshot.
    pub fn items(&self) -> impl Iterator<Item = Item> + '_ {
        let of_recent =
            |recent: &Arc<RecentIndex>| Item::new(recent_key(recent.index), recent_value(recent));
        std::iter::once_with(|| meta_item(&self.totals))
            .chain(self.groups.iter().flat_map(|group| group_items(group)))
            .chain(self.recent.iter().filter(|_| !trials::bug(Bug::SnapshotForgets)).map(of_recent))
    }

    pub(crate) fn recent(&self) -> &Chunked<Arc<RecentIndex>> {
        &self.recent
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(crate) fn families(&self) -> &Families {
        &self.families
    }
}

/// Made one by one: all of a group at once could be a large part of the state.
fn group_items(group: &Group) -> impl Iterator<Item = Item> + '_ {
    let own = std::iter::once_with(|| Item::new(group_key(&group.key), group_value(group)));
    let families = group.families.iter().filter(|f| !is_time_family(&f.name));
    own.chain(families.map(|f| Item::new(family_key(&group.key, &f.name), family_value(f))))
}
