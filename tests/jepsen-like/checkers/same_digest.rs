//! After healing, all replicas have the same digest of their whole state.

use super::Finding;
use super::case::Case;

pub(super) const NAME: &str = "same_digest";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let digests = &case.evidence.digests;
    let Some(first) = digests.first() else {
        return Finding::Skipped("no replica was asked".to_owned());
    };
    // Replicas at different indexes may differ; at the same one they must not.
    for (at, one) in digests.iter().enumerate() {
        let same = |other: &&super::Digest| other.index == one.index && other.digest != one.digest;
        if let Some(other) = digests.iter().skip(at).find(same) {
            return Finding::Fail(format!(
                "at index {} {} has {}, {} has {}",
                one.index, one.replica, one.digest, other.replica, other.digest
            ));
        }
    }
    if let Some(other) = digests.iter().find(|other| other.index != first.index) {
        return Finding::Undecided(format!(
            "{} is at index {}, {} at {}",
            first.replica, first.index, other.replica, other.index
        ));
    }
    if digests.len() < case.evidence.replicas {
        let (some, all) = (digests.len(), case.evidence.replicas);
        return Finding::Undecided(format!("only {some} of {all} replicas told theirs"));
    }
    Finding::Pass
}
