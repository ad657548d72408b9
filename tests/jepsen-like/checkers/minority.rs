//! A replica without a majority says so: 503 within the deadline, and never a success.
//!
//! A push that contradicts itself may be refused for that, with 400 and without an index.

use super::case::Case;
use super::{CutOff, Finding};
use crate::history::{Action, Op, Outcome};

pub(super) const NAME: &str = "minority";

/// How much later than the deadline an answer may come: the server has a grace of its own, and the
/// machine is busy.
const GRACE: u64 = 500_000_000;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut asked = 0;
    let mut undecided = None;
    for cut in &case.evidence.cut_off {
        for op in case.history.ops.iter().filter(|op| is_within(op, cut)) {
            asked += 1;
            match &op.outcome {
                Outcome::Ok(_) => {
                    let name = op.name();
                    return Finding::Fail(format!("{name}, although it reached no majority"));
                }
                Outcome::Rejected(refusal) | Outcome::Unknown(refusal) => {
                    match refused(case, op, refusal.status) {
                        Some(finding @ Finding::Fail(_)) => return finding,
                        other => undecided = undecided.or(other),
                    }
                }
            }
        }
    }
    match undecided {
        Some(finding) => finding,
        None if asked == 0 => Finding::Skipped("nobody asked a minority".to_owned()),
        None => Finding::Pass,
    }
}

/// Whether all of the operation was while the replica was cut off.
fn is_within(op: &Op, cut: &CutOff) -> bool {
    op.replica == cut.replica && op.called >= cut.from && op.returned <= cut.to
}

/// What is wrong with a refusal of this status, or with none.
fn refused(case: &Case<'_>, op: &Op, status: Option<u16>) -> Option<Finding> {
    let name = op.name();
    let contradicts = matches!(op.action, Action::Inconsistent { .. });
    match status {
        None | Some(503) => {}
        Some(400) if contradicts => {}
        Some(status) => return Some(Finding::Fail(format!("refused with {status}: {name}"))),
    }
    let (deadline, waited) = (case.evidence.deadline, op.returned - op.called);
    if deadline == 0 || waited <= deadline {
        // A broken connection is no answer, yet nobody was kept waiting.
        return None;
    }
    if waited >= deadline + GRACE {
        return Some(Finding::Fail(format!("no answer in time: {name}")));
    }
    let gave_up = || Finding::Undecided(format!("the client did not wait long enough: {name}"));
    status.is_none().then(gave_up)
}
