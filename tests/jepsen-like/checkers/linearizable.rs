//! Linearizability of single groups, whatever is done to them, by searching for an order: a black
//! box check that trusts nothing that the replicas say of themselves.
//!
//! What overlaps is tried in every order, so the budget is limited, and spent means undecided.
//! Groups that `zones` decides are left to it.

use std::time::{Duration, Instant};

use super::case::{Case, Read};
use super::model;
use super::search::{self, Change, End, Look, NEVER};
use super::{Finding, zones};
use crate::history::Group;

pub(super) const NAME: &str = "linearizable";

/// States considered for one group.
const BUDGET: u64 = 1_000_000;
/// For all groups together.
const TIME_MAX: Duration = Duration::from_secs(20);

pub(super) fn check(case: &Case<'_>) -> Finding {
    let begun = Instant::now();
    let (mut checked, mut undecided) = (0, Vec::new());
    let groups: Vec<&Group> =
        case.groups().into_iter().filter(|g| !zones::is_register(&case.changes(g))).collect();
    for group in groups.iter().copied() {
        if begun.elapsed() > TIME_MAX {
            undecided.push(group);
            continue;
        }
        checked += 1;
        match check_group(case, group) {
            End::Legal => {}
            End::Illegal(id) => return Finding::Fail(case.misfit(group, id)),
            End::OutOfBudget => undecided.push(group),
        }
    }
    match undecided.first() {
        Some(first) => {
            let count = undecided.len();
            Finding::Undecided(format!("{count} of {} groups, such as {first}", groups.len()))
        }
        None if checked == 0 => Finding::Skipped("zones decide all groups".to_owned()),
        None => Finding::Pass,
    }
}

fn check_group(case: &Case<'_>, group: &Group) -> End {
    let requests = case.changes(group);
    let families = model::families(&requests);
    let mut changes = Vec::with_capacity(requests.len());
    for request in requests {
        let seen = case.sighted(request).map_or(NEVER, |sighted| sighted.returned);
        let to = request.returned.min(seen);
        if to == NEVER && model::leaves_no_trace(&request.op.action, &families) {
            continue;
        }
        let action = &request.op.action;
        changes.push(Change { id: request.op.id, from: request.called, to, action });
    }
    // Before its first change a group must be absent, which is most of what is seen of it.
    let first_call = changes.iter().map(|change| change.from).min().unwrap_or(NEVER);
    let says_something =
        |read: &&Read<'_>| read.op.returned >= first_call || read.state(group).is_some();
    let looks: Vec<Look<'_>> = case
        .reads
        .iter()
        .filter(says_something)
        .map(|read| Look {
            id: read.op.id,
            from: read.op.called,
            to: read.op.returned,
            state: read.state(group),
        })
        .collect();
    let mut budget = BUDGET;
    search::search(&changes, &looks, &mut budget)
}
