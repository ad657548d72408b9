//! What replicas say of themselves obeys Raft: a term has one leader; neither the term of one disk nor
//! an index of one process falls; and nothing is purged that no snapshot has, nor applied or committed
//! that is not in the log.

use std::collections::BTreeMap;

use super::case::Case;
use super::{Finding, LogIndexes, Sighting};

pub(super) const NAME: &str = "raft_order";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut sightings: Vec<&Sighting> = case.evidence.sightings.iter().collect();
    if sightings.is_empty() {
        return Finding::Skipped("nobody watched".to_owned());
    }
    sightings.sort_by_key(|sighting| sighting.at);
    let mut leaders: BTreeMap<u64, &Sighting> = BTreeMap::new();
    let mut last: BTreeMap<(&str, u32), &Sighting> = BTreeMap::new();
    for now in sightings {
        if !now.leader.is_empty() {
            let known = *leaders.entry(now.term).or_insert(now);
            if known.leader != now.leader {
                return Finding::Fail(format!(
                    "term {} is led by {} for {}, by {} for {}",
                    now.term, known.leader, known.replica, now.leader, now.replica
                ));
            }
        }
        if let Some(log) = now.log.filter(|log| !is_chain(log, now.applied)) {
            let (replica, applied) = (&now.replica, now.applied);
            return Finding::Fail(format!("{replica} has applied {applied} with {log:?}"));
        }
        let Some(before) = last.insert((&now.replica, now.disk), now) else { continue };
        let again = now.start == before.start && falls(before, now);
        if now.term < before.term || again {
            return Finding::Fail(format!(
                "{} went from term {}, index {} and {:?} to {}, {} and {:?}",
                now.replica,
                before.term,
                before.applied,
                before.log,
                now.term,
                now.applied,
                now.log
            ));
        }
    }
    Finding::Pass
}

/// Whether each of the indexes follows from those behind it. A damaged snapshot counts as none.
fn is_chain(log: &LogIndexes, applied: u64) -> bool {
    let LogIndexes { purged, snapshot, committed, last } = *log;
    let kept = snapshot == 0 || purged <= snapshot;
    kept && purged.max(snapshot) <= applied && applied.max(committed) <= last
}

/// Whether an index of one process is lower than before. What is at the end of the log may be, when
/// another leader's entries take its place.
fn falls(before: &Sighting, now: &Sighting) -> bool {
    let indexes = |sighting: &Sighting| {
        let log = sighting.log.unwrap_or_default();
        [sighting.applied, log.purged, log.snapshot, log.committed]
    };
    std::iter::zip(indexes(before), indexes(now)).any(|(before, now)| now < before)
}
