//! The families of a body while it is read, and how sample lines become metrics.
//!
//! Most lines are a metric each. The lines of a summary or histogram are folded: those with the same
//! labels, apart from `quantile` or `le`, form one metric, wherever they stand in the body.

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::lexer::Step;
use super::value::{Number, Role, make_uniform, set_value};
use crate::exposition::ParseRules;
use crate::pb::client::{LabelPair, Metric, MetricFamily, MetricType};

/// The labels of a sample, in the order of the line.
pub(super) type Labels<'a> = [(Cow<'a, str>, Cow<'a, str>)];

/// A family and a role in it: what a name on a line means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    family: usize,
    role: Role,
}

/// One sample line, read as far as its value.
#[derive(Debug)]
pub(super) struct Sample<'s, 'a> {
    pub(super) target: Target,
    pub(super) labels: &'s Labels<'a>,
    /// The number in the `quantile` or `le` label.
    pub(super) bound: Option<f64>,
    pub(super) value: f64,
}

/// A metric that is in its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    family: usize,
    metric: usize,
}

#[derive(Debug, Default)]
struct Family {
    name: String,
    help: Option<String>,
    kind: Option<MetricType>,
    metrics: Vec<Metric>,
    /// The metrics by hash of their labels; only summaries and histograms are looked up.
    by_labels: HashTable<usize>,
}

/// The families that have been named so far, in order of appearance.
#[derive(Debug)]
pub(super) struct Families<'r> {
    rules: &'r ParseRules,
    list: Vec<Family>,
    /// The families by hash of their names. Its order never matters.
    by_name: HashTable<usize>,
    hasher: DefaultHashBuilder,
    series: usize,
    parts: usize,
}

impl<'r> Families<'r> {
    pub(super) fn new(rules: &'r ParseRules) -> Self {
        Families {
            rules,
            list: Vec::new(),
            by_name: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            series: 0,
            parts: 0,
        }
    }

    /// Finds what a name means, making it a new family if it is none yet. `_sum`, `_count` and
    /// `_bucket` belong to the summary or histogram in front of them only while no family has that
    /// very name.
    pub(super) fn resolve(&mut self, name: &str) -> Step<Target> {
        if let Some(family) = self.find(name) {
            return Ok(Target { family, role: Role::Value });
        }
        if let Some(target) = self.resolve_suffix(name) {
            return Ok(target);
        }
        let family = self.list.len();
        // Families cost memory even if no sample follows, so they are bounded as series are.
        self.rules.check_series(family + 1)?;
        self.list.push(Family { name: name.to_owned(), ..Family::default() });
        let (list, hasher) = (&self.list, &self.hasher);
        self.by_name.insert_unique(hasher.hash_one(name), family, |other| {
            hasher.hash_one(list.get(*other).map_or("", |family| &family.name))
        });
        Ok(Target { family, role: Role::Value })
    }

    fn resolve_suffix(&self, name: &str) -> Option<Target> {
        let suffixes = [("_count", Role::Count), ("_sum", Role::Sum), ("_bucket", Role::Value)];
        for (suffix, role) in suffixes {
            let Some(stem) = name.strip_suffix(suffix).filter(|stem| !stem.is_empty()) else {
                continue;
            };
            let family = self.find(stem)?;
            let owns = match self.list.get(family)?.kind? {
                MetricType::Histogram | MetricType::GaugeHistogram => true,
                MetricType::Summary => suffix != "_bucket",
                _ => false,
            };
            return owns.then_some(Target { family, role });
        }
        None
    }

    fn find(&self, name: &str) -> Option<usize> {
        let is_it = |index: &usize| self.list.get(*index).is_some_and(|f| f.name == name);
        self.by_name.find(self.hasher.hash_one(name), is_it).copied()
    }

    fn get(&self, target: Target) -> Option<&Family> {
        self.list.get(target.family)
    }

    pub(super) fn name(&self, target: Target) -> &str {
        self.get(target).map_or("", |family| &family.name)
    }

    pub(super) fn kind(&self, target: Target) -> Option<MetricType> {
        self.get(target)?.kind
    }

    /// A family whose type has not been told by its first sample is untyped for good.
    pub(super) fn settle_kind(&mut self, target: Target) {
        if let Some(family) = self.list.get_mut(target.family) {
            family.kind.get_or_insert(MetricType::Untyped);
        }
    }

    pub(super) fn has_help(&self, target: Target) -> bool {
        self.get(target).is_some_and(|family| family.help.is_some())
    }

    pub(super) fn set_help(&mut self, target: Target, help: &[u8]) {
        if let Some(family) = self.list.get_mut(target.family) {
            // Upstream accepts any bytes here, but an exposition has to be text.
            family.help = Some(String::from_utf8_lossy(help).into_owned());
        }
    }

    pub(super) fn set_kind(&mut self, target: Target, kind: MetricType) {
        if let Some(family) = self.list.get_mut(target.family) {
            family.kind = Some(kind);
        }
    }

    pub(super) fn set_timestamp(&mut self, position: Position, timestamp_ms: i64) {
        let family = self.list.get_mut(position.family);
        if let Some(metric) = family.and_then(|family| family.metrics.get_mut(position.metric)) {
            metric.timestamp_ms = Some(timestamp_ms);
        }
    }

    /// Adds a sample to the family it belongs to.
    pub(super) fn add(&mut self, sample: &Sample<'_, '_>) -> Step<Position> {
        let index = sample.target.family;
        let Some(family) = self.list.get_mut(index) else {
            return Err("invalid metric name".to_owned().into());
        };
        let kind = family.kind.unwrap_or(MetricType::Untyped);
        let is_folded =
            !matches!(kind, MetricType::Counter | MetricType::Gauge | MetricType::Untyped);
        let known =
            if is_folded { family.find_or_index(sample.labels, &self.hasher) } else { None };
        let metric = known.unwrap_or(family.metrics.len());
        if known.is_none() {
            self.series += 1;
            self.rules.check_series(self.series)?;
            family.metrics.push(Metric { label: owned(sample.labels), ..Metric::default() });
        }
        self.parts += usize::from(is_folded);
        self.rules.check_parts(self.parts)?;
        let Family { name, metrics, .. } = family;
        if let Some(metric) = metrics.get_mut(metric) {
            let Sample { value, bound, target: Target { role, .. }, .. } = *sample;
            set_value(metric, kind, Number { value, role, bound }, name)?;
        }
        Ok(Position { family: index, metric })
    }

    /// The families that have samples.
    pub(super) fn finish(self) -> Vec<MetricFamily> {
        self.list.into_iter().filter_map(Family::finish).collect()
    }
}

impl Family {
    /// Finds the metric with these labels, in any order. If there is none, the metric that is added
    /// next will be found under them.
    fn find_or_index(&mut self, labels: &Labels<'_>, hasher: &DefaultHashBuilder) -> Option<usize> {
        let Family { metrics, by_labels, .. } = self;
        // The lines of one metric usually stand together, with the labels in the same order.
        if metrics.last().is_some_and(|metric| same_order(&metric.label, labels)) {
            return Some(metrics.len() - 1);
        }
        let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
        let hash = hash_of(pairs, hasher);
        let is_it = |index: &usize| {
            metrics.get(*index).is_some_and(|metric| same_labels(&metric.label, labels))
        };
        let known = by_labels.find(hash, is_it).copied();
        if known.is_none() {
            by_labels.insert_unique(hash, metrics.len(), |index| {
                let labels = metrics.get(*index).map_or(&[][..], |metric| &metric.label);
                hash_of(labels.iter().map(|label| (label.name(), label.value())), hasher)
            });
        }
        known
    }

    fn finish(mut self) -> Option<MetricFamily> {
        if self.metrics.is_empty() {
            return None;
        }
        for metric in &mut self.metrics {
            if let Some(histogram) = metric.histogram.as_mut() {
                make_uniform(histogram);
            }
        }
        Some(MetricFamily {
            name: Some(self.name),
            help: self.help,
            r#type: self.kind.map(i32::from),
            metric: self.metrics,
        })
    }
}

/// A hash that does not depend on the order of the labels.
fn hash_of<'l>(
    labels: impl Iterator<Item = (&'l str, &'l str)>,
    hasher: &DefaultHashBuilder,
) -> u64 {
    labels.fold(0, |hash: u64, label| hash.wrapping_add(hasher.hash_one(label)))
}

fn same_order(known: &[LabelPair], labels: &Labels<'_>) -> bool {
    known.len() == labels.len()
        && known.iter().zip(labels).all(|(known, label)| is_same(known, label))
}

/// Whether both have the same labels. Neither has a name twice, so one direction is enough.
fn same_labels(known: &[LabelPair], labels: &Labels<'_>) -> bool {
    same_order(known, labels)
        || known.len() == labels.len()
            && labels.iter().all(|label| known.iter().any(|known| is_same(known, label)))
}

fn is_same(known: &LabelPair, (name, value): &(Cow<'_, str>, Cow<'_, str>)) -> bool {
    known.name() == name && known.value() == value
}

fn owned(labels: &Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(Cow<'_, str>, Cow<'_, str>)| LabelPair {
        name: Some(name.as_ref().to_owned()),
        value: Some(value.as_ref().to_owned()),
    };
    labels.iter().map(pair).collect()
}
