//! Attempts with the same `Idempotency-Key` are one request; every other operation is one of its own.

use std::collections::BTreeMap;

use super::{Action, History, Op, Outcome};

/// What the clients know about a request that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It took effect, at this log index or, if an answer was lost, before.
    Ok { index: u64 },
    /// It may have taken effect, or may yet.
    Unknown,
    /// It had no effect.
    Rejected,
}

/// A request for a change, with all attempts at it.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    /// The first attempt.
    pub(crate) op: &'a Op,
    pub(crate) attempts: u32,
    /// When the first attempt was sent.
    pub(crate) called: u64,
    /// When the first success was known; `u64::MAX` if none was.
    pub(crate) returned: u64,
    pub(crate) fate: Fate,
}

impl Request<'_> {
    pub(crate) fn action(&self) -> &Action {
        &self.op.action
    }

    /// Whether it can have had an effect.
    pub(crate) fn possible(&self) -> bool {
        self.fate != Fate::Rejected
    }

    /// The log index that its first success named.
    pub(crate) fn index(&self) -> Option<u64> {
        match self.fate {
            Fate::Ok { index } => Some(index),
            Fate::Unknown | Fate::Rejected => None,
        }
    }
}

/// All requests for changes, in the order of their first attempts' calls.
pub(crate) fn requests(history: &History) -> Vec<Request<'_>> {
    let mut all: Vec<Request<'_>> = Vec::new();
    let mut by_key: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ops: Vec<&Op> = history.ops.iter().filter(|op| op.action != Action::Scrape).collect();
    ops.sort_by_key(|op| (op.called, op.id));
    for op in ops {
        let attempt = single(op);
        let known = op.key.as_deref().and_then(|key| by_key.get(key)).copied();
        if let Some(request) = known.and_then(|at| all.get_mut(at)) {
            merge(request, &attempt);
            continue;
        }
        if let Some(key) = op.key.as_deref() {
            by_key.insert(key, all.len());
        }
        all.push(attempt);
    }
    all
}

fn single(op: &Op) -> Request<'_> {
    let (returned, fate) = match &op.outcome {
        Outcome::Ok(stamp) => (op.returned, Fate::Ok { index: stamp.index }),
        Outcome::Rejected(_) => (u64::MAX, Fate::Rejected),
        Outcome::Unknown(_) => (u64::MAX, Fate::Unknown),
    };
    Request { op, attempts: 1, called: op.called, returned, fate }
}

/// Takes a further attempt into account: the effect is one, at the lowest index known.
fn merge(request: &mut Request<'_>, attempt: &Request<'_>) {
    request.attempts += 1;
    request.called = request.called.min(attempt.called);
    request.returned = request.returned.min(attempt.returned);
    request.fate = match (request.fate, attempt.fate) {
        (Fate::Ok { index: a }, Fate::Ok { index: b }) => Fate::Ok { index: a.min(b) },
        (ok @ Fate::Ok { .. }, _) | (_, ok @ Fate::Ok { .. }) => ok,
        (Fate::Rejected, Fate::Rejected) => Fate::Rejected,
        _ => Fate::Unknown,
    };
}
