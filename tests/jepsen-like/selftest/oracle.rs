//! The searching checkers against a slow one that tries every order: small histories of one group,
//! some right and some not.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Count, Failed, many, verdict_of};
use crate::checkers::{Evidence, Finding};
use crate::history::{
    Action, Cell, Cells, Group, History, Op, Outcome, Picture, Refusal, Shown, Stamp,
};

const CASES: u32 = 400;

#[derive(Debug, Clone)]
struct Sketch {
    /// Kind of change, call, length, whether its outcome is unknown.
    changes: Vec<(u8, u64, u64, bool)>,
    /// Call, length, and after how many changes of a shuffled order it was taken.
    reads: Vec<(u64, u64, usize)>,
    order: Vec<u64>,
}

fn sketches(kinds: u8) -> impl Strategy<Value = Sketch> {
    let change = (0..kinds, 0_u64..40, 1_u64..20, proptest::bool::weighted(0.15));
    let read = (0_u64..50, 1_u64..15, 0_usize..6);
    let order = proptest::collection::vec(0_u64..30, 5);
    (proptest::collection::vec(change, 1..6), proptest::collection::vec(read, 1..5), order)
        .prop_map(|(changes, reads, order)| Sketch { changes, reads, order })
}

fn group() -> Group {
    Arc::from("g")
}

/// The history of a sketch. Reads show what the changes lead to in an order that is roughly that of
/// their calls, which real time may allow or not.
fn history(sketch: &Sketch) -> History {
    let cells = |value: u64, families: &[&str]| -> Cells {
        let cell = Cell { value, series: 1 };
        families.iter().map(|family| (Arc::from(*family), cell)).collect()
    };
    let mut ops = Vec::new();
    for (number, (kind, called, length, unknown)) in sketch.changes.iter().enumerate() {
        let value = number as u64 + 1;
        let action = match kind {
            0 => Action::Put { group: group(), cells: cells(value, &["a", "b"]) },
            1 => Action::Post { group: group(), cells: cells(value, &["a"]) },
            2 => Action::Delete { group: group() },
            3 => Action::Post { group: group(), cells: cells(value, &["b"]) },
            4 => Action::Put { group: group(), cells: cells(value, &["a"]) },
            _ => Action::Inconsistent { group: group() },
        };
        ops.push(op(number as u64, *called, called + length, action, *unknown));
    }
    let mut order: Vec<usize> = (0..ops.len()).collect();
    let late = |at: &usize| {
        ops.get(*at).map_or(0, |op| op.called) + sketch.order.get(*at).copied().unwrap_or(0)
    };
    order.sort_by_key(late);
    let mut states = vec![None];
    for at in order {
        if let Some(op) = ops.get(at) {
            let next = after(states.last().and_then(Option::as_ref), &op.action);
            states.push(next);
        }
    }
    for (number, (called, length, steps)) in sketch.reads.iter().enumerate() {
        let mut read = op(100 + number as u64, *called, called + length, Action::Scrape, false);
        let state: Option<Cells> = states.get(*steps % states.len()).cloned().flatten();
        let shown = state.map(|cells| (group(), Shown { cells, ..Shown::default() }));
        let groups: BTreeMap<Group, Shown> = shown.into_iter().collect();
        read.picture = Some(Arc::new(Picture { bytes: 0, groups }));
        ops.push(read);
    }
    History { ops, ..History::default() }
}

fn op(id: u64, called: u64, returned: u64, action: Action, unknown: bool) -> Op {
    let outcome = if unknown {
        Outcome::Unknown(Refusal { status: None, detail: String::new() })
    } else {
        Outcome::Ok(Stamp { index: 0, term: 1, replica: "a".to_owned() })
    };
    let replica = "a".to_owned();
    let (client, key, picture, last) = (id, None, None, false);
    Op { id, client, replica, called, returned, action, key, outcome, picture, last }
}

/// The model once more, in its plainest form.
fn after(state: Option<&Cells>, action: &Action) -> Option<Cells> {
    let mut now = state.cloned();
    match action {
        Action::Put { cells, .. } => now = Some(cells.clone()),
        Action::Post { cells, .. } => now.get_or_insert_default().extend(cells.clone()),
        Action::Delete { .. } | Action::Wipe => now = None,
        Action::Inconsistent { .. } => drop(now.get_or_insert_default()),
        Action::Scrape => {}
    }
    now
}

/// Whether some order of all that surely happened, and of some of what may have, explains the reads.
fn explains(left: &[&Op], state: Option<&Cells>) -> bool {
    let ends = |op: &&&Op| if op.stamp().is_some() { op.returned } else { u64::MAX };
    let first_end = left.iter().map(|op| ends(&op)).min().unwrap_or(u64::MAX);
    if first_end == u64::MAX {
        return true;
    }
    left.iter().enumerate().filter(|(_, op)| op.called <= first_end).any(|(at, op)| {
        if let Some((_, picture)) = op.read()
            && picture.groups.get(&group()).map(|shown| &shown.cells) != state
        {
            return false;
        }
        let mut rest = left.to_vec();
        rest.remove(at);
        explains(&rest, after(state, &op.action).as_ref())
    })
}

fn compare(kinds: u8, checker: &'static str) -> Result<(), Failed> {
    let (legal, illegal) = (Count::default(), Count::default());
    many(CASES, &sketches(kinds), |sketch| {
        let history = history(sketch);
        let right = explains(&history.ops.iter().collect::<Vec<_>>(), None);
        let found = verdict_of(&history, &Evidence::default(), checker);
        match (&found, right) {
            (Finding::Skipped(_), _) => {}
            (Finding::Pass, true) => legal.add(),
            (Finding::Fail(_), false) => illegal.add(),
            _ => return Err(format!("{checker} says {found:?}, trying all orders says {right}")),
        }
        Ok(())
    })?;
    if legal.get() < CASES / 20 || illegal.get() < CASES / 20 {
        let (legal, illegal) = (legal.get(), illegal.get());
        return Err(format!("{legal} legal and {illegal} illegal histories are too few"));
    }
    Ok(())
}

pub(super) fn search() -> Result<(), Failed> {
    compare(6, "linearizable")
}

pub(super) fn zones() -> Result<(), Failed> {
    compare(1, "zones")
}
