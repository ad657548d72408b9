//! When each group changed, and the two families that show it.
//!
//! They are families like all others, so that scrapes, the API and the consistency check need not
//! know them. But what they hold follows from the times of the group, so they are never persisted.

use std::sync::Arc;

use crate::clock::UnixNanos;
use crate::exposition::name::is_legacy_label_name;
use crate::exposition::wire::encode_metrics;
use crate::group::hash::{Digest, GroupHasher};
use crate::group::key::{GroupingKey, INSTANCE};
use crate::group::packed::Packed;
use crate::group::stored::{StoredFamily, family_bytes};
use crate::pb::client::{Gauge, LabelPair, Metric, MetricType};

/// The family that holds when each group was last pushed to successfully.
pub const PUSH_TIME: &str = "push_time_seconds";
/// The family that holds when a push to each group last failed.
pub const PUSH_FAILURE_TIME: &str = "push_failure_time_seconds";
const PUSH_TIME_HELP: &str =
    "Last Unix time when changing this group in the Pushgateway succeeded.";
const PUSH_FAILURE_TIME_HELP: &str =
    "Last Unix time when changing this group in the Pushgateway failed.";

/// Both. Each holds one series of a group.
pub(crate) const TIME_FAMILIES: [&str; 2] = [PUSH_FAILURE_TIME, PUSH_TIME];

/// Whether a name is one of the two families that a group has of its own.
pub(crate) fn is_time_family(name: &str) -> bool {
    name == PUSH_TIME || name == PUSH_FAILURE_TIME
}

/// When a group was created, and when its last push succeeded and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupTimes {
    pub(crate) created: UnixNanos,
    pub(crate) succeeded: Option<UnixNanos>,
    pub(crate) failed: Option<UnixNanos>,
}

impl GroupTimes {
    /// What a group with these times adds to the digest.
    pub(crate) fn digest(&self, hasher: &GroupHasher) -> Digest {
        hasher.group([Some(self.created), self.succeeded, self.failed])
    }

    /// The value and the change time of one of the two families of push times.
    fn of_family(&self, name: &str) -> (Option<UnixNanos>, UnixNanos) {
        let value = if name == PUSH_TIME { self.succeeded } else { self.failed };
        (value, value.unwrap_or(self.created))
    }
}

/// The encoded metric of one of the two families of push times; never is 0.
pub(crate) fn time_metrics(key: &GroupingKey, at: Option<UnixNanos>) -> Vec<u8> {
    encode_metrics(&[time_metric(key, at)])
}

/// What the two families of push times of a group count as, whatever the times are.
pub(crate) fn time_bytes(key: &GroupingKey) -> u64 {
    let metrics_bytes = time_metrics(key, None).len();
    TIME_FAMILIES.map(|name| family_bytes(name, time_help(name), metrics_bytes)).into_iter().sum()
}

/// The metric of one of the two families of push times; never is 0.
pub(crate) fn time_metric(key: &GroupingKey, at: Option<UnixNanos>) -> Metric {
    let pair = |(name, value): (&str, &str)| LabelPair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    };
    let mut label: Vec<LabelPair> = key.labels().map(pair).collect();
    if key.get(INSTANCE).is_none() {
        label.push(pair((INSTANCE, "")));
        label.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let value = Some(at.map_or(0.0, UnixNanos::as_seconds));
    Metric { label, gauge: Some(Gauge { value }), ..Metric::default() }
}

/// One of the two families of push times, as it follows from the times of its group.
pub(crate) fn time_family(
    key: &GroupingKey,
    mark: u32,
    times: &GroupTimes,
    (name, help): (Arc<str>, Arc<str>),
) -> StoredFamily {
    let (value, pushed_at) = times.of_family(&name);
    StoredFamily {
        metrics: Packed::new(&time_metrics(key, value)),
        pushed_at,
        digest: Digest::default(),
        series: 1,
        mark,
        kind: MetricType::Gauge,
        needs_escaping: key.labels().any(|(label, _)| !is_legacy_label_name(label)),
        name,
        help,
    }
}

/// The help text of one of the two families of push times.
pub(crate) fn time_help(name: &str) -> &'static str {
    if name == PUSH_TIME { PUSH_TIME_HELP } else { PUSH_FAILURE_TIME_HELP }
}
