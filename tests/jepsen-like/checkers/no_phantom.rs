//! Nothing comes from nowhere: each value that is seen was pushed to this family of this group, as a
//! whole, by one request that was called before and not surely refused. And one log index has one
//! term, which never falls.

use std::collections::BTreeMap;

use super::Finding;
use super::case::{Case, Read};
use crate::history::{Action, Cell, Family, Group, MIXED};

pub(super) const NAME: &str = "no_phantom";

pub(super) fn check(case: &Case<'_>) -> Finding {
    for read in &case.reads {
        for (group, shown) in &read.picture.groups {
            for (family, cell) in &shown.cells {
                if let Some(why) = fault(case, read, group, family, *cell) {
                    let name = read.op.name();
                    return Finding::Fail(format!(
                        "{name} shows {group} {family}={}: {why}",
                        cell.value
                    ));
                }
            }
        }
    }
    terms(case)
}

fn fault(
    case: &Case<'_>,
    read: &Read<'_>,
    group: &Group,
    family: &Family,
    cell: Cell,
) -> Option<String> {
    if cell.value == MIXED {
        return Some("its series have several values".to_owned());
    }
    let Some(writer) = case.writer(cell.value) else { return Some("nobody pushed it".to_owned()) };
    let name = writer.op.name();
    let pushed = writer.action().cells().and_then(|cells| cells.get(family));
    if writer.action().group() != Some(group) || pushed.is_none() {
        return Some(format!("it was pushed elsewhere, by {name}"));
    }
    if pushed.is_some_and(|pushed| pushed.series != cell.series) {
        return Some(format!("{} series are shown, not all of {name}", cell.series));
    }
    if !writer.possible() {
        return Some(format!("it was refused: {name}"));
    }
    (read.op.returned < writer.called).then(|| format!("it was pushed later: {name}"))
}

/// The terms of changes, by index. A scrape's term is that of who led when it was read.
fn terms(case: &Case<'_>) -> Finding {
    let changes = case.history.ops.iter().filter(|op| op.action != Action::Scrape);
    let mut by_index: BTreeMap<u64, (u64, String)> = BTreeMap::new();
    for op in changes {
        let Some(stamp) = op.stamp() else { continue };
        let known = by_index.entry(stamp.index).or_insert_with(|| (stamp.term, op.name()));
        if known.0 != stamp.term {
            let (term, other) = known;
            return Finding::Fail(format!(
                "index {} is of term {term} for {other}, of term {} for {}",
                stamp.index,
                stamp.term,
                op.name()
            ));
        }
    }
    let mut highest = 0;
    for (index, (term, name)) in by_index {
        if term < highest {
            return Finding::Fail(format!(
                "index {index} is of term {term} after one of term {highest}: {name}"
            ));
        }
        highest = term;
    }
    Finding::Pass
}
