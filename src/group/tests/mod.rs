//! Tests of the store as a whole.

mod exposition;
mod generate;
mod model;
mod persistence;
mod properties;
mod push;
mod recent;

use std::io::Read;
use std::sync::Arc;

use crate::clock::UnixNanos;
use crate::exposition::ParseRules;
use crate::exposition::name::Escaping;
use crate::exposition::negotiate::{Encoding, Format};
use crate::exposition::text::parse::parse_text;
use crate::exposition::wire::MetricsIter;
use crate::group::examine::label_bytes;
use crate::group::{
    Batch, Change, GroupStore, GroupingKey, Mutation, Outcome, PushMode, PushRules, RequestId,
    StateLimits, View, Wish, prepare_push,
};
use crate::limits::Limits;
use crate::pb::client::MetricFamily;

pub(crate) const HASH_KEY: [u8; 16] = *b"sixteen byte key";
pub(crate) const RULES: PushRules<'_> = PushRules { labels_max: 100, own: &[] };
pub(crate) const TEXT: Format = Format { encoding: Encoding::Text, escaping: Escaping::AllowUtf8 };
const SECOND: i64 = 1_000_000_000;

/// `j` and `j/i=1/k=2` are the keys `{job="j"}` and `{job="j",i="1",k="2"}`.
pub(crate) fn key(path: &str) -> GroupingKey {
    let (job, rest) = path.split_once('/').unwrap_or((path, ""));
    let rest = rest.split('/').filter_map(|pair| pair.split_once('='));
    let pairs = std::iter::once(("job", job)).chain(rest);
    GroupingKey::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

pub(crate) fn parse(body: &str) -> Vec<MetricFamily> {
    parse_text(body.as_bytes(), &ParseRules::new(&Limits::default(), true)).unwrap()
}

pub(crate) fn push(mode: PushMode, path: &str, body: &str) -> Change {
    prepare_push(key(path), mode, parse(body), &RULES)
}

pub(crate) fn put(path: &str, body: &str) -> Change {
    push(PushMode::Replace, path, body)
}

pub(crate) fn post(path: &str, body: &str) -> Change {
    push(PushMode::Merge, path, body)
}

pub(crate) fn delete(path: &str) -> Change {
    Change::Delete { key: key(path) }
}

pub(crate) fn id(number: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    RequestId(bytes)
}

/// A store that is fed one change per log entry and second.
pub(crate) struct Fixture {
    pub(crate) store: GroupStore,
    next: u64,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Fixture { store: GroupStore::new(HASH_KEY), next: 1 }
    }

    pub(crate) fn with(changes: impl IntoIterator<Item = Change>) -> Self {
        let mut fixture = Fixture::new();
        for change in changes {
            assert_eq!(fixture.apply(change), Outcome::Applied);
        }
        fixture
    }

    pub(crate) fn apply(&mut self, change: Change) -> Outcome {
        self.apply_within(change, StateLimits::default())
    }

    pub(crate) fn apply_within(&mut self, change: Change, limits: StateLimits) -> Outcome {
        let mutation = Mutation { id: id(self.next), change };
        let at = UnixNanos(self.next.cast_signed() * SECOND);
        let mutations = vec![mutation];
        let batch = Batch { at, limits, mutations };
        let mut outcomes = self.store.apply(self.next, &batch);
        self.next += 1;
        if self.store.view().group_count() < 10 {
            assert_index(&self.store);
        }
        outcomes.remove(0)
    }

    pub(crate) fn text(&self) -> String {
        text(&self.store.view())
    }
}

pub(crate) fn text(view: &View) -> String {
    String::from_utf8(view.exposition(&[], TEXT, false).to_vec()).unwrap()
}

/// The samples of a scrape without the push times and without comments.
pub(crate) fn samples(view: &View) -> Vec<String> {
    let text = text(view);
    let own = |line: &&str| !line.starts_with('#') && !line.starts_with("push_");
    text.lines().filter(own).map(str::to_owned).collect()
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::bufread::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// The bodies that a scrape can have, in all formats, plain and compressed.
pub(crate) fn all_bodies(view: &View, own: &[MetricFamily]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    for encoding in
        [Encoding::Text, Encoding::ProtoDelimited, Encoding::ProtoText, Encoding::ProtoCompact]
    {
        for escaping in [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Values] {
            let body = |gzip| {
                let body = view.exposition(own, Format { encoding, escaping }, gzip);
                let bytes = body.to_vec();
                assert_eq!(bytes.len(), body.len);
                bytes
            };
            let plain = body(false);
            if encoding == Encoding::Text || escaping == Escaping::AllowUtf8 {
                let compressed = body(true);
                assert_eq!(gunzip(&compressed), plain);
                bodies.push(compressed);
            }
            bodies.push(plain);
        }
    }
    bodies
}

/// Compares everything that is kept beside the groups with what follows from the groups.
pub(crate) fn assert_index(store: &GroupStore) {
    let view = store.view();
    let (mut series, mut families, mut bytes) = (0, 0, 0);
    for group in store.groups.iter() {
        assert!(group.families.is_sorted_by(|a, b| a.name < b.name));
        for family in &group.families {
            let entry = store.families.get(&family.name).unwrap();
            let member = entry.members.get(&group.key).unwrap();
            assert!(Arc::ptr_eq(&member.family, family) && Arc::ptr_eq(&member.key, &group.key));
            assert_eq!(entry.kind, family.kind);
            let hasher = store.hashes.series(&family.name);
            for metric in MetricsIter::new(&family.metrics()) {
                let fingerprint = hasher.fingerprint(label_bytes(metric));
                assert_eq!(store.index.owner(fingerprint), Some(group.slot));
                series += 1;
            }
            families += 1;
            bytes += family.state_bytes();
        }
    }
    assert_eq!(store.index.len(), series);
    assert_eq!(view.series_count(), series as u64);
    assert_eq!(view.state_bytes(), bytes);
    assert_eq!(view.group_count(), store.groups.len() as u64);
    assert_eq!(store.families.list().iter().map(|f| f.members.len()).sum::<usize>(), families);
    for entry in store.families.list().iter() {
        assert!(!entry.members.is_empty());
        let members = || entry.members.iter().map(|member| &member.family);
        assert_eq!(entry.series, members().map(|m| u64::from(m.series)).sum::<u64>());
        assert_eq!(entry.bytes, members().map(|m| m.metrics.len() as u64).sum::<u64>());
    }
}
