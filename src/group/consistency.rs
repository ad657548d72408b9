//! Checks a push against everything else that is stored.
//!
//! A push is held against the state as it would be without what the push displaces, and against the
//! families of the push that come before in the order of names. So the answer does not depend on
//! chance, and what passes leaves a state that can be scraped.

use crate::clock::UnixNanos;
use crate::exposition::goquote::quote;
use crate::exposition::wire::{MetricRef, MetricsIter};
use crate::group::examine::fingerprints;
use crate::group::family::Families;
use crate::group::hash::{Fingerprint, Hashes};
use crate::group::index::SeriesIndex;
use crate::group::key::GroupingKey;
use crate::group::plan::{Plan, Planned};
use crate::group::refusal::{Reasons, about_metric};
use crate::group::times::{PUSH_FAILURE_TIME, PUSH_TIME, time_metrics};
use crate::pb::client::MetricType;

/// What is wrong with a series that is there already.
pub(crate) const COLLECTED_BEFORE: &str =
    "was collected before with the same name and label values";

/// What a push is held against.
pub(crate) struct Checker<'a> {
    pub(crate) hashes: &'a Hashes,
    pub(crate) families: &'a Families,
    pub(crate) index: &'a SeriesIndex,
}

/// What the check of one push has found so far.
#[derive(Default)]
struct Findings {
    reasons: Reasons,
    /// Families of the push that collide with others, sorted. They are in nobody else's way.
    colliding: Vec<String>,
}

impl Checker<'_> {
    /// Why a push that would be applied at this time has to be refused, if it has to be.
    pub(crate) fn check(&self, plan: &Plan<'_>, at: UnixNanos) -> Option<String> {
        let mut findings = Findings::default();
        let split = plan.pushed.partition_point(|p| &*p.family.name < PUSH_FAILURE_TIME);
        let (before, rest) = plan.pushed.split_at_checked(split).unwrap_or_default();
        let split = rest.partition_point(|p| &*p.family.name < PUSH_TIME);
        let (between, after) = rest.split_at_checked(split).unwrap_or_default();
        let check = |some: &[Planned<'_>], findings: &mut Findings| {
            for planned in some {
                self.check_family(plan, planned, findings);
            }
        };
        check(before, &mut findings);
        self.check_time(plan, PUSH_FAILURE_TIME, None, &mut findings);
        check(between, &mut findings);
        self.check_time(plan, PUSH_TIME, Some(at), &mut findings);
        check(after, &mut findings);
        findings.reasons.into_text()
    }

    /// Whether the series of push times of a new group would collide with those of another group:
    /// of two keys one of which has an empty `instance` and the other none.
    pub(crate) fn times_collide(&self, key: &GroupingKey) -> bool {
        let metrics = time_metrics(key, None);
        [PUSH_FAILURE_TIME, PUSH_TIME].iter().any(|name| {
            fingerprints(&metrics, &self.hashes.series(name)).any(|f| self.index.owner(f).is_some())
        })
    }

    fn check_time(
        &self,
        plan: &Plan<'_>,
        name: &str,
        at: Option<UnixNanos>,
        findings: &mut Findings,
    ) {
        if plan.group.is_some() {
            return;
        }
        let metrics = time_metrics(plan.key, at);
        let taken: Vec<Fingerprint> = fingerprints(&metrics, &self.hashes.series(name)).collect();
        self.check_series(plan, (name, &metrics), &taken, &mut findings.reasons);
    }

    fn check_family(&self, plan: &Plan<'_>, planned: &Planned<'_>, findings: &mut Findings) {
        let (family, reasons) = (planned.family, &mut findings.reasons);
        let colliding = &mut findings.colliding;
        let present = |name: &str| {
            let pushed = || plan.pushed(name).filter(|p| p.family.name < family.name);
            let is_sound = |p: &&Planned<'_>| colliding.binary_search(&p.family.name).is_err();
            let pushed = || pushed().filter(is_sound).map(|p| p.family.kind);
            self.remaining_kind(plan, name).or_else(pushed)
        };
        if let Some(reason) = suffix_collision(&family.name, family.kind, present) {
            colliding.push(family.name.clone());
            return reasons.add(|| reason);
        }
        if let Some(kind) = planned.kind_of_others.filter(|kind| *kind != family.kind) {
            if family.metrics.is_empty() {
                return reasons.add(|| wrong_family_kind(&family.name, family.kind, kind));
            }
            for metric in MetricsIter::new(&family.metrics) {
                reasons.add(|| wrong_kind(&family.name, metric, kind));
            }
            return;
        }
        if let Some(fingerprints) = &planned.examined.fingerprints {
            self.check_series(plan, (&family.name, &family.metrics), fingerprints, reasons);
        }
    }

    /// The type of a family as far as the push leaves any of it in the state.
    fn remaining_kind(&self, plan: &Plan<'_>, name: &str) -> Option<MetricType> {
        let entry = self.families.get(name)?;
        let displaced = usize::from(plan.displaces(name));
        (entry.members.len() > displaced).then_some(entry.kind)
    }

    fn check_series(
        &self,
        plan: &Plan<'_>,
        (name, metrics): (&str, &[u8]),
        fingerprints: &[Fingerprint],
        reasons: &mut Reasons,
    ) {
        let slot = plan.group.as_ref().map(|group| group.slot);
        for (metric, fingerprint) in MetricsIter::new(metrics).zip(fingerprints) {
            // A series of this very group is one that the push replaces.
            if self.index.owner(*fingerprint).is_some_and(|owner| Some(owner) != slot) {
                reasons.add(|| collected_before(name, metric));
            }
        }
    }
}

/// Whether a family would share line names with a summary or histogram, as `x_count` does with a
/// summary `x`. `present` tells the types of the families that are there.
pub(crate) fn suffix_collision(
    name: &str,
    kind: MetricType,
    present: impl Fn(&str) -> Option<MetricType>,
) -> Option<String> {
    for suffix in ["_count", "_sum", "_bucket"] {
        let Some(base) = name.strip_suffix(suffix).filter(|base| !base.is_empty()) else {
            continue;
        };
        let owner = match present(base) {
            Some(MetricType::Summary) if suffix != "_bucket" => "summary",
            Some(MetricType::Histogram) => "histogram",
            _ => continue,
        };
        return Some(format!(
            "collected metric named {} collides with previously collected {owner} named {}",
            quote(name.as_bytes()),
            quote(base.as_bytes()),
        ));
    }
    let suffixes: &[&str] = match kind {
        MetricType::Summary => &["_count", "_sum"],
        MetricType::Histogram => &["_count", "_sum", "_bucket"],
        _ => &[],
    };
    let taken = suffixes.iter().map(|suffix| format!("{name}{suffix}"));
    let other = taken.into_iter().find(|other| present(other).is_some())?;
    Some(format!(
        "collected histogram or summary named {} collides with previously collected metric named {}",
        quote(name.as_bytes()),
        quote(other.as_bytes()),
    ))
}

/// The reason for a family whose type is not the one that the name has already.
pub(crate) fn wrong_family_kind(name: &str, kind: MetricType, should: MetricType) -> String {
    format!(
        "gathered metric family {name} has type {} but should have {}",
        kind.as_str_name(),
        should.as_str_name()
    )
}

fn wrong_kind(name: &str, metric: MetricRef<'_>, should: MetricType) -> String {
    let metric = metric.decode().unwrap_or_default();
    about_metric(name, &metric, &format!("is not a {}", should.as_str_name()))
}

fn collected_before(name: &str, metric: MetricRef<'_>) -> String {
    about_metric(name, &metric.decode().unwrap_or_default(), COLLECTED_BEFORE)
}
