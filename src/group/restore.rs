//! Builds a store from persisted items, and proves that it is what was persisted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::UnixNanos;
use crate::group::chunked::Chunked;
use crate::group::dirty::DirtyNames;
use crate::group::examine::{examine, fingerprints};
use crate::group::family::Families;
use crate::group::hash::{GroupHasher, Hashes};
use crate::group::index::SeriesIndex;
use crate::group::items::{FORMAT, Item, LoadedFamily, LoadedMeta, Piece, read};
use crate::group::key::GroupingKey;
use crate::group::mutation::{Outcome, RequestId};
use crate::group::packed::Packed;
use crate::group::recent::{Recent, RecentIndex};
use crate::group::store::GroupStore;
use crate::group::stored::{Group, Member, StoredFamily};
use crate::group::times::{
    GroupTimes, PUSH_FAILURE_TIME, PUSH_TIME, is_time_family, time_family, time_help,
};
use crate::group::view::Totals;
use crate::trials::{self, Bug};

/// Why items do not add up to a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// An item that cannot be read.
    #[error("state item {0:?} is damaged or of an unknown kind")]
    Damaged(String),
    /// The same item came twice.
    #[error("state item {0:?} is there twice")]
    Repeated(String),
    /// Nothing says what the state should be.
    #[error("the state's description is missing")]
    NoMeta,
    /// Written by a version with another format.
    #[error("the state has format {0}, this version reads format {FORMAT}")]
    Format(u32),
    /// Items were lost or do not belong here.
    #[error("the state has {found} {what}, it should have {expected}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many the state's description names.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A family whose group is missing.
    #[error("a family of the group {0} is there without the group")]
    NoGroup(String),
    /// Two groups have the same series, or types differ.
    #[error("the family {0:?} contradicts another one in the state")]
    Inconsistent(String),
    /// The items are not those that were persisted.
    #[error("the state's digest is {found:032x}, it should be {expected:032x}")]
    Digest {
        /// What the state's description names.
        expected: u128,
        /// What the items add up to.
        found: u128,
    },
}

/// Takes items in any order.
#[derive(Debug)]
pub struct Restore {
    hashes: Hashes,
    groups: BTreeMap<GroupingKey, Loaded>,
    recent: BTreeMap<u64, (UnixNanos, Vec<(RequestId, Outcome)>)>,
    meta: Option<LoadedMeta>,
}

#[derive(Debug, Default)]
struct Loaded {
    times: Option<GroupTimes>,
    families: BTreeMap<String, LoadedFamily>,
}

impl Restore {
    /// `hash_key` must be the one of the store that was persisted.
    pub fn new(hash_key: [u8; 16]) -> Self {
        Restore {
            hashes: Hashes::new(&hash_key),
            groups: BTreeMap::new(),
            recent: BTreeMap::new(),
            meta: None,
        }
    }

    /// Takes an item.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let shown = || shown(key);
        let repeated = match read(key, value).ok_or_else(|| RestoreError::Damaged(shown()))? {
            Piece::Family { key, name, family } => {
                self.groups.entry(key).or_default().families.insert(name, family).is_some()
            }
            Piece::Group { key, times } => {
                self.groups.entry(key).or_default().times.replace(times).is_some()
            }
            Piece::Recent { index, at, requests } => {
                self.recent.insert(index, (at, requests)).is_some()
            }
            Piece::Meta(meta) => self.meta.replace(meta).is_some(),
        };
        if repeated { Err(RestoreError::Repeated(shown())) } else { Ok(()) }
    }

    /// Takes an item as [`Item::encode`] wrote it.
    pub fn push_encoded(&mut self, item: &[u8]) -> Result<(), RestoreError> {
        let item = Item::decode(item).ok_or_else(|| RestoreError::Damaged(shown(item)))?;
        self.push(&item.key, &item.value)
    }

    /// Puts the store together if the items are all there, and as they were persisted.
    pub fn finish(self) -> Result<GroupStore, RestoreError> {
        let (store, expected) = self.build()?;
        let found = store.totals.digest.to_u128();
        let forgetful = trials::bug(Bug::SnapshotForgets);
        if expected == found || forgetful {
            Ok(store)
        } else {
            Err(RestoreError::Digest { expected, found })
        }
    }

    /// As [`Restore::finish`], for items that were persisted under another key than this one's: their
    /// digest is another one and proves nothing. For items that have been proven otherwise.
    pub fn finish_under_new_key(self) -> Result<GroupStore, RestoreError> {
        Ok(self.build()?.0)
    }

    /// The store, and the digest that it should have.
    fn build(self) -> Result<(GroupStore, u128), RestoreError> {
        let meta = self.meta.ok_or(RestoreError::NoMeta)?;
        if meta.format != FORMAT {
            return Err(RestoreError::Format(meta.format));
        }
        let mut builder = Builder::new(self.hashes, &meta);
        for (key, loaded) in self.groups {
            builder.add_group(key, loaded)?;
        }
        let mut recent = Recent::default();
        for (index, (at, requests)) in self.recent {
            let entry = RecentIndex::new(&builder.hashes, index, at, requests);
            builder.totals.digest = builder.totals.digest.plus(entry.digest);
            recent.add(&builder.hashes, entry);
        }
        builder.totals.recent_indexes = recent.by_index().len() as u64;
        check_counts(&builder.totals, &meta)?;
        Ok((builder.finish(recent), meta.digest))
    }
}

/// The beginning of a key, for people.
fn shown(key: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 128;
    key.get(..SHOWN_BYTES_MAX).unwrap_or(key).escape_ascii().to_string()
}

fn check_counts(totals: &Totals, meta: &LoadedMeta) -> Result<(), RestoreError> {
    for (what, expected, found) in [
        ("groups", meta.groups, totals.groups),
        ("families", meta.families, totals.family_items),
        ("remembered log entries", meta.recent_indexes, totals.recent_indexes),
    ] {
        if expected != found && !trials::bug(Bug::SnapshotForgets) {
            return Err(RestoreError::Count { what, expected, found });
        }
    }
    Ok(())
}

/// Builds the parts of a store in one go: groups come in order.
struct Builder {
    hashes: Hashes,
    groups: Vec<Arc<Group>>,
    by_name: BTreeMap<Arc<str>, Vec<Member>>,
    index: SeriesIndex,
    totals: Totals,
}

impl Builder {
    fn new(hashes: Hashes, meta: &LoadedMeta) -> Self {
        let (applied_index, last_at) = (meta.applied_index, meta.last_at);
        let digest = hashes.base(applied_index, last_at);
        let totals = Totals { applied_index, last_at, digest, ..Totals::default() };
        Builder {
            hashes,
            groups: Vec::new(),
            by_name: BTreeMap::new(),
            index: SeriesIndex::default(),
            totals,
        }
    }

    fn add_group(&mut self, key: GroupingKey, loaded: Loaded) -> Result<(), RestoreError> {
        let times = loaded.times.ok_or_else(|| RestoreError::NoGroup(format!("{key:?}")))?;
        let slot = self.groups.len() as u64;
        let hasher = self.hashes.group(&key);
        let key = Arc::new(key);
        let mut families = Vec::with_capacity(loaded.families.len() + 2);
        for name in [PUSH_FAILURE_TIME, PUSH_TIME] {
            let texts = (self.shared_name(name), self.shared_help(name, time_help(name)));
            families.push(time_family(&key, hasher.mark, &times, texts));
        }
        for (name, family) in loaded.families {
            families.push(self.stored_family(&hasher, &name, family)?);
        }
        families.sort_by(|a, b| a.name.cmp(&b.name));
        let families = families
            .into_iter()
            .map(|family| self.add_family(&key, family, slot))
            .collect::<Result<Vec<_>, _>>()?;
        let digest = times.digest(&hasher);
        self.totals.groups += 1;
        self.totals.digest = self.totals.digest.plus(digest);
        self.groups.push(Arc::new(Group { key, families, times, slot, mark: hasher.mark, digest }));
        Ok(())
    }

    fn stored_family(
        &self,
        hasher: &GroupHasher,
        name: &str,
        loaded: LoadedFamily,
    ) -> Result<StoredFamily, RestoreError> {
        let LoadedFamily { help, kind, metrics, pushed_at } = loaded;
        let examined = examine(name, kind, &metrics, &self.hashes.series(name), None)
            .filter(|_| !is_time_family(name))
            .ok_or_else(|| RestoreError::Damaged(name.to_owned()))?;
        Ok(StoredFamily {
            name: self.shared_name(name),
            digest: hasher.family(name, &help, kind, &metrics, pushed_at),
            help: self.shared_help(name, &help),
            metrics: Packed::new(&metrics),
            pushed_at,
            series: examined.series,
            mark: hasher.mark,
            kind,
            needs_escaping: examined.needs_escaping,
        })
    }

    fn add_family(
        &mut self,
        key: &Arc<GroupingKey>,
        family: StoredFamily,
        slot: u64,
    ) -> Result<Arc<StoredFamily>, RestoreError> {
        let inconsistent = || RestoreError::Inconsistent(family.name.as_ref().to_owned());
        let hasher = self.hashes.series(&family.name);
        for series in fingerprints(&family.metrics(), &hasher) {
            if self.index.insert(series, slot).is_some() {
                return Err(inconsistent());
            }
        }
        let members = self.by_name.entry(Arc::clone(&family.name)).or_default();
        if members.first().is_some_and(|first| first.family.kind != family.kind) {
            return Err(inconsistent());
        }
        self.totals.series += u64::from(family.series);
        self.totals.state_bytes += family.state_bytes();
        if !is_time_family(&family.name) {
            self.totals.family_items += 1;
            self.totals.digest = self.totals.digest.plus(family.digest);
        }
        let family = Arc::new(family);
        members.push(Member { key: Arc::clone(key), family: Arc::clone(&family) });
        Ok(family)
    }

    fn shared_name(&self, name: &str) -> Arc<str> {
        let known = self.by_name.get_key_value(name);
        known.map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name))
    }

    fn shared_help(&self, name: &str, help: &str) -> Arc<str> {
        let first = self.by_name.get(name).and_then(|members| members.first());
        let first = first.map(|first| &first.family.help).filter(|first| &***first == help);
        first.map_or_else(|| Arc::from(help), Arc::clone)
    }

    fn finish(self, recent: Recent) -> GroupStore {
        let by_name = self.by_name.into_values().collect();
        GroupStore {
            families: Families::from_sorted(&self.hashes, by_name),
            hashes: self.hashes,
            next_slot: self.groups.len() as u64,
            groups: Chunked::from_sorted(self.groups),
            index: self.index,
            recent,
            totals: self.totals,
            dirty: DirtyNames::default(),
        }
    }
}
