//! Push times come from the log, not from whoever applies it: the same contents have the same
//! `push_time_seconds` at every replica, it never falls, and it is the time of the last push as the
//! clients know it, give or take how far clocks were moved. Failure times are not forgotten.

use std::collections::BTreeMap;

use super::Finding;
use super::case::{Case, Read};
use crate::history::{Action, Cells, Group, Request, Shown, values};

pub(super) const NAME: &str = "push_times";

/// How far clocks of one machine may seem apart, in seconds.
const SLACK: f64 = 0.1;

pub(super) fn check(case: &Case<'_>) -> Finding {
    for group in case.groups() {
        let failures = Failures::of(case, group);
        if let Some(text) = of_group(case, group, &failures) {
            return Finding::Fail(format!("group {group}: {text}"));
        }
    }
    Finding::Pass
}

#[expect(clippy::cast_precision_loss, reason = "microseconds are enough")]
fn slack(case: &Case<'_>) -> f64 {
    SLACK + case.evidence.clock_skew as f64 / 1e9
}

#[expect(clippy::float_cmp, reason = "the same time must be shown with the same digits")]
fn of_group(case: &Case<'_>, group: &Group, failures: &Failures<'_>) -> Option<String> {
    let mut by_contents: BTreeMap<&Cells, (f64, &Read<'_>)> = BTreeMap::new();
    let mut newest: Option<(f64, &Read<'_>)> = None;
    for read in &case.reads {
        let Some(shown) = read.shown(group) else { continue };
        let name = || read.op.name();
        if let Some(text) = failures.contradicted(case, read, shown) {
            return Some(format!("{}: {text}", name()));
        }
        if shown.cells.is_empty() {
            continue;
        }
        let pushed = shown.pushed;
        let (other, first) = *by_contents.entry(&shown.cells).or_insert((pushed, read));
        if other != pushed {
            return Some(format!(
                "{} was pushed at {pushed} for {}, at {other} for {}",
                values(&shown.cells),
                name(),
                first.op.name()
            ));
        }
        if let Some((before, earlier)) = newest.filter(|(before, _)| pushed < *before) {
            return Some(format!(
                "push time {pushed} of {} is less than {before} of {}",
                name(),
                earlier.op.name()
            ));
        }
        newest = Some((pushed, read));
        if let Some(text) = insane(case, read, shown) {
            return Some(format!("{} in {}: {text}", values(&shown.cells), name()));
        }
    }
    None
}

/// Whether the push time is not one at which the last of the visible pushes can have happened.
fn insane(case: &Case<'_>, read: &Read<'_>, shown: &Shown) -> Option<String> {
    let writers: Vec<&Request<'_>> =
        shown.cells.values().filter_map(|cell| case.writer(cell.value)).collect();
    let called = writers.iter().map(|writer| writer.called).max()?;
    let returned = writers.iter().map(|writer| writer.returned).max()?;
    let least = case.wall(called) - slack(case);
    let most = case.wall(returned.min(read.op.returned)) + slack(case);
    (shown.pushed < least || shown.pushed > most)
        .then(|| format!("push time {} is not within {least} to {most}", shown.pushed))
}

/// What must be known of failed pushes to a group.
struct Failures<'a> {
    /// By log index, when the latest of the failed pushes up to there was called.
    known: BTreeMap<u64, u64>,
    possible: Vec<&'a Request<'a>>,
}

impl<'a> Failures<'a> {
    fn of(case: &'a Case<'_>, group: &Group) -> Failures<'a> {
        let changes = case.changes(group);
        let is_failure = |r: &&Request<'_>| matches!(r.action(), Action::Inconsistent { .. });
        let forgets = |r: &Request<'_>| matches!(r.action(), Action::Delete { .. } | Action::Wipe);
        // With the group, its failures go.
        let forgotten = changes.iter().any(|request| forgets(request));
        let possible: Vec<_> = changes.into_iter().filter(|r| is_failure(r)).collect();
        let mut by_index: Vec<(u64, u64)> =
            possible.iter().filter_map(|r| Some((r.index()?, r.called))).collect();
        by_index.sort_unstable();
        let (mut known, mut latest) = (BTreeMap::new(), 0);
        for (index, called) in by_index.into_iter().filter(|_| !forgotten) {
            latest = latest.max(called);
            known.insert(index, latest);
        }
        Failures { known, possible }
    }

    fn contradicted(&self, case: &Case<'_>, read: &Read<'_>, shown: &Shown) -> Option<String> {
        if let Some((_, called)) = self.known.range(..=read.stamp.index).next_back() {
            let least = case.wall(*called) - slack(case);
            if shown.failed < least {
                return Some(format!("failure time {} should be {least} or more", shown.failed));
            }
        }
        let begun = self.possible.iter().any(|request| request.called <= read.op.returned);
        (shown.failed > 0.0 && !begun).then(|| "a failure that nobody has caused".to_owned())
    }
}
