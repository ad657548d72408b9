//! The persisted form: items of a key and a value, the same in the state database and in snapshots.
//!
//! | key | value | one per |
//! |---|---|---|
//! | `f`, canonical grouping key, family name | `StoredFamily` | family of a group |
//! | `g`, canonical grouping key | `StoredGroup` | group |
//! | `m` | `StateMeta` | state |
//! | `q`, log index (8 bytes, big endian) | `RecentRequests` | remembered log index |
//!
//! The two families of push times have no items: they follow from their group.

use bytes::Bytes;
use prost::Message;

use crate::clock::UnixNanos;
use crate::group::codec::{decode_kind, decode_request_id, kind_number};
use crate::group::key::GroupingKey;
use crate::group::mutation::{Outcome, RequestId};
use crate::group::packed::unpack;
use crate::group::recent::RecentIndex;
use crate::group::stored::{Group, StoredFamily};
use crate::group::times::GroupTimes;
use crate::group::view::Totals;
use crate::pb::client::MetricType;
use crate::pb::v1;
use crate::trials::{self, Bug};

/// The format that this version writes, and the only one it reads.
pub(crate) const FORMAT: u32 = 1;

const FAMILY: u8 = b'f';
const GROUP: u8 = b'g';
const META: u8 = b'm';
const RECENT: u8 = b'q';

/// A piece of the state as it is persisted. Opaque to the layers that keep it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Where it is kept.
    pub key: Bytes,
    /// What is kept there.
    pub value: Bytes,
}

impl Item {
    pub(crate) fn new(key: Vec<u8>, value: Vec<u8>) -> Self {
        Item { key: key.into(), value: value.into() }
    }

    /// Key and value in one piece, for where they are not kept apart.
    pub fn encode(&self) -> Vec<u8> {
        v1::Item { key: self.key.clone(), value: self.value.clone() }.encode_to_vec()
    }

    /// Reads what [`Item::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Item> {
        let v1::Item { key, value } = v1::Item::decode(bytes).ok()?;
        Some(Item { key, value })
    }
}

/// An item read back.
#[derive(Debug)]
pub(crate) enum Piece {
    Family { key: GroupingKey, name: String, family: LoadedFamily },
    Group { key: GroupingKey, times: GroupTimes },
    Meta(LoadedMeta),
    Recent { index: u64, at: UnixNanos, requests: Vec<(RequestId, Outcome)> },
}

#[derive(Debug)]
pub(crate) struct LoadedFamily {
    pub(crate) help: String,
    pub(crate) kind: MetricType,
    pub(crate) metrics: Vec<u8>,
    pub(crate) pushed_at: UnixNanos,
}

#[derive(Debug)]
pub(crate) struct LoadedMeta {
    pub(crate) format: u32,
    pub(crate) applied_index: u64,
    pub(crate) last_at: UnixNanos,
    pub(crate) groups: u64,
    pub(crate) families: u64,
    pub(crate) recent_indexes: u64,
    pub(crate) digest: u128,
}

pub(crate) fn family_key(key: &GroupingKey, name: &str) -> Vec<u8> {
    let mut out = vec![FAMILY];
    key.write_canonical(&mut out);
    out.extend_from_slice(name.as_bytes());
    out
}

pub(crate) fn group_key(key: &GroupingKey) -> Vec<u8> {
    let mut out = vec![GROUP];
    key.write_canonical(&mut out);
    out
}

pub(crate) fn recent_key(index: u64) -> Vec<u8> {
    let mut out = vec![RECENT];
    out.extend_from_slice(&index.to_be_bytes());
    out
}

pub(crate) fn family_value(family: &StoredFamily) -> Vec<u8> {
    let (metrics, metrics_snappy) = match family.metrics.compressed() {
        Some(block) => (Bytes::new(), Bytes::copy_from_slice(block)),
        None => (Bytes::copy_from_slice(&family.metrics()), Bytes::new()),
    };
    let value = v1::StoredFamily {
        help: family.help.as_ref().to_owned(),
        kind: kind_number(family.kind),
        metrics,
        pushed_at_nanos: family.pushed_at.0,
        metrics_snappy,
    };
    value.encode_to_vec()
}

/// The metrics of a family. None if they are damaged.
fn read_metrics(value: &v1::StoredFamily) -> Option<Vec<u8>> {
    match &*value.metrics_snappy {
        [] => Some(value.metrics.to_vec()),
        block => unpack(block),
    }
}

pub(crate) fn group_value(group: &Group) -> Vec<u8> {
    let failed = group.times.failed.filter(|_| !trials::bug(Bug::SnapshotForgets));
    let value = v1::StoredGroup {
        created_at_nanos: group.times.created.0,
        success_at_nanos: group.times.succeeded.map(|at| at.0),
        failure_at_nanos: failed.map(|at| at.0),
    };
    value.encode_to_vec()
}

pub(crate) fn recent_value(recent: &RecentIndex) -> Vec<u8> {
    let request = |(id, rejected): (&RequestId, Option<&str>)| v1::RecentRequest {
        request_id: Bytes::copy_from_slice(&id.0),
        rejected: rejected.map(str::to_owned),
    };
    let requests = recent.requests().map(request).collect();
    v1::RecentRequests { requests, at_nanos: recent.at.0 }.encode_to_vec()
}

pub(crate) fn meta_item(totals: &Totals) -> Item {
    let value = v1::StateMeta {
        format: FORMAT,
        applied_index: totals.applied_index,
        last_at_nanos: totals.last_at.0,
        groups: totals.groups,
        families: totals.family_items,
        recent_indexes: totals.recent_indexes,
        digest: Bytes::copy_from_slice(&totals.digest.to_u128().to_be_bytes()),
    };
    Item::new(vec![META], value.encode_to_vec())
}

/// Reads an item. None if it is damaged or of a kind that this version does not know.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Option<Piece> {
    match key.split_first()? {
        (&FAMILY, rest) => {
            let (key, name) = GroupingKey::read_canonical(rest)?;
            let value = v1::StoredFamily::decode(value).ok()?;
            Some(Piece::Family {
                key,
                name: std::str::from_utf8(name).ok()?.to_owned(),
                family: LoadedFamily {
                    metrics: read_metrics(&value)?,
                    help: value.help,
                    kind: decode_kind(value.kind)?,
                    pushed_at: UnixNanos(value.pushed_at_nanos),
                },
            })
        }
        (&GROUP, rest) => {
            let (key, []) = GroupingKey::read_canonical(rest)? else { return None };
            let value = v1::StoredGroup::decode(value).ok()?;
            let times = GroupTimes {
                created: UnixNanos(value.created_at_nanos),
                succeeded: value.success_at_nanos.map(UnixNanos),
                failed: value.failure_at_nanos.map(UnixNanos),
            };
            Some(Piece::Group { key, times })
        }
        (&META, []) => read_meta(&v1::StateMeta::decode(value).ok()?).map(Piece::Meta),
        (&RECENT, index) => {
            let index = u64::from_be_bytes(index.try_into().ok()?);
            let value = v1::RecentRequests::decode(value).ok()?;
            let at = UnixNanos(value.at_nanos);
            let requests = value.requests.into_iter().map(read_request).collect::<Option<_>>()?;
            Some(Piece::Recent { index, at, requests })
        }
        _ => None,
    }
}

fn read_request(request: v1::RecentRequest) -> Option<(RequestId, Outcome)> {
    let outcome = request.rejected.map_or(Outcome::Applied, Outcome::Rejected);
    Some((decode_request_id(&request.request_id)?, outcome))
}

fn read_meta(meta: &v1::StateMeta) -> Option<LoadedMeta> {
    Some(LoadedMeta {
        format: meta.format,
        applied_index: meta.applied_index,
        last_at: UnixNanos(meta.last_at_nanos),
        groups: meta.groups,
        families: meta.families,
        recent_indexes: meta.recent_indexes,
        digest: u128::from_be_bytes(meta.digest.as_ref().try_into().ok()?),
    })
}
