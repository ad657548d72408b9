//! Linearizability of groups that are only ever replaced as a whole, by values that no two requests
//! share: zones after Gibbons and Korach. Exact, O(n log n), and trusts nothing that the replicas
//! say of themselves.
//!
//! All operations on one value must follow each other. A value whose first return comes before its
//! last call has a forward zone in which it, and it alone, was the value; other values have a
//! backward zone somewhere in which their moment can be placed.

use std::collections::BTreeMap;

use super::case::Case;
use super::{Checked, Finding};
use crate::history::{Action, Cells, Group, Request};

pub(super) const NAME: &str = "zones";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let (mut checked, mut groups) = (0, 0);
    for group in case.groups() {
        let changes = case.changes(group);
        groups += 1;
        if !is_register(&changes) {
            continue;
        }
        checked += 1;
        if let Checked::Bad(text) = check_group(case, group, &changes) {
            return Finding::Fail(format!("group {group}: {text}"));
        }
    }
    if checked == 0 {
        return Finding::Skipped(format!("none of {groups} groups has PUTs only"));
    }
    Finding::Pass
}

/// Whether every change replaces the same families.
pub(super) fn is_register(changes: &[&Request<'_>]) -> bool {
    let mut families = changes.iter().map(|change| match change.action() {
        Action::Put { cells, .. } => Some(cells.keys().collect::<Vec<_>>()),
        _ => None,
    });
    let Some(first) = families.next() else { return false };
    first.is_some() && families.all(|other| other == first)
}

/// When all operations on one value were under way, in nanoseconds plus one: what there was before
/// the first PUT was written at 0.
#[derive(Clone, Copy)]
struct Zone {
    /// The value; `None` is that before the first PUT.
    value: Option<u64>,
    first_return: u64,
    last_call: u64,
    written: u64,
}

impl Zone {
    fn is_forward(&self) -> bool {
        self.first_return < self.last_call
    }
}

fn check_group(case: &Case<'_>, group: &Group, changes: &[&Request<'_>]) -> Checked {
    let start = Zone { value: None, first_return: 0, last_call: 0, written: 0 };
    let mut zones = BTreeMap::from([(None, start)]);
    for change in changes {
        let value = change.action().cells().and_then(value_of);
        let (first_return, called) = (change.returned.saturating_add(1), change.called + 1);
        let zone = Zone { value, first_return, last_call: called, written: called };
        zones.insert(value, zone);
    }
    for read in &case.reads {
        let value = read.state(group).map(value_of);
        let Some(zone) = zones.get_mut(&value.flatten()).filter(|_| value != Some(None)) else {
            return Checked::Bad(format!("{} shows what nobody pushed", read.op.name()));
        };
        zone.first_return = zone.first_return.min(read.op.returned + 1);
        zone.last_call = zone.last_call.max(read.op.called + 1);
        if read.op.returned + 1 < zone.written {
            return Checked::Bad(format!("{} shows what was pushed later", read.op.name()));
        }
    }
    // Nobody has seen it and nobody knows that it happened.
    zones.retain(|_, zone| zone.first_return != u64::MAX);
    overlaps(&zones.into_values().collect::<Vec<_>>())
}

/// The one value of all families, if it is one.
fn value_of(cells: &Cells) -> Option<u64> {
    let mut values = cells.values().map(|cell| cell.value);
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

fn overlaps(zones: &[Zone]) -> Checked {
    let mut forward: Vec<&Zone> = zones.iter().filter(|zone| zone.is_forward()).collect();
    forward.sort_by_key(|zone| zone.first_return);
    for (one, next) in forward.iter().zip(forward.iter().skip(1)) {
        if next.first_return < one.last_call {
            return Checked::Bad(format!(
                "{} and {} were both the value at {} ms",
                shown(one.value),
                shown(next.value),
                next.first_return / 1_000_000
            ));
        }
    }
    for zone in zones.iter().filter(|zone| !zone.is_forward()) {
        // The last forward zone that begins before this backward one.
        let before = forward.partition_point(|other| other.first_return < zone.last_call);
        let around = before.checked_sub(1).and_then(|at| forward.get(at));
        if let Some(around) = around.filter(|around| zone.first_return < around.last_call) {
            return Checked::Bad(format!(
                "{} was set from {} to {} ms, while {} was the value throughout",
                shown(zone.value),
                zone.last_call / 1_000_000,
                zone.first_return / 1_000_000,
                shown(around.value)
            ));
        }
    }
    Checked::Good
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}
