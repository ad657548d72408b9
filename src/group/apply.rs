//! What each kind of change does to the state.

use std::sync::Arc;

use crate::clock::UnixNanos;
use crate::group::consistency::Checker;
use crate::group::examine::fingerprints;
use crate::group::hash::{Digest, GroupHasher};
use crate::group::key::GroupingKey;
use crate::group::mutation::{Change, Outcome, PushMode, PushedFamily};
use crate::group::packed::Packed;
use crate::group::plan::{Delta, Growth, Plan, Planned};
use crate::group::store::{GroupStore, Terms};
use crate::group::stored::{Group, Member, StoredFamily};
use crate::group::times::{
    GroupTimes, PUSH_FAILURE_TIME, PUSH_TIME, is_time_family, time_family, time_help,
};

/// A failure is this much later than the success it follows, even within one batch: more than the
/// resolution of the doubles that show the times, so that an alert sees which was later.
const FAILURE_AFTER_SUCCESS_NANOS: i64 = 1_000;
const MALFORMED: &str = "malformed push";

/// Refuses to store more of something than its limit.
fn over_limit(what: &str, flag: &str, count: u64, max: u64) -> String {
    format!("{count} {what} would be more than the limit of {max} (--limits.{flag})")
}

impl GroupStore {
    /// Applies one change.
    pub(crate) fn change(&mut self, terms: Terms, change: &Change) -> Outcome {
        match change {
            Change::Push { key, mode, families } => self.push(terms, key, *mode, families),
            Change::FailedPush { key, reason } => self.fail(terms, key, reason.clone()),
            Change::Delete { key } => self.delete(key),
            Change::Wipe => self.wipe(),
        }
    }

    fn push(
        &mut self,
        terms: Terms,
        key: &GroupingKey,
        mode: PushMode,
        families: &[PushedFamily],
    ) -> Outcome {
        let group = self.groups.get(key).cloned();
        let plan = Plan::new(&self.hashes, &self.families, group, key, mode, families);
        let Some(plan) = plan.filter(|_| key.is_exposable()) else {
            return Outcome::Rejected(MALFORMED.to_owned());
        };
        if let Some(reason) = self.checker().check(&plan, terms.at) {
            return self.fail(terms, key, reason);
        }
        if let Some(text) = self.exceeded(terms, &plan.growth()) {
            return Outcome::OverLimit(text);
        }
        self.commit(plan, mode, terms.at);
        Outcome::Applied
    }

    fn checker(&self) -> Checker<'_> {
        Checker { hashes: &self.hashes, families: &self.families, index: &self.index }
    }

    /// Which limit a push would exceed. What does not add to the state passes even above a limit.
    fn exceeded(&self, terms: Terms, growth: &Growth) -> Option<String> {
        let (totals, max) = (&self.totals, terms.limits);
        let checks = [
            ("groups", "groups", totals.groups, growth.groups, max.groups),
            ("series", "series", totals.series, growth.series, max.series),
            ("bytes", "state-bytes", totals.state_bytes, growth.bytes, max.bytes),
        ];
        checks.into_iter().find_map(|(what, flag, now, Delta { added, gone }, max)| {
            let then = now.saturating_add(added).saturating_sub(gone);
            let exceeds = added > gone && max > 0 && then > max;
            exceeds.then(|| over_limit(what, flag, then, max))
        })
    }

    /// Notes that a push failed: the group's failure time, for which the group may be created.
    fn fail(&mut self, terms: Terms, key: &GroupingKey, reason: String) -> Outcome {
        if let Some(old) = self.groups.get(key).cloned() {
            let mut group = Group::clone(&old);
            let succeeded = group.times.succeeded.unwrap_or_default();
            let after = succeeded.0.saturating_add(FAILURE_AFTER_SUCCESS_NANOS);
            group.times.failed = Some(terms.at.max(UnixNanos(after)));
            let hasher = self.hashes.group(key);
            self.store_group(group, &hasher, &[PUSH_FAILURE_TIME]);
        } else if key.is_exposable()
            && !self.checker().times_collide(key)
            && self.exceeded(terms, &Growth::of_new_group(key)).is_none()
        {
            let times = GroupTimes { created: terms.at, succeeded: None, failed: Some(terms.at) };
            let hasher = self.hashes.group(key);
            let group = self.new_group(key, &hasher, times);
            self.store_group(group, &hasher, &[PUSH_FAILURE_TIME, PUSH_TIME]);
        }
        Outcome::Rejected(reason)
    }

    fn delete(&mut self, key: &GroupingKey) -> Outcome {
        if let Some(group) = self.groups.remove(key) {
            for family in &group.families {
                self.drop_family(&group.key, family);
            }
            self.totals.groups -= 1;
            self.totals.digest = self.totals.digest.minus(group.digest);
            self.dirty.group(&group.key);
        }
        Outcome::Applied
    }

    fn wipe(&mut self) -> Outcome {
        for group in self.groups.iter() {
            let names = self.dirty.group(&group.key);
            self.totals.digest = self.totals.digest.minus(group.digest);
            for family in group.families.iter().filter(|f| !is_time_family(&f.name)) {
                names.insert(Arc::clone(&family.name));
                self.totals.digest = self.totals.digest.minus(family.digest);
            }
        }
        (self.groups, self.families, self.index) = Default::default();
        let totals = &mut self.totals;
        (totals.groups, totals.family_items, totals.series, totals.state_bytes) = (0, 0, 0, 0);
        Outcome::Applied
    }

    fn commit(&mut self, plan: Plan<'_>, mode: PushMode, at: UnixNanos) {
        if let Some(group) = &plan.group {
            for old in &plan.removed {
                self.drop_family(&group.key, old);
            }
        }
        let hasher = self.hashes.group(plan.key);
        let (mut group, changed_times): (Group, &[&str]) = if let Some(group) = &plan.group {
            (Group::clone(group), &[PUSH_TIME])
        } else {
            let times = GroupTimes { created: at, succeeded: None, failed: None };
            (self.new_group(plan.key, &hasher, times), &[PUSH_FAILURE_TIME, PUSH_TIME])
        };
        group.times.succeeded = Some(at.max(group.times.failed.unwrap_or(at)));
        group.families.retain(|old| {
            is_time_family(&old.name)
                || (mode == PushMode::Merge && plan.pushed(&old.name).is_none())
        });
        for planned in plan.pushed {
            let stored = self.store_family(&group, &hasher, planned, at);
            group.families.push(stored);
        }
        self.store_group(group, &hasher, changed_times);
    }

    fn new_group(&mut self, key: &GroupingKey, hasher: &GroupHasher, times: GroupTimes) -> Group {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.totals.groups += 1;
        let key = Arc::new(key.clone());
        Group {
            key,
            families: Vec::new(),
            times,
            slot,
            mark: hasher.mark,
            digest: Digest::default(),
        }
    }

    /// Puts a new or changed group into the state, with those of its two families of push times that
    /// changed; its other families are in the state already.
    fn store_group(&mut self, mut group: Group, hasher: &GroupHasher, changed_times: &[&str]) {
        for name in changed_times {
            let texts = self.time_texts(name);
            let family = Arc::new(time_family(&group.key, group.mark, &group.times, texts));
            let place = group.families.iter_mut().find(|old| &*old.name == *name);
            let old = place.map(|place| std::mem::replace(place, Arc::clone(&family)));
            if old.is_none() {
                for series in fingerprints(&family.metrics(), &self.hashes.series(name)) {
                    self.index.insert(series, group.slot);
                }
                group.families.push(Arc::clone(&family));
            }
            self.put_family(&group.key, family, old.as_deref());
        }
        group.families.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.dirty.group(&group.key);
        self.totals.digest = self.totals.digest.minus(group.digest);
        group.digest = group.times.digest(hasher);
        self.totals.digest = self.totals.digest.plus(group.digest);
        self.groups.insert(Arc::new(group));
    }

    /// Puts one family of a push into the state.
    fn store_family(
        &mut self,
        group: &Group,
        hasher: &GroupHasher,
        planned: Planned<'_>,
        at: UnixNanos,
    ) -> Arc<StoredFamily> {
        let (name, help) = planned.shared_texts();
        let Planned { family, replaced, examined, series: series_hasher, .. } = planned;
        if let Some(new) = examined.fingerprints {
            if let Some(old) = &replaced {
                for series in fingerprints(&old.metrics(), &series_hasher) {
                    self.index.remove(series);
                }
            }
            for series in new {
                self.index.insert(series, group.slot);
            }
        }
        let digest = hasher.family(&name, &help, family.kind, &family.metrics, at);
        let stored = Arc::new(StoredFamily {
            name,
            help,
            metrics: Packed::new(&family.metrics),
            pushed_at: at,
            digest,
            series: examined.series,
            mark: group.mark,
            kind: family.kind,
            needs_escaping: examined.needs_escaping,
        });
        self.dirty.group(&group.key).insert(Arc::clone(&stored.name));
        self.totals.family_items += u64::from(replaced.is_none());
        let old_digest = replaced.as_ref().map_or_else(Digest::default, |old| old.digest);
        self.totals.digest = self.totals.digest.minus(old_digest).plus(stored.digest);
        self.put_family(&group.key, Arc::clone(&stored), replaced.as_deref());
        stored
    }

    fn put_family(
        &mut self,
        key: &Arc<GroupingKey>,
        family: Arc<StoredFamily>,
        old: Option<&StoredFamily>,
    ) {
        let totals = &mut self.totals;
        totals.series += u64::from(family.series);
        totals.state_bytes += family.state_bytes();
        if let Some(old) = old {
            totals.series -= u64::from(old.series);
            totals.state_bytes -= old.state_bytes();
        }
        self.families.put(&self.hashes, Member { key: Arc::clone(key), family });
    }

    /// Takes a family out of everything but its group.
    fn drop_family(&mut self, key: &Arc<GroupingKey>, family: &StoredFamily) {
        for series in fingerprints(&family.metrics(), &self.hashes.series(&family.name)) {
            self.index.remove(series);
        }
        self.families.take(&family.name, key);
        self.totals.series -= u64::from(family.series);
        self.totals.state_bytes -= family.state_bytes();
        if !is_time_family(&family.name) {
            self.totals.family_items -= 1;
            self.totals.digest = self.totals.digest.minus(family.digest);
            self.dirty.group(key).insert(Arc::clone(&family.name));
        }
    }

    fn time_texts(&self, name: &str) -> (Arc<str>, Arc<str>) {
        let entry = self.families.get(name);
        let first = entry.and_then(|entry| Some((entry, &entry.members.iter().next()?.family)));
        first.map_or_else(
            || (Arc::from(name), Arc::from(time_help(name))),
            |(entry, first)| (Arc::clone(&entry.name), Arc::clone(&first.help)),
        )
    }
}
