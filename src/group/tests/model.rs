//! The same behaviour in the plainest way: maps, and a check of everything against everything.

use std::collections::BTreeMap;

use crate::clock::UnixNanos;
use crate::exposition::wire::{MetricsIter, encode_metrics};
use crate::group::refusal::{Reasons, about_metric};
use crate::group::{
    Batch, Change, GroupingKey, Outcome, PUSH_FAILURE_TIME, PUSH_TIME, PushMode, PushedFamily,
    RequestId, View,
};
use crate::pb::client::{Gauge, LabelPair, Metric, MetricType};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Family {
    help: String,
    kind: MetricType,
    metrics: Vec<Metric>,
    pushed_at: UnixNanos,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    families: BTreeMap<String, Family>,
    created: i64,
    succeeded: i64,
    failed: i64,
}

type Groups = BTreeMap<GroupingKey, Group>;

#[derive(Debug, Default)]
pub(crate) struct Model {
    groups: Groups,
    last_at: UnixNanos,
    requests: BTreeMap<RequestId, Outcome>,
}

impl Model {
    pub(crate) fn apply(&mut self, batch: &Batch) -> Vec<Outcome> {
        self.last_at = self.last_at.max(batch.at);
        let mut outcomes = Vec::new();
        for mutation in &batch.mutations {
            let outcome = match self.requests.get(&mutation.id) {
                Some(known) => known.clone(),
                None => self.change(batch, &mutation.change),
            };
            if let Some(remembered) = crate::group::recent::remembered(&outcome) {
                self.requests.entry(mutation.id).or_insert(remembered);
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    fn change(&mut self, batch: &Batch, change: &Change) -> Outcome {
        match change {
            Change::Wipe => self.groups.clear(),
            Change::Delete { key } => drop(self.groups.remove(key)),
            Change::FailedPush { key, reason } => return self.fail(batch, key, reason.clone()),
            Change::Push { key, mode, families } => {
                // The group as it would be, and the rest without it.
                let mut next = self.groups.clone();
                let old = next.remove(key);
                let is_new = old.is_none();
                let mut group = old.unwrap_or_else(|| self.new_group());
                if *mode == PushMode::Replace {
                    group.families.clear();
                }
                for family in families {
                    group.families.remove(&family.name);
                }
                let mut others = next.clone();
                others.insert(key.clone(), group.clone());
                if let Some(reason) = self.check(&others, key, is_new, families) {
                    return self.fail(batch, key, reason);
                }
                for family in families {
                    group.families.insert(family.name.clone(), stored(family, self.last_at));
                }
                group.succeeded = self.last_at.0.max(group.failed);
                next.insert(key.clone(), group);
                if let Some(text) = over_limit(batch, &self.groups, &next) {
                    return Outcome::OverLimit(text);
                }
                self.groups = next;
            }
        }
        Outcome::Applied
    }

    fn new_group(&self) -> Group {
        Group { families: BTreeMap::new(), created: self.last_at.0, succeeded: 0, failed: 0 }
    }

    fn fail(&mut self, batch: &Batch, key: &GroupingKey, reason: String) -> Outcome {
        if let Some(group) = self.groups.get_mut(key) {
            group.failed = self.last_at.0.max(group.succeeded + 1000);
        } else if key.labels().all(|(name, _)| !name.starts_with("__")) {
            let twin = self.groups.keys().any(|other| time_labels(other) == time_labels(key));
            let mut next = self.groups.clone();
            next.insert(key.clone(), Group { failed: self.last_at.0, ..self.new_group() });
            if !twin && over_limit(batch, &self.groups, &next).is_none() {
                self.groups = next;
            }
        }
        Outcome::Rejected(reason)
    }

    /// `others` is the state without what the push displaces.
    fn check(
        &self,
        others: &Groups,
        key: &GroupingKey,
        is_new: bool,
        families: &[PushedFamily],
    ) -> Option<String> {
        let mut pushed: BTreeMap<String, Family> =
            families.iter().map(|f| (f.name.clone(), stored(f, self.last_at))).collect();
        if is_new {
            for (name, value) in [(PUSH_FAILURE_TIME, 0), (PUSH_TIME, self.last_at.0)] {
                pushed.insert(name.to_owned(), time_family(key, value));
            }
        }
        let mut present: BTreeMap<String, (MetricType, Vec<Metric>)> = BTreeMap::new();
        for (other, group) in others.iter().filter(|(other, _)| !is_new || *other != key) {
            for (name, family) in all_families(other, group) {
                let entry = present.entry(name).or_insert((family.kind, Vec::new()));
                assert_eq!(entry.0, family.kind, "the state is consistent");
                entry.1.extend(family.metrics);
            }
        }
        let mut reasons = Reasons::default();
        for (name, family) in pushed {
            if let Some(reason) = collision(&name, family.kind, &present) {
                reasons.add(|| reason);
                continue;
            }
            let shown = |kind: MetricType| kind.as_str_name();
            let there = present.entry(name.clone()).or_insert((family.kind, Vec::new()));
            if there.0 != family.kind {
                for metric in &family.metrics {
                    let what = format!("is not a {}", shown(there.0));
                    reasons.add(|| about_metric(&name, metric, &what));
                }
                if family.metrics.is_empty() {
                    let (is, should) = (shown(family.kind), shown(there.0));
                    reasons.add(|| {
                        format!(
                            "gathered metric family {name} has type {is} but should have {should}"
                        )
                    });
                }
                continue;
            }
            for metric in &family.metrics {
                if there.1.iter().any(|other| other.label == metric.label) {
                    let what = "was collected before with the same name and label values";
                    reasons.add(|| about_metric(&name, metric, what));
                }
            }
        }
        reasons.into_text()
    }

    /// Everything that can be seen of the groups.
    pub(crate) fn picture(&self) -> Vec<(GroupingKey, BTreeMap<String, Family>, bool)> {
        let groups = self.groups.iter();
        groups.map(|(k, g)| (k.clone(), all_families(k, g), g.failed <= g.succeeded)).collect()
    }
}

/// What [`Model::picture`] shows, of the real thing.
pub(crate) fn picture(view: &View) -> Vec<(GroupingKey, BTreeMap<String, Family>, bool)> {
    let families = |group: &crate::group::Group| {
        let family = |f: &crate::group::StoredFamily| Family {
            help: f.help().to_owned(),
            kind: f.kind(),
            metrics: f.decode().metric,
            pushed_at: f.pushed_at(),
        };
        group.families().map(|f| (f.name().to_owned(), family(f))).collect()
    };
    view.groups().map(|g| (g.key().clone(), families(g), g.last_push_successful())).collect()
}

fn stored(family: &PushedFamily, at: UnixNanos) -> Family {
    Family {
        help: family.help.clone(),
        kind: family.kind,
        metrics: MetricsIter::new(&family.metrics).map(|m| m.decode().unwrap()).collect(),
        pushed_at: at,
    }
}

fn time_labels(key: &GroupingKey) -> BTreeMap<String, String> {
    let labels = key.labels().map(|(n, v)| (n.to_owned(), v.to_owned()));
    std::iter::once(("instance".to_owned(), String::new())).chain(labels).collect()
}

fn time_family(key: &GroupingKey, at: i64) -> Family {
    let label = time_labels(key)
        .into_iter()
        .map(|(name, value)| LabelPair { name: Some(name), value: Some(value) })
        .collect();
    let gauge = Some(Gauge { value: Some(UnixNanos(at).as_seconds()) });
    Family {
        help: String::new(),
        kind: MetricType::Gauge,
        metrics: vec![Metric { label, gauge, ..Metric::default() }],
        pushed_at: UnixNanos(at),
    }
}

fn all_families(key: &GroupingKey, group: &Group) -> BTreeMap<String, Family> {
    let mut families = group.families.clone();
    for (name, value, word) in
        [(PUSH_TIME, group.succeeded, "succeeded"), (PUSH_FAILURE_TIME, group.failed, "failed")]
    {
        let mut family = time_family(key, value);
        family.help = format!("Last Unix time when changing this group in the Pushgateway {word}.");
        family.pushed_at = UnixNanos(if value == 0 { group.created } else { value });
        families.insert(name.to_owned(), family);
    }
    families
}

fn collision(
    name: &str,
    kind: MetricType,
    present: &BTreeMap<String, (MetricType, Vec<Metric>)>,
) -> Option<String> {
    use MetricType::{Histogram, Summary};
    for (other, (other_kind, _)) in present {
        let suffix = name.strip_prefix(&**other).unwrap_or("");
        let word = match (other_kind, suffix) {
            (Summary, "_count" | "_sum") => "summary",
            (Histogram, "_count" | "_sum" | "_bucket") => "histogram",
            _ => continue,
        };
        return Some(format!(
            "collected metric named {name:?} collides with previously collected {word} named {other:?}"
        ));
    }
    for suffix in ["_count", "_sum", "_bucket"] {
        let other = format!("{name}{suffix}");
        let collides = kind == Histogram || (kind == Summary && suffix != "_bucket");
        if collides && present.contains_key(&other) {
            return Some(format!(
                "collected histogram or summary named {name:?} collides with previously collected metric named {other:?}"
            ));
        }
    }
    None
}

fn over_limit(batch: &Batch, old: &Groups, new: &Groups) -> Option<String> {
    let series = |groups: &Groups| {
        let of = |g: &Group| 2 + g.families.values().map(|f| f.metrics.len() as u64).sum::<u64>();
        groups.values().map(of).sum::<u64>()
    };
    let max = batch.limits;
    for (what, flag, max, old, new) in [
        ("groups", "groups", max.groups, old.len() as u64, new.len() as u64),
        ("series", "series", max.series, series(old), series(new)),
        ("bytes", "state-bytes", max.bytes, bytes(old), bytes(new)),
    ] {
        if max > 0 && new > old && new > max {
            return Some(format!(
                "{new} {what} would be more than the limit of {max} (--limits.{flag})"
            ));
        }
    }
    None
}

fn bytes(groups: &Groups) -> u64 {
    let of = |(name, family): (String, Family)| {
        192 + name.len() + family.help.len() + encode_metrics(&family.metrics).len()
    };
    let families = groups.iter().flat_map(|(key, group)| all_families(key, group));
    families.map(of).sum::<usize>() as u64
}
