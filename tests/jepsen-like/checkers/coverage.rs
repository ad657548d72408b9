//! A run that proved nothing is not a good run: there must have been load, faults and what these were
//! meant to cause, and nothing of what they must not cause.

use super::Finding;
use super::case::Case;
use crate::history::{Action, Op};

pub(crate) const NAME: &str = "coverage";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let evidence = case.evidence;
    let due = &evidence.due;
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
    if let Some((what, count, due)) = counts.into_iter().find(|(_, count, due)| count < due) {
        return Finding::Fail(format!("{count} {what}, {due} were due"));
    }
    let crashed_at = |place: &str| {
        let mut names = evidence.faults.iter().map(|fault| fault.name.split(' ').next_back());
        names.any(|last| last == Some(place))
    };
    let missed: Vec<&str> =
        due.places.iter().map(String::as_str).filter(|place| !crashed_at(place)).collect();
    if !missed.is_empty() {
        return Finding::Fail(format!("nobody crashed at {}", missed.join(", ")));
    }
    match due.leader_changes_max {
        Some(most) if evidence.leader_changes > most => {
            let count = evidence.leader_changes;
            Finding::Fail(format!("{count} changes of leader, {most} are allowed"))
        }
        _ => Finding::Pass,
    }
}
