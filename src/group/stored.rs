//! What is stored: groups and their families.

use std::borrow::Cow;
use std::sync::Arc;

use crate::clock::UnixNanos;
use crate::exposition::wire::MetricsIter;
use crate::group::chunked::Entry;
use crate::group::hash::Digest;
use crate::group::key::GroupingKey;
use crate::group::packed::Packed;
use crate::group::render_cache::RenderCache;
use crate::group::times::GroupTimes;
use crate::pb::client::{MetricFamily, MetricType};

/// Bytes of encoded metrics that a chunk holds on average. A chunk is the unit of rendering and of
/// compression: smaller ones save work after a change, larger ones compress better.
pub(crate) const CHUNK_BYTES: usize = 1792;
/// About what a family takes in memory beside its texts and its metrics.
const FAMILY_BYTES: usize = 192;
/// Groups that a chunk of the list of groups holds on average.
const CHUNK_GROUPS: u32 = 32;

/// Whether a chunk that is to hold about [`CHUNK_BYTES`] begins at an entry of this size: the larger
/// the likelier, so that chunks of many small entries and of few large ones weigh the same.
pub(crate) fn opens_chunk_of_bytes(mark: u32, bytes: usize) -> bool {
    mark as usize % CHUNK_BYTES < bytes
}

/// One metric family of one group.
#[derive(Debug)]
pub struct StoredFamily {
    pub(crate) name: Arc<str>,
    pub(crate) help: Arc<str>,
    pub(crate) metrics: Packed,
    pub(crate) pushed_at: UnixNanos,
    /// What this family adds to the digest of the state; nothing if it follows from the group's
    /// times.
    pub(crate) digest: Digest,
    pub(crate) series: u32,
    /// The mark of the grouping key.
    pub(crate) mark: u32,
    pub(crate) kind: MetricType,
    pub(crate) needs_escaping: bool,
}

impl StoredFamily {
    /// The metric name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The help text as pushed, empty if there was none.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The type of all its metrics.
    pub fn kind(&self) -> MetricType {
        self.kind
    }

    /// The encoded metrics (see [`crate::exposition::wire`]), in the order of exposition.
    pub fn metrics(&self) -> Cow<'_, [u8]> {
        self.metrics.unpack()
    }

    /// Number of metrics.
    pub fn series(&self) -> u32 {
        self.series
    }

    /// When it was pushed. For the two families of push times: when they last changed.
    pub fn pushed_at(&self) -> UnixNanos {
        self.pushed_at
    }

    /// The family as protobuf knows it.
    pub fn decode(&self) -> MetricFamily {
        MetricFamily {
            name: Some(self.name.as_ref().to_owned()),
            help: (!self.help.is_empty()).then(|| self.help.as_ref().to_owned()),
            r#type: Some(self.kind.into()),
            metric: MetricsIter::new(&self.metrics()).filter_map(|m| m.decode()).collect(),
        }
    }

    /// Bytes that count as its size.
    pub(crate) fn state_bytes(&self) -> u64 {
        family_bytes(&self.name, &self.help, self.metrics.len())
    }
}

/// What a family counts as. It follows from what is stored, so that all replicas count the same.
pub(crate) fn family_bytes(name: &str, help: &str, metrics_bytes: usize) -> u64 {
    (FAMILY_BYTES + name.len() + help.len() + metrics_bytes) as u64
}

/// One group's share of a metric name.
///
/// The key stands here and not in the family: finding a group among thousands compares keys, which
/// all names share and so are close at hand, and should not have to fetch a family for each.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) key: Arc<GroupingKey>,
    pub(crate) family: Arc<StoredFamily>,
}

impl Entry for Member {
    type Key = GroupingKey;
    type Cache = RenderCache;

    fn key(&self) -> &GroupingKey {
        &self.key
    }

    fn opens_chunk(&self) -> bool {
        opens_chunk_of_bytes(self.family.mark, self.family.metrics.len())
    }

    fn fills_chunk(&self) -> bool {
        self.family.metrics.len() >= CHUNK_BYTES
    }
}

/// Everything pushed under one key.
#[derive(Debug, Clone)]
pub struct Group {
    pub(crate) key: Arc<GroupingKey>,
    /// Sorted by name; the two families of push times are among them.
    pub(crate) families: Vec<Arc<StoredFamily>>,
    pub(crate) times: GroupTimes,
    /// Names this group in the series index of this process, and nowhere else.
    pub(crate) slot: u64,
    /// The mark of the key.
    pub(crate) mark: u32,
    /// What the group itself adds to the digest of the state.
    pub(crate) digest: Digest,
}

impl Group {
    /// Its labels.
    pub fn key(&self) -> &GroupingKey {
        &self.key
    }

    /// All its families sorted by name, those of push times among them.
    pub fn families(&self) -> impl ExactSizeIterator<Item = &StoredFamily> {
        self.families.iter().map(|family| &**family)
    }

    /// Whether no push failed since the last successful one.
    pub fn last_push_successful(&self) -> bool {
        self.times.failed <= self.times.succeeded
    }

    /// When its first push was applied.
    pub fn created_at(&self) -> UnixNanos {
        self.times.created
    }

    /// When the last successful push was applied.
    pub fn push_time(&self) -> Option<UnixNanos> {
        self.times.succeeded
    }

    /// When the last failed push was applied.
    pub fn push_failure_time(&self) -> Option<UnixNanos> {
        self.times.failed
    }

    pub(crate) fn family(&self, name: &str) -> Option<&Arc<StoredFamily>> {
        let at = self.families.binary_search_by(|family| (*family.name).cmp(name)).ok()?;
        self.families.get(at)
    }
}

impl Entry for Arc<Group> {
    type Key = GroupingKey;
    type Cache = ();

    fn key(&self) -> &GroupingKey {
        &self.key
    }

    fn opens_chunk(&self) -> bool {
        self.mark.is_multiple_of(CHUNK_GROUPS)
    }

    fn fills_chunk(&self) -> bool {
        false
    }
}
