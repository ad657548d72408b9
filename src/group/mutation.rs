//! What a client asks to change, and what became of it.

use bytes::Bytes;

use crate::clock::UnixNanos;
use crate::group::key::GroupingKey;
use crate::pb::client::MetricType;

/// Names one request of a client, the same at every retry, so that it takes effect at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub [u8; 16]);

/// How a push treats the families of its group that it does not carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushMode {
    /// `PUT`: they are removed.
    Replace,
    /// `POST`: they stay.
    Merge,
}

/// The series of one metric family within one push, as they will be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct PushedFamily {
    /// The metric name.
    pub name: String,
    /// The help text, empty if there is none.
    pub help: String,
    /// The type of every metric in it.
    pub kind: MetricType,
    /// The encoded `metric` fields: grouping labels imposed, labels sorted by name, metrics in the
    /// order in which they will be exposed.
    pub metrics: Bytes,
}

/// One change that a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Stores families under a key.
    Push {
        /// The group to change.
        key: GroupingKey,
        /// What happens to the group's other families.
        mode: PushMode,
        /// Sorted by name, each name once.
        families: Vec<PushedFamily>,
    },
    /// A push that was refused where it arrived, for a reason that marks its group as failed.
    FailedPush {
        /// The group to mark.
        key: GroupingKey,
        /// What to tell the client.
        reason: String,
    },
    /// Removes a group.
    Delete {
        /// The group to remove.
        key: GroupingKey,
    },
    /// Removes all groups.
    Wipe,
}

/// A change and the request that asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutation {
    /// The request.
    pub id: RequestId,
    /// What it asks for.
    pub change: Change,
}

impl Mutation {
    /// About how many bytes this adds to a log entry; never much less than the truth.
    pub fn encoded_len(&self) -> usize {
        const FIELD: usize = 16;
        let key_len =
            |key: &GroupingKey| FIELD + key.text_bytes() + key.labels().len().saturating_mul(FIELD);
        let change_len = match &self.change {
            Change::Push { key, families, .. } => {
                let family =
                    |f: &PushedFamily| 2 * FIELD + f.name.len() + f.help.len() + f.metrics.len();
                key_len(key) + families.iter().map(family).sum::<usize>()
            }
            Change::FailedPush { key, reason } => key_len(key) + FIELD + reason.len(),
            Change::Delete { key } => key_len(key),
            Change::Wipe => 0,
        };
        2 * FIELD + change_len
    }
}

/// How much may be stored; 0 stands for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateLimits {
    /// Groups.
    pub groups: u64,
    /// Series, those of push times included.
    pub series: u64,
    /// Bytes, as [`crate::group::View::state_bytes`] counts them.
    pub bytes: u64,
}

/// The payload of one log entry: mutations that share a time stamp and an fsync.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The proposing leader's clock.
    pub at: UnixNanos,
    /// The proposing leader's limits, so that all replicas use the same.
    pub limits: StateLimits,
    /// Applied in this order.
    pub mutations: Vec<Mutation>,
}

/// What became of a mutation. The same on every replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// The push contradicts itself or what is stored. Only the group's failure time was touched.
    Rejected(String),
    /// The push would exceed a limit on the whole state. Nothing was touched.
    OverLimit(String),
}
