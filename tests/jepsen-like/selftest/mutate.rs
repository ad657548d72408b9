//! Ways to break a history that was right, each of which some checker must see.

use std::sync::Arc;

use crate::checkers::Evidence;
use crate::history::{
    Action, Cell, Group, History, MIXED, Op, Outcome, Picture, Refusal, Request, Shown, requests,
};

/// A history and what the runner knows.
pub(super) type Run = (History, Evidence);

/// Breaks a run; `None` if it has nothing that can be broken so.
pub(super) type Mutation = fn(&Run) -> Option<Run>;

/// A change of a group that surely came after another, and what a read before it showed.
struct Overwritten {
    group: Group,
    /// What the group showed before.
    old: Shown,
    /// The index of the read that showed it.
    old_index: u64,
    /// By when the newer change was acknowledged.
    acknowledged: u64,
    /// Its index.
    index: u64,
}

/// All cases in which something seen was surely replaced later: the push that was seen had returned
/// before a change was called that replaces it.
fn overwritten(history: &History) -> Vec<Overwritten> {
    let all = requests(history);
    let mut found = Vec::new();
    for read in &history.ops {
        let Some((stamp, picture)) = read.read() else { continue };
        for (group, shown) in &picture.groups {
            let Some(seen) = acknowledged_by(&all, shown) else { continue };
            let replaces = |request: &&Request<'_>| replaces_all(request.action(), group);
            for newer in all.iter().filter(replaces).filter(|newer| newer.called > seen) {
                let (Some(index), 1) = (newer.index(), newer.attempts) else { continue };
                found.push(Overwritten {
                    group: group.clone(),
                    old: shown.clone(),
                    old_index: stamp.index,
                    acknowledged: newer.returned,
                    index,
                });
            }
        }
    }
    found
}

/// When all pushes that are visible had been acknowledged.
fn acknowledged_by(all: &[Request<'_>], shown: &Shown) -> Option<u64> {
    let writer = |cell: &Cell| {
        all.iter().find(|request| {
            request
                .action()
                .cells()
                .is_some_and(|cells| cells.values().any(|c| c.value == cell.value))
        })
    };
    let returned = shown.cells.values().map(|cell| writer(cell).map(|w| w.returned));
    returned.collect::<Option<Vec<_>>>()?.into_iter().max().filter(|at| *at != u64::MAX)
}

fn replaces_all(action: &Action, group: &Group) -> bool {
    match action {
        Action::Put { group: other, .. } | Action::Delete { group: other } => other == group,
        Action::Wipe => true,
        _ => false,
    }
}

/// Changes what one read shows.
fn repaint(op: &mut Op, change: impl FnOnce(&mut Picture)) {
    if let Some(picture) = &mut op.picture {
        change(Arc::make_mut(picture));
    }
}

/// The first read that was called after a moment, with an index no less than one.
fn read_after(history: &mut History, after: u64, index: u64) -> Option<&mut Op> {
    history
        .ops
        .iter_mut()
        .find(|op| op.called > after && op.read().is_some_and(|(stamp, _)| stamp.index >= index))
}

/// A read shows a group as it was before a change that was acknowledged, and claims to be new.
pub(super) fn stale_read((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let stale = overwritten(&history).into_iter().find_map(|case| {
        let read = read_after(&mut history, case.acknowledged, case.index)?;
        repaint(read, |picture| drop(picture.groups.insert(case.group, case.old)));
        Some(())
    });
    stale.map(|()| (history, evidence.clone()))
}

/// A whole read is old and says so.
pub(super) fn old_read((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let case = overwritten(&history).into_iter().find(|case| {
        let later = |op: &Op| op.called > case.acknowledged && op.read().is_some();
        history.ops.iter().any(later)
    })?;
    let old = history
        .ops
        .iter()
        .find(|op| op.stamp().is_some_and(|s| s.index == case.old_index) && op.picture.is_some())?;
    let picture = old.picture.clone();
    let read = read_after(&mut history, case.acknowledged, case.index)?;
    read.picture = picture;
    if let Outcome::Ok(stamp) = &mut read.outcome {
        stamp.index = case.old_index;
    }
    Some((history, evidence.clone()))
}

/// All replicas lose an acknowledged push in the end.
pub(super) fn lost_push((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let case = overwritten(&history).into_iter().next_back()?;
    for read in history.ops.iter_mut().filter(|op| op.last) {
        repaint(read, |picture| drop(picture.groups.insert(case.group.clone(), case.old.clone())));
    }
    Some((history, evidence.clone()))
}

/// A group that was pushed and never removed is gone at one replica in the end.
pub(super) fn lost_group((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let all = requests(&history);
    let mut groups = history.ops.iter().rfind(|op| op.last)?.picture.as_ref()?.groups.iter();
    let removed = |group: &Group, at: u64| {
        all.iter().any(|request| {
            matches!(request.action(), Action::Delete { .. } | Action::Wipe)
                && replaces_all(request.action(), group)
                && request.possible()
                && request.returned >= at
        })
    };
    let lost = groups.find_map(|(group, shown)| {
        let value = shown.cells.values().next()?.value;
        let writer = all.iter().find(|request| {
            let cells = request.action().cells();
            cells.is_some_and(|cells| cells.values().any(|cell| cell.value == value))
        })?;
        (writer.index().is_some() && !removed(group, writer.called)).then(|| group.clone())
    })?;
    let read = history.ops.iter_mut().rfind(|op| op.last)?;
    repaint(read, |picture| drop(picture.groups.remove(&lost)));
    Some((history, evidence.clone()))
}

/// What was replaced, and seen to be, is back.
pub(super) fn resurrected((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let back = overwritten(&history).into_iter().find_map(|case| {
        let old = case.old.cells.values().next()?.value;
        let between = history.ops.iter().filter_map(Op::read).filter_map(|(stamp, picture)| {
            let now = picture.groups.get(&case.group);
            let gone = !now.is_some_and(|shown| shown.cells.values().any(|c| c.value == old));
            (gone && stamp.index >= case.index).then_some(stamp.index)
        });
        let seen_gone = between.min()?;
        let read = history.ops.iter_mut().find(|op| {
            op.called > case.acknowledged
                && op.read().is_some_and(|(stamp, _)| stamp.index > seen_gone)
        })?;
        repaint(read, |picture| drop(picture.groups.insert(case.group, case.old)));
        Some(())
    });
    back.map(|()| (history, evidence.clone()))
}

/// One value of one read is replaced by another.
fn with_value((history, evidence): &Run, value: u64) -> Option<Run> {
    let mut history = history.clone();
    let shows = |op: &&mut Op| {
        op.read().is_some_and(|(_, p)| p.groups.values().any(|shown| !shown.cells.is_empty()))
    };
    let read = history.ops.iter_mut().find(shows)?;
    repaint(read, |picture| {
        if let Some(cell) = picture.groups.values_mut().flat_map(|s| s.cells.values_mut()).next() {
            cell.value = value;
        }
    });
    Some((history, evidence.clone()))
}

/// A value that nobody pushed.
pub(super) fn phantom(run: &Run) -> Option<Run> {
    with_value(run, 1 << 40)
}

/// A family of which some series are of one push and some of another.
pub(super) fn torn(run: &Run) -> Option<Run> {
    with_value(run, MIXED)
}

/// A push that is seen although it was refused.
pub(super) fn refused_but_done((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let last = history.ops.iter().rfind(|op| op.last)?.picture.clone()?;
    let value = last.groups.values().flat_map(|shown| shown.cells.values()).next()?.value;
    for op in &mut history.ops {
        if op.action.cells().is_some_and(|cells| cells.values().any(|c| c.value == value)) {
            let detail = "no quorum: nobody leads".to_owned();
            op.outcome = Outcome::Rejected(Refusal { status: Some(503), detail });
        }
    }
    Some((history, evidence.clone()))
}

/// Two replicas give different bytes at one index.
pub(super) fn forked((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let read = history.ops.iter_mut().rfind(|op| op.last)?;
    repaint(read, |picture| picture.bytes ^= 1);
    Some((history, evidence.clone()))
}

/// A client that hops sees an index that is lower than one it has seen.
pub(super) fn going_back((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let seen: Vec<(u64, u64, u64)> = history
        .ops
        .iter()
        .filter_map(|op| Some((op.client, op.returned, op.stamp()?.index)))
        .collect();
    let read = history.ops.iter_mut().find(|op| {
        op.read().is_some_and(|(stamp, _)| stamp.index > 0)
            && seen.iter().any(|(client, returned, index)| {
                *client == op.client && *returned < op.called && *index > 0
            })
    })?;
    if let Outcome::Ok(stamp) = &mut read.outcome {
        stamp.index = 0;
    }
    Some((history, evidence.clone()))
}

/// Two changes, one after the other, have each other's index.
pub(super) fn reordered((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let changes: Vec<(usize, u64, u64, u64)> = history
        .ops
        .iter()
        .enumerate()
        .filter(|(_, op)| op.action != Action::Scrape)
        .filter_map(|(at, op)| Some((at, op.called, op.returned, op.stamp()?.index)))
        .collect();
    let pair = changes.iter().find_map(|first| {
        let second = changes.iter().find(|second| first.2 < second.1 && first.3 < second.3)?;
        Some((*first, *second))
    });
    let ((one, .., low), (other, .., high)) = pair?;
    for (at, index) in [(one, high), (other, low)] {
        if let Outcome::Ok(stamp) = &mut history.ops.get_mut(at)?.outcome {
            stamp.index = index;
        }
    }
    Some((history, evidence.clone()))
}

/// Of a push of two families that is seen in both, one read shows but one, and the other as before.
pub(super) fn half_applied((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let all = requests(&history);
    let half = overwritten(&history).into_iter().find_map(|case| {
        let old = case.old.cells.get("b")?;
        let is_new = |cell: &Cell| {
            let pushed = |r: &&Request<'_>| {
                r.action()
                    .cells()
                    .is_some_and(|cells| cells.values().any(|c| c.value == cell.value))
            };
            all.iter().find(pushed).is_some_and(|writer| writer.called >= case.acknowledged)
        };
        let read = history.ops.iter().position(|op| {
            op.called > case.acknowledged
                && op.read().is_some_and(|(stamp, picture)| {
                    let shown = picture.groups.get(&case.group);
                    let both =
                        shown.is_some_and(|s| s.cells.len() == 2 && s.cells.values().all(is_new));
                    stamp.index >= case.index && both
                })
        })?;
        Some((read, case.group, *old))
    });
    let (read, group, old) = half?;
    repaint(history.ops.get_mut(read)?, |picture| {
        if let Some(cell) = picture.groups.get_mut(&group).and_then(|s| s.cells.get_mut("b")) {
            *cell = old;
        }
    });
    Some((history, evidence.clone()))
}

/// A wipe leaves a group behind.
pub(super) fn half_wiped((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let wipe = history.ops.iter().find_map(|wipe| {
        let index = wipe.stamp().filter(|_| wipe.action == Action::Wipe)?.index;
        let all = requests(&history);
        let (group, shown) = history
            .ops
            .iter()
            .filter(|op| op.returned < wipe.called)
            .filter_map(Op::read)
            .find_map(|(_, picture)| {
                let (group, shown) = picture.groups.iter().next()?;
                acknowledged_by(&all, shown).filter(|at| *at < wipe.called)?;
                Some((group.clone(), shown.clone()))
            })?;
        Some((wipe.returned, index, group, shown))
    });
    let (returned, index, group, shown) = wipe?;
    let read = read_after(&mut history, returned, index)?;
    repaint(read, |picture| drop(picture.groups.insert(group, shown)));
    Some((history, evidence.clone()))
}

/// One replica stamps the time at which it applies.
pub(super) fn own_time((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let read = history.ops.iter_mut().rfind(|op| op.last)?;
    let mut changed = false;
    repaint(read, |picture| {
        for shown in picture.groups.values_mut().filter(|shown| !shown.cells.is_empty()) {
            (shown.pushed, changed) = (shown.pushed + 0.003, true);
        }
    });
    changed.then(|| (history, evidence.clone()))
}

/// Push times are an hour off at all replicas, from the beginning.
pub(super) fn wrong_clock((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let mut changed = false;
    for op in &mut history.ops {
        repaint(op, |picture| {
            for shown in picture.groups.values_mut().filter(|shown| !shown.cells.is_empty()) {
                (shown.pushed, changed) = (shown.pushed - 3600.0, true);
            }
        });
    }
    changed.then(|| (history, evidence.clone()))
}

/// A snapshot forgets that pushes have failed.
pub(super) fn forgotten_failure((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let failed = |op: &Op| matches!(op.action, Action::Inconsistent { .. }) && op.stamp().is_some();
    let group = history.ops.iter().find(|op| failed(op))?.action.group()?.clone();
    for op in history.ops.iter_mut().filter(|op| op.last) {
        repaint(op, |picture| {
            if let Some(shown) = picture.groups.get_mut(&group) {
                shown.failed = 0.0;
            }
        });
    }
    Some((history, evidence.clone()))
}

/// Two leaders have filled the same index.
pub(super) fn two_terms((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let op =
        history.ops.iter_mut().find(|op| op.action != Action::Scrape && op.stamp().is_some())?;
    let mut twin = op.clone();
    (twin.id, twin.client, twin.key) = (1 << 50, 1 << 50, None);
    twin.action = Action::Delete { group: Arc::from("elsewhere") };
    if let Outcome::Ok(stamp) = &mut twin.outcome {
        stamp.term += 1;
    }
    history.ops.push(twin);
    Some((history, evidence.clone()))
}
