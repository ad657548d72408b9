//! What replicas say of themselves obeys Raft: a term has one leader, and neither the term of one disk
//! nor the applied index of one process falls.

use std::collections::BTreeMap;

use super::case::Case;
use super::{Finding, Sighting};

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
        let Some(before) = last.insert((&now.replica, now.disk), now) else { continue };
        let again = now.start == before.start && now.applied < before.applied;
        if now.term < before.term || again {
            return Finding::Fail(format!(
                "{} went from term {} and index {} to {} and {}",
                now.replica, before.term, before.applied, now.term, now.applied
            ));
        }
    }
    Finding::Pass
}
