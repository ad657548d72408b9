//! Which group a series belongs to.

use std::hash::BuildHasherDefault;

use hashbrown::HashMap;

use crate::group::hash::{Fingerprint, Identity};

/// Parts of the index. A map that grows moves all it holds; many small ones grow in small steps, so
/// that no push has to wait for a big one.
const SHARDS: usize = 256;

type Shard = HashMap<Fingerprint, u64, BuildHasherDefault<Identity>>;

/// The owner of each stored series: the slot of its group.
///
/// Never iterated, so the order inside the maps is nobody's business.
#[derive(Debug, Clone)]
pub(crate) struct SeriesIndex {
    shards: Vec<Shard>,
}

impl Default for SeriesIndex {
    fn default() -> Self {
        SeriesIndex { shards: vec![Shard::default(); SHARDS] }
    }
}

impl SeriesIndex {
    /// The slot of the group that has this series.
    pub(crate) fn owner(&self, series: Fingerprint) -> Option<u64> {
        self.shards.get(series.shard(SHARDS))?.get(&series).copied()
    }

    /// Notes the owner of a series and returns the one before.
    pub(crate) fn insert(&mut self, series: Fingerprint, slot: u64) -> Option<u64> {
        self.shards.get_mut(series.shard(SHARDS))?.insert(series, slot)
    }

    /// Forgets a series.
    pub(crate) fn remove(&mut self, series: Fingerprint) {
        if let Some(shard) = self.shards.get_mut(series.shard(SHARDS)) {
            shard.remove(&series);
        }
    }

    /// Series known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(Shard::len).sum()
    }
}
