//! At the same index all replicas have the same digest of their whole state, at any time, and after
//! healing they are at the same index.

use std::collections::BTreeMap;

use super::Finding;
use super::case::Case;

pub(super) const NAME: &str = "same_digest";

pub(super) fn check(case: &Case<'_>) -> Finding {
    if let Some(fork) = fork(case) {
        return Finding::Fail(fork);
    }
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

/// Two replicas, or two times, that differ about the state at one index while it ran.
fn fork(case: &Case<'_>) -> Option<String> {
    let mut known: BTreeMap<u64, (&str, &str)> = BTreeMap::new();
    for seen in &case.evidence.sightings {
        let checkpoint = seen.checkpoint.as_ref().map(|(index, digest)| (*index, digest.as_str()));
        let told = [(seen.applied, seen.digest.as_str())].into_iter().chain(checkpoint);
        for (index, digest) in told.filter(|(_, digest)| !digest.is_empty()) {
            let (replica, first) = *known.entry(index).or_insert((&seen.replica, digest));
            if first != digest {
                return Some(format!(
                    "at index {index} {replica} had {first}, {} had {digest}",
                    seen.replica
                ));
            }
        }
    }
    None
}
