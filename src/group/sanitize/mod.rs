//! Turns parsed families into a change: what a replica does with a push before anyone else sees it.
//!
//! Everything that can be said about a push without looking at the state is said here, where it
//! costs the receiving replica and not the state machine of all of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::exposition::name::{Escaping, is_legacy_label_name};
use crate::exposition::wire::encode_metrics;
use crate::group::consistency::{COLLECTED_BEFORE, suffix_collision, wrong_family_kind};
use crate::group::key::{GroupingKey, INSTANCE};
use crate::group::mutation::{Change, PushMode, PushedFamily};
use crate::group::refusal::{Reasons, about_metric};
use crate::group::times::{PUSH_FAILURE_TIME, PUSH_TIME, is_time_family, time_metric};
use crate::pb::client::{LabelPair, Metric, MetricFamily, MetricType};

const TIMESTAMPS: &str = "pushed metrics must not have timestamps";
const QUANTILE: &str = "quantile";
const BUCKET_BOUND: &str = "le";

/// What pushes are held against where they arrive.
#[derive(Debug, Clone, Copy)]
pub struct PushRules<'a> {
    /// Labels of one metric, grouping labels included.
    pub labels_max: usize,
    /// Names and types of the families that replicas expose of themselves, sorted by name. A push
    /// may add series to them, as client libraries do with `process_*`, but not with another type.
    pub own: &'a [(&'static str, MetricType)],
}

/// The change that a push of these families asks for: to store them, or, when they cannot be, to
/// mark the group as failed.
pub fn prepare_push(
    key: GroupingKey,
    mode: PushMode,
    families: Vec<MetricFamily>,
    rules: &PushRules<'_>,
) -> Change {
    if families.iter().flat_map(|f| &f.metric).any(|m| m.timestamp_ms.is_some()) {
        return Change::FailedPush { key, reason: TIMESTAMPS.to_owned() };
    }
    // Of families with the same name the last one counts. The push times are ours to tell.
    let mut by_name: BTreeMap<String, MetricFamily> =
        families.into_iter().map(|family| (family.name().to_owned(), family)).collect();
    by_name.retain(|name, _| !is_time_family(name));
    if !key.is_exposable() {
        // They would have the labels that are refused, even if nothing else is pushed.
        for name in [PUSH_FAILURE_TIME, PUSH_TIME] {
            by_name.insert(name.to_owned(), time_family(name, &key));
        }
    }
    let mut reasons = Reasons::default();
    let families = by_name
        .into_values()
        .map(|family| prepare_family(&key, family, rules, &mut reasons))
        .collect();
    match reasons.into_text() {
        Some(reason) => Change::FailedPush { key, reason },
        None => Change::Push { key, mode, families },
    }
}

fn time_family(name: &str, key: &GroupingKey) -> MetricFamily {
    MetricFamily {
        name: Some(name.to_owned()),
        help: None,
        r#type: Some(MetricType::Gauge.into()),
        metric: vec![time_metric(key, None)],
    }
}

fn prepare_family(
    key: &GroupingKey,
    family: MetricFamily,
    rules: &PushRules<'_>,
    reasons: &mut Reasons,
) -> PushedFamily {
    let kind = family.r#type();
    let MetricFamily { name, help, metric: mut metrics, .. } = family;
    let (name, help) = (name.unwrap_or_default(), help.unwrap_or_default());
    let own = |name: &str| {
        let at = rules.own.binary_search_by(|(own, _)| (*own).cmp(name)).ok()?;
        rules.own.get(at).map(|(_, kind)| *kind)
    };
    let refused_as_own = match own(&name) {
        Some(should) if should != kind => Some(wrong_family_kind(&name, kind, should)),
        Some(_) => None,
        None => suffix_collision(&name, kind, own),
    };
    for metric in &mut metrics {
        impose_labels(metric, key);
    }
    if let Some(reason) = refused_as_own {
        reasons.add(|| reason);
    } else {
        check_metrics(&name, kind, &metrics, rules, reasons);
    }
    for metric in &mut metrics {
        keep_value_of(metric, kind);
    }
    metrics.sort_by(canonical_order);
    PushedFamily { name, help, kind, metrics: encode_metrics(&metrics).into() }
}

/// Sets the grouping labels, gives every metric an `instance`, and sorts the labels.
fn impose_labels(metric: &mut Metric, key: &GroupingKey) {
    for (name, value) in key.labels() {
        // Only the first of several: the others then stand out as repeated.
        match metric.label.iter_mut().find(|label| label.name() == name) {
            Some(label) => label.value = Some(value.to_owned()),
            None => metric.label.push(label(name, value)),
        }
    }
    if metric.label.iter().all(|label| label.name() != INSTANCE) {
        metric.label.push(label(INSTANCE, ""));
    }
    for label in &mut metric.label {
        // Absent and empty mean the same, and must be stored as the same bytes.
        label.name.get_or_insert_default();
        label.value.get_or_insert_default();
    }
    metric.label.sort_by(|a, b| a.name.cmp(&b.name));
}

fn label(name: &str, value: &str) -> LabelPair {
    LabelPair { name: Some(name.to_owned()), value: Some(value.to_owned()) }
}

fn check_metrics(
    name: &str,
    kind: MetricType,
    metrics: &[Metric],
    rules: &PushRules<'_>,
    reasons: &mut Reasons,
) {
    let faults: Vec<Option<String>> =
        metrics.iter().map(|metric| metric_fault(kind, metric, rules)).collect();
    // Of metrics with the same labels the first one pushed is right, the others are blamed.
    let mut repeated = vec![false; metrics.len()];
    let mut sound: Vec<(usize, &Metric)> = metrics
        .iter()
        .enumerate()
        .zip(&faults)
        .filter_map(|(metric, fault)| fault.is_none().then_some(metric))
        .collect();
    sound.sort_by(|(_, a), (_, b)| canonical_order(a, b));
    for pair in sound.windows(2) {
        let [(_, first), (later, second)] = pair else { continue };
        if first.label == second.label
            && let Some(repeated) = repeated.get_mut(*later)
        {
            *repeated = true;
        }
    }
    for ((metric, fault), repeated) in metrics.iter().zip(faults).zip(repeated) {
        let fault = fault.or_else(|| repeated.then(|| COLLECTED_BEFORE.to_owned()));
        if let Some(fault) = fault {
            reasons.add(|| about_metric(name, metric, &fault));
        }
    }
}

/// What is wrong with one metric by itself.
fn metric_fault(kind: MetricType, metric: &Metric, rules: &PushRules<'_>) -> Option<String> {
    if !has_value_of(metric, kind) {
        return Some(format!("is not a {}", kind.as_str_name()));
    }
    let labels = metric.label.len();
    if labels > rules.labels_max {
        let max = rules.labels_max;
        let flag = "--limits.labels-per-series";
        return Some(format!("has {labels} labels, {max} are allowed ({flag})"));
    }
    let mut before = "";
    for name in metric.label.iter().map(LabelPair::name) {
        if name == before {
            return Some(format!("has two or more labels with the same name: {name}"));
        }
        if name.starts_with("__") {
            return Some(format!("has a label with an invalid name: {name}"));
        }
        let reserved = match kind {
            MetricType::Summary => name == QUANTILE,
            MetricType::Histogram | MetricType::GaugeHistogram => name == BUCKET_BOUND,
            _ => false,
        };
        if reserved {
            return Some(format!("must not have an explicit \"{name}\" label"));
        }
        before = name;
    }
    escaping_fault(metric)
}

/// Two names that a scrape has to show as the same one would make Prometheus refuse the scrape.
fn escaping_fault(metric: &Metric) -> Option<String> {
    let names = || metric.label.iter().map(LabelPair::name);
    if names().all(is_legacy_label_name) {
        return None;
    }
    for escaping in [Escaping::Underscores, Escaping::Dots, Escaping::Values] {
        let mut shown = BTreeSet::new();
        if let Some(twice) =
            names().map(|n| escaping.escape_label(n)).find(|n| !shown.insert(n.clone()))
        {
            let scheme = escaping.as_str();
            return Some(format!(
                "has two or more labels with the same name when escaped with {scheme}: {twice}"
            ));
        }
    }
    None
}

fn has_value_of(metric: &Metric, kind: MetricType) -> bool {
    match kind {
        MetricType::Counter => metric.counter.is_some(),
        MetricType::Gauge => metric.gauge.is_some(),
        MetricType::Summary => metric.summary.is_some(),
        MetricType::Untyped => metric.untyped.is_some(),
        MetricType::Histogram | MetricType::GaugeHistogram => metric.histogram.is_some(),
    }
}

/// Drops values of other types than the family's.
fn keep_value_of(metric: &mut Metric, kind: MetricType) {
    let all = std::mem::take(metric);
    metric.label = all.label;
    match kind {
        MetricType::Counter => metric.counter = all.counter,
        MetricType::Gauge => metric.gauge = all.gauge,
        MetricType::Summary => metric.summary = all.summary,
        MetricType::Untyped => metric.untyped = all.untyped,
        MetricType::Histogram | MetricType::GaugeHistogram => metric.histogram = all.histogram,
    }
}

/// The order of exposition: fewer labels first, then by label values, then by names.
fn canonical_order(a: &Metric, b: &Metric) -> Ordering {
    let by_values =
        || a.label.iter().map(LabelPair::value).cmp(b.label.iter().map(LabelPair::value));
    let by_names = || a.label.iter().map(LabelPair::name).cmp(b.label.iter().map(LabelPair::name));
    a.label.len().cmp(&b.label.len()).then_with(by_values).then_with(by_names)
}

#[cfg(test)]
mod tests;
