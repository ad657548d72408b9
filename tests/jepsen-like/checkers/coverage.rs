//! A run that proved nothing is not a good run: there must have been load, faults and what these were
//! meant to cause.

use super::Finding;
use super::case::Case;
use crate::history::{Action, Op};

pub(crate) const NAME: &str = "coverage";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let evidence = case.evidence;
    let due = evidence.due;
    let acknowledged: Vec<&Op> = case
        .history
        .ops
        .iter()
        .filter(|op| op.action != Action::Scrape && op.stamp().is_some())
        .collect();
    let in_fault =
        |op: &&&Op| evidence.faults.iter().any(|f| f.from <= op.called && op.returned <= f.to);
    let counts = [
        ("acknowledged changes", acknowledged.len() as u64, due.acknowledged),
        (
            "changes acknowledged during faults",
            acknowledged.iter().filter(in_fault).count() as u64,
            due.acknowledged_in_faults,
        ),
        ("scrapes", case.reads.len() as u64, due.scrapes),
        ("faults", evidence.faults.len() as u64, due.faults),
        ("changes of leader", evidence.leader_changes, due.leader_changes),
        ("snapshots installed", evidence.snapshots_installed, due.snapshots_installed),
    ];
    match counts.into_iter().find(|(_, count, due)| count < due) {
        Some((what, count, due)) => Finding::Fail(format!("{count} {what}, {due} were due")),
        None => Finding::Pass,
    }
}
