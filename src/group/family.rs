//! All there is of one metric name, over all groups.

use std::sync::Arc;

use crate::group::chunked::{Chunked, Entry};
use crate::group::hash::Hashes;
use crate::group::key::GroupingKey;
use crate::group::render_cache::RenderCache;
use crate::group::stored::{CHUNK_BYTES, Member, StoredFamily, opens_chunk_of_bytes};
use crate::pb::client::MetricType;

/// One metric name: its type, and who has series of it.
#[derive(Debug, Clone)]
pub(crate) struct FamilyEntry {
    pub(crate) name: Arc<str>,
    /// The type that all members have.
    pub(crate) kind: MetricType,
    /// In the order of groups; never empty.
    pub(crate) members: Chunked<Member>,
    pub(crate) series: u64,
    /// Encoded bytes of all metrics.
    pub(crate) bytes: u64,
    mark: u32,
}

impl FamilyEntry {
    /// Whether it is so large that its members are cut into chunks of their own for a scrape.
    pub(crate) fn is_large(&self) -> bool {
        self.bytes >= CHUNK_BYTES as u64
    }

    fn count(&mut self, added: Option<&StoredFamily>, removed: Option<&StoredFamily>) {
        let size = |f: &StoredFamily| (u64::from(f.series), f.metrics.len() as u64);
        let (more, less) = (added.map_or((0, 0), size), removed.map_or((0, 0), size));
        self.series = self.series + more.0 - less.0;
        self.bytes = self.bytes + more.1 - less.1;
    }
}

impl Entry for Arc<FamilyEntry> {
    type Key = str;
    type Cache = RenderCache;

    fn key(&self) -> &str {
        &self.name
    }

    fn opens_chunk(&self) -> bool {
        opens_chunk_of_bytes(self.mark, usize::try_from(self.bytes).unwrap_or(usize::MAX))
    }

    fn fills_chunk(&self) -> bool {
        self.is_large()
    }
}

/// All metric names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Families {
    list: Chunked<Arc<FamilyEntry>>,
}

impl Families {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<FamilyEntry>> {
        self.list.get(name)
    }

    /// In the order of names.
    pub(crate) fn list(&self) -> &Chunked<Arc<FamilyEntry>> {
        &self.list
    }

    /// Adds the family of one group, or replaces the one that the group has.
    pub(crate) fn put(&mut self, hashes: &Hashes, member: Member) {
        let found = self.list.modify(&member.family.name, |entry| {
            let entry = Arc::make_mut(entry);
            let old = entry.members.insert(member.clone()).map(|old| old.family);
            entry.kind = member.family.kind;
            entry.count(Some(&member.family), old.as_deref());
        });
        if found.is_none() {
            let mark = hashes.mark(member.family.name.as_bytes());
            self.list.insert(Arc::new(Self::entry(mark, vec![member])));
        }
    }

    /// Removes the family of one group.
    pub(crate) fn take(&mut self, name: &str, key: &GroupingKey) {
        let emptied = self.list.modify(name, |entry| {
            let entry = Arc::make_mut(entry);
            let old = entry.members.remove(key).map(|old| old.family);
            entry.count(None, old.as_deref());
            entry.members.is_empty()
        });
        if emptied == Some(true) {
            self.list.remove(name);
        }
    }

    /// All names at once: those of one name are adjacent, in the order of groups.
    pub(crate) fn from_sorted(hashes: &Hashes, by_name: Vec<Vec<Member>>) -> Self {
        let entry = |members: Vec<Member>| {
            let mark = members.first().map_or(0, |m| hashes.mark(m.family.name.as_bytes()));
            Arc::new(Self::entry(mark, members))
        };
        Families { list: Chunked::from_sorted(by_name.into_iter().map(entry).collect()) }
    }

    fn entry(mark: u32, members: Vec<Member>) -> FamilyEntry {
        let first = members.first().map(|first| &first.family);
        let mut entry = FamilyEntry {
            name: first.map_or_else(|| Arc::from(""), |first| Arc::clone(&first.name)),
            kind: first.map_or(MetricType::Untyped, |first| first.kind),
            members: Chunked::default(),
            series: 0,
            bytes: 0,
            mark,
        };
        for member in &members {
            entry.count(Some(&member.family), None);
        }
        entry.members = Chunked::from_sorted(members);
        entry
    }
}
