//! Batches as bytes: what log entries carry.

use bytes::Bytes;
use prost::Message;

use crate::clock::UnixNanos;
use crate::group::key::GroupingKey;
use crate::group::mutation::{
    Batch, Change, Mutation, PushMode, PushedFamily, RequestId, StateLimits,
};
use crate::pb::client::MetricType;
use crate::pb::v1;

/// The format that this version writes, and the only one it reads.
pub(crate) const FORMAT: u32 = 1;

/// Why bytes are not a batch that this version understands. Whoever meets one has to stop: to skip
/// an entry of the log is to diverge from the other replicas.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf.
    #[error("malformed batch: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// Written by a version with another format.
    #[error("batch has format {0}, this version reads format {FORMAT}")]
    Format(u32),
    /// A change of a kind that this version does not know, or none.
    #[error("batch has a change of unknown kind: it was written by a newer version")]
    UnknownChange,
    /// A push mode or metric type that this version does not know.
    #[error("batch has an unknown {0}")]
    UnknownValue(&'static str),
    /// A field that breaks a rule which every writer keeps.
    #[error("batch has a malformed {0}")]
    Malformed(&'static str),
}

impl Batch {
    /// The bytes that [`Batch::decode`] reads.
    pub fn encode(&self) -> Bytes {
        let mutations = self.mutations.iter();
        encode_batch(self.at, self.limits, mutations)
    }

    /// Reads what [`Batch::encode`] wrote. The batch keeps `bytes` alive.
    pub fn decode(bytes: Bytes) -> Result<Batch, DecodeError> {
        let batch = v1::Batch::decode(bytes)?;
        if batch.format != FORMAT {
            return Err(DecodeError::Format(batch.format));
        }
        Ok(Batch {
            at: UnixNanos(batch.at_nanos),
            limits: StateLimits {
                groups: batch.groups_max,
                series: batch.series_max,
                bytes: batch.bytes_max,
            },
            mutations: batch
                .mutations
                .into_iter()
                .map(decode_mutation)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The bytes of a [`Batch`] of these parts.
pub(crate) fn encode_batch<'a>(
    at: UnixNanos,
    limits: StateLimits,
    mutations: impl Iterator<Item = &'a Mutation>,
) -> Bytes {
    let mutations = mutations.map(encode_mutation).collect();
    let batch = v1::Batch {
        format: FORMAT,
        at_nanos: at.0,
        groups_max: limits.groups,
        series_max: limits.series,
        bytes_max: limits.bytes,
        mutations,
    };
    Bytes::from(batch.encode_to_vec())
}

pub(crate) fn encode_mutation(mutation: &Mutation) -> v1::Mutation {
    use v1::mutation::Change as Encoded;
    let change = match &mutation.change {
        Change::Push { key, mode, families } => Encoded::Push(v1::Push {
            key: Some(encode_key(key)),
            mode: match mode {
                PushMode::Replace => v1::PushMode::Replace,
                PushMode::Merge => v1::PushMode::Merge,
            }
            .into(),
            families: families.iter().map(encode_family).collect(),
        }),
        Change::FailedPush { key, reason } => Encoded::FailedPush(v1::FailedPush {
            key: Some(encode_key(key)),
            reason: reason.clone(),
        }),
        Change::Delete { key } => Encoded::Delete(v1::Delete { key: Some(encode_key(key)) }),
        Change::Wipe => Encoded::Wipe(v1::Wipe {}),
    };
    v1::Mutation { request_id: Bytes::copy_from_slice(&mutation.id.0), change: Some(change) }
}

fn encode_key(key: &GroupingKey) -> v1::GroupingKey {
    let label =
        |(name, value): (&str, &str)| v1::Label { name: name.to_owned(), value: value.to_owned() };
    v1::GroupingKey { labels: key.labels().map(label).collect() }
}

fn encode_family(family: &PushedFamily) -> v1::Family {
    v1::Family {
        name: family.name.clone(),
        help: family.help.clone(),
        kind: kind_number(family.kind),
        metrics: family.metrics.clone(),
    }
}

pub(crate) fn decode_mutation(mutation: v1::Mutation) -> Result<Mutation, DecodeError> {
    use v1::mutation::Change as Encoded;
    let id = decode_request_id(&mutation.request_id).ok_or(DecodeError::Malformed("request id"))?;
    let change = match mutation.change.ok_or(DecodeError::UnknownChange)? {
        Encoded::Push(push) => {
            let mode = match v1::PushMode::try_from(push.mode) {
                Ok(v1::PushMode::Replace) => PushMode::Replace,
                Ok(v1::PushMode::Merge) => PushMode::Merge,
                Err(_) => return Err(DecodeError::UnknownValue("push mode")),
            };
            let families: Vec<PushedFamily> =
                push.families.into_iter().map(decode_family).collect::<Result<_, _>>()?;
            if !families.is_sorted_by(|a, b| a.name < b.name) {
                return Err(DecodeError::Malformed("order of families"));
            }
            Change::Push { key: decode_key(push.key)?, mode, families }
        }
        Encoded::FailedPush(push) => {
            Change::FailedPush { key: decode_key(push.key)?, reason: push.reason }
        }
        Encoded::Delete(delete) => Change::Delete { key: decode_key(delete.key)? },
        Encoded::Wipe(v1::Wipe {}) => Change::Wipe,
    };
    Ok(Mutation { id, change })
}

fn decode_key(key: Option<v1::GroupingKey>) -> Result<GroupingKey, DecodeError> {
    let labels = key.unwrap_or_default().labels.into_iter().map(|l| (l.name, l.value)).collect();
    GroupingKey::try_from_sorted(labels).ok_or(DecodeError::Malformed("grouping key"))
}

fn decode_family(family: v1::Family) -> Result<PushedFamily, DecodeError> {
    let kind = decode_kind(family.kind).ok_or(DecodeError::UnknownValue("metric type"))?;
    Ok(PushedFamily { name: family.name, help: family.help, kind, metrics: family.metrics })
}

/// The number of a metric type on disk.
pub(crate) fn kind_number(kind: MetricType) -> u32 {
    u32::try_from(i32::from(kind)).unwrap_or_default()
}

/// The metric type with this number.
pub(crate) fn decode_kind(number: u32) -> Option<MetricType> {
    MetricType::try_from(i32::try_from(number).ok()?).ok()
}

/// The request id in these bytes.
pub(crate) fn decode_request_id(bytes: &[u8]) -> Option<RequestId> {
    bytes.try_into().ok().map(RequestId)
}
