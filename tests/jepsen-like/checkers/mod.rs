//! Judges a history: one file per property.

mod evidence;
mod verdict;

pub(crate) use evidence::{CutOff, Digest, Due, Evidence, Fault, Resources, Sighting, Usage};
pub(crate) use verdict::{Finding, Verdict};
