//! Strict serializability by index witness: the log indexes that the answers name are an order of
//! all changes and whole scrapes that respects real time and explains everything that was seen.
//!
//! Accepting is a proof. Rejecting says that the order which the replicas themselves claim is wrong.
//!
//! A change that was repeated inside the cluster because an answer was lost is answered with the
//! index of the repetition, though it took effect before. So a change may take effect anywhere
//! between what was acknowledged before it was called and the index that it was answered with. The
//! claimed index is tried first, which is all that is ever needed unless answers were lost.

use std::collections::{BTreeMap, BTreeSet};

use super::case::Case;
use super::model::{self, State};
use super::search::{self, Change, End, Look, NEVER};
use super::{Checked, Finding};
use crate::history::{Action, Group, Op, Request};

/// States considered for one group.
const BUDGET: u64 = 2_000_000;
/// Changes of one group in one log entry whose orders are all tried.
const TIES_MAX: usize = 12;

pub(super) const NAME: &str = "order_by_index";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let Known { floors, violation } = Known::of(case);
    if let Some(text) = violation {
        return Finding::Fail(text);
    }
    let mut undecided = None;
    for group in case.groups() {
        let spans = match spans(case, group, &floors) {
            Ok(spans) => spans,
            Err(text) => return Finding::Fail(text),
        };
        match check_group(case, group, &spans) {
            Checked::Good => {}
            Checked::Bad(text) => return Finding::Fail(text),
            Checked::OutOfBudget => {
                undecided.get_or_insert_with(|| format!("group {group}: too much overlaps"));
            }
        }
    }
    undecided.map_or(Finding::Pass, Finding::Undecided)
}

/// What was acknowledged before each operation was called.
struct Known {
    /// By the id of an operation, the highest index known when it was called.
    floors: BTreeMap<u64, u64>,
    violation: Option<String>,
}

impl Known {
    /// Goes through calls and returns in order of time: a change must get a higher index than all
    /// that is known, a scrape may get the same.
    fn of(case: &Case<'_>) -> Known {
        let ops = &case.history.ops;
        let mut calls: Vec<_> = ops.iter().collect();
        calls.sort_by_key(|op| op.called);
        let mut returns: Vec<_> =
            ops.iter().filter_map(|op| op.stamp().map(|stamp| (op, stamp.index))).collect();
        returns.sort_by_key(|(op, _)| op.returned);
        let mut returns = returns.into_iter().peekable();
        let (mut known, mut by) = (0, None);
        let (mut floors, mut violation) = (BTreeMap::new(), None);
        for op in calls {
            while let Some((before, index)) = returns.next_if(|(r, _)| r.returned < op.called) {
                if index > known {
                    (known, by) = (index, Some(before));
                }
            }
            floors.insert(op.id, known);
            let Some(stamp) = op.stamp() else { continue };
            let least = if op.action == Action::Scrape { known } else { known + 1 };
            if stamp.index < least && violation.is_none() {
                let before = by.map(Op::name).unwrap_or_default();
                violation = Some(format!("{} was called after {before} had returned", op.name()));
            }
        }
        Known { floors, violation }
    }
}

/// A change and the indexes at which it can have taken effect.
#[derive(Clone, Copy)]
struct Span<'a> {
    request: &'a Request<'a>,
    low: u64,
    /// [`NEVER`] if it may not have taken effect.
    high: u64,
}

fn spans<'a>(
    case: &'a Case<'_>,
    group: &Group,
    floors: &BTreeMap<u64, u64>,
) -> Result<Vec<Span<'a>>, String> {
    let changes = case.changes(group);
    let families = model::families(&changes);
    let mut spans = Vec::with_capacity(changes.len());
    for request in changes {
        let low = floors.get(&request.op.id).copied().unwrap_or_default() + 1;
        let seen = case.sighted(request).map_or(NEVER, |sighted| sighted.index);
        let high = request.index().unwrap_or(NEVER).min(seen);
        if high < low {
            let name = request.op.name();
            return Err(format!(
                "{name} was seen at index {high}, but {} was known when it was called",
                low - 1
            ));
        }
        if high == NEVER && model::leaves_no_trace(request.action(), &families) {
            continue;
        }
        spans.push(Span { request, low, high });
    }
    Ok(spans)
}

fn check_group(case: &Case<'_>, group: &Group, spans: &[Span<'_>]) -> Checked {
    if replays(case, group, spans) {
        return Checked::Good;
    }
    // Within one index: changes may begin to take effect, then must have, then it is looked at.
    let point = |index: u64, step: u64| index.saturating_mul(4).saturating_add(step);
    let changes: Vec<Change<'_>> = spans
        .iter()
        .map(|span| Change {
            id: span.request.op.id,
            from: point(span.low, 0),
            to: if span.high == NEVER { NEVER } else { point(span.high, 1) },
            action: &span.request.op.action,
        })
        .collect();
    let looks: Vec<Look<'_>> = case
        .reads
        .iter()
        .map(|read| Look {
            id: read.op.id,
            from: point(read.stamp.index, 2),
            to: point(read.stamp.index, 3),
            state: read.state(group),
        })
        .collect();
    let mut budget = BUDGET;
    match search::search(&changes, &looks, &mut budget) {
        End::Legal => Checked::Good,
        End::OutOfBudget => Checked::OutOfBudget,
        End::Illegal(id) => Checked::Bad(case.misfit(group, id)),
    }
}

/// Whether applying each change at its highest index explains what was seen.
fn replays(case: &Case<'_>, group: &Group, spans: &[Span<'_>]) -> bool {
    let mut order: Vec<&Span<'_>> = spans.iter().filter(|span| span.high != NEVER).collect();
    order.sort_by_key(|span| (span.high, span.request.called));
    let mut left = order.as_slice();
    let mut states: BTreeSet<State> = BTreeSet::from([None]);
    for read in &case.reads {
        while let Some(first) = left.first().filter(|span| span.high <= read.stamp.index) {
            let ties = left.iter().take_while(|span| span.high == first.high).count();
            let (entry, rest) = left.split_at(ties);
            if ties > TIES_MAX {
                return false;
            }
            states = after_entry(&states, entry);
            left = rest;
        }
        let seen = read.state(group);
        states.retain(|state| state.as_ref() == seen);
        if states.is_empty() {
            return false;
        }
    }
    true
}

/// The states that the changes of one log entry can lead to, in any order.
fn after_entry(before: &BTreeSet<State>, entry: &[&Span<'_>]) -> BTreeSet<State> {
    if let [only] = entry {
        return before.iter().map(|s| model::after(s.as_ref(), only.request.action())).collect();
    }
    let all = (1_usize << entry.len()) - 1;
    let mut reached: BTreeSet<(usize, State)> = before.iter().map(|s| (0, s.clone())).collect();
    let mut ends = BTreeSet::new();
    // Masks only grow, so the smallest is never reached again.
    while let Some((mask, state)) = reached.pop_first() {
        if mask == all {
            ends.insert(state);
            continue;
        }
        for (place, span) in entry.iter().enumerate() {
            if mask & (1 << place) == 0 {
                let next = model::after(state.as_ref(), span.request.action());
                reached.insert((mask | (1 << place), next));
            }
        }
    }
    ends
}
