//! A replica without a majority says so: 503 within the deadline, and never a success.

use super::case::Case;
use super::{CutOff, Finding};
use crate::history::{Op, Outcome};

pub(super) const NAME: &str = "minority";

/// How much later than the deadline an answer may come: the server has a grace of its own, and the
/// machine is busy.
const GRACE: u64 = 500_000_000;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut asked = 0;
    let mut silent = None;
    for cut in &case.evidence.cut_off {
        for op in case.history.ops.iter().filter(|op| is_within(op, cut)) {
            asked += 1;
            match &op.outcome {
                Outcome::Ok(_) => {
                    let name = op.name();
                    return Finding::Fail(format!("{name}, although it reached no majority"));
                }
                Outcome::Rejected(refusal) | Outcome::Unknown(refusal) => {
                    if refusal.status.is_none() {
                        silent = silent.or_else(|| hangs(case, op));
                    }
                }
            }
        }
    }
    match silent {
        Some(finding) => finding,
        None if asked == 0 => Finding::Skipped("nobody asked a minority".to_owned()),
        None => Finding::Pass,
    }
}

/// Whether all of the operation was while the replica was cut off.
fn is_within(op: &Op, cut: &CutOff) -> bool {
    op.replica == cut.replica && op.called >= cut.from && op.returned <= cut.to
}

/// What it means that no answer came.
fn hangs(case: &Case<'_>, op: &Op) -> Option<Finding> {
    let (deadline, waited) = (case.evidence.deadline, op.returned - op.called);
    if deadline == 0 || waited <= deadline {
        // A broken connection is no answer, yet nobody was kept waiting.
        return None;
    }
    let name = op.name();
    Some(if waited >= deadline + GRACE {
        Finding::Fail(format!("no answer in time: {name}"))
    } else {
        Finding::Undecided(format!("the client did not wait long enough: {name}"))
    })
}
