//! Judges a history: one file per property.
//!
//! A checker is a pure function of what the clients saw and what the runner saw. It passes, fails
//! with an example, cannot decide, or says why the run was not meant to show its property. Only a
//! pass is a pass.

mod at_most_once;
mod case;
mod coverage;
mod evidence;
mod heals;
mod linearizable;
mod minority;
mod model;
mod monotone_reads;
mod no_lost_push;
mod no_phantom;
mod order_by_index;
mod push_times;
mod raft_order;
mod resources;
mod same_bytes;
mod same_digest;
mod search;
mod verdict;
mod zones;

pub(crate) use coverage::NAME as COVERAGE;
pub(crate) use evidence::{
    CutOff, Digest, Due, Evidence, Fault, LogIndexes, Resources, Sighting, Usage,
};
pub(crate) use verdict::{Finding, Verdict};

use crate::history::History;
use case::Case;

/// How the check of one group ended.
enum Checked {
    Good,
    Bad(String),
    OutOfBudget,
}

type Checker = fn(&Case<'_>) -> Finding;

/// All checkers, the ones that say most first.
const CHECKERS: [(&str, Checker); 15] = [
    (no_lost_push::NAME, no_lost_push::check),
    (order_by_index::NAME, order_by_index::check),
    (zones::NAME, zones::check),
    (linearizable::NAME, linearizable::check),
    (no_phantom::NAME, no_phantom::check),
    (at_most_once::NAME, at_most_once::check),
    (same_bytes::NAME, same_bytes::check),
    (monotone_reads::NAME, monotone_reads::check),
    (push_times::NAME, push_times::check),
    (same_digest::NAME, same_digest::check),
    (heals::NAME, heals::check),
    (minority::NAME, minority::check),
    (resources::NAME, resources::check),
    (raft_order::NAME, raft_order::check),
    (coverage::NAME, coverage::check),
];

/// Judges one run by every property.
pub(crate) fn judge(history: &History, evidence: &Evidence) -> Vec<Verdict> {
    let case = Case::new(history, evidence);
    CHECKERS.iter().map(|(property, check)| Verdict { property, result: check(&case) }).collect()
}
