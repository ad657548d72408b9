//! What replicas say of themselves obeys Raft: neither the vote of one disk nor an index of one process
//! falls, nothing is purged that no snapshot has, and a leader has all that it has applied or committed
//! in its log.
//!
//! openraft orders votes by term and node id, so a term may have two leaders, the one with the higher
//! id after the other.

use std::collections::BTreeMap;
use std::fmt;

use super::case::Case;
use super::{Finding, LogIndexes, Sighting};

pub(super) const NAME: &str = "raft_order";

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut sightings: Vec<&Sighting> = case.evidence.sightings.iter().collect();
    if sightings.is_empty() {
        return Finding::Skipped("nobody watched".to_owned());
    }
    sightings.sort_by_key(|sighting| sighting.at);
    let mut disks: BTreeMap<(&str, u32), &Sighting> = BTreeMap::new();
    let mut processes: BTreeMap<_, Process<'_>> = BTreeMap::new();
    for now in sightings {
        if !is_chain(now) {
            return Finding::Fail(Told(now).to_string());
        }
        let disk = (now.replica.as_str(), now.disk);
        // An older version tells nothing of its log.
        let forgot = match now.log {
            Some(_) => disks.insert(disk, now).filter(|before| vote(now) < vote(before)),
            None => None,
        };
        let new = Process { first: now, last: now, followed: now };
        let process = processes.entry((disk, now.start)).or_insert(new);
        if let Some(before) = forgot.or_else(|| process.goes_back(now)) {
            return Finding::Fail(format!("{}, and then {}", Told(before), Told(now)));
        }
    }
    Finding::Pass
}

/// What must outlive the process.
fn vote(sighting: &Sighting) -> Option<u64> {
    sighting.log.map(|log| log.vote_term)
}

/// Whether each of the indexes follows from those behind it.
fn is_chain(sighting: &Sighting) -> bool {
    let Some(LogIndexes { purged, snapshot, committed, last, .. }) = sighting.log else {
        return true;
    };
    // A follower's may be in a snapshot that is being installed.
    let leads = sighting.leader == sighting.replica;
    let whole = !leads || sighting.applied.max(committed) <= last;
    whole && purged.max(snapshot) <= sighting.applied
}

/// What one process has said.
struct Process<'a> {
    first: &'a Sighting,
    last: &'a Sighting,
    /// The last with a leader.
    followed: &'a Sighting,
}

impl<'a> Process<'a> {
    /// What was said before, if `now` goes back behind it.
    fn goes_back(&mut self, now: &'a Sighting) -> Option<&'a Sighting> {
        let before = std::mem::replace(&mut self.last, now);
        let followed = match now.leader_id.as_str() {
            "" => self.followed,
            _ => std::mem::replace(&mut self.followed, now),
        };
        if falls(before, now) || self.purges_too_much(now) {
            return Some(before);
        }
        // Votes are higher by term, then by node id.
        let lower = now.term == followed.term && now.leader_id < followed.leader_id;
        (lower && !now.leader_id.is_empty()).then_some(followed)
    }

    /// Whether it has purged what its newest snapshot does not have. At its start the newest may have
    /// been damaged, and the state database have the rest.
    fn purges_too_much(&self, now: &Sighting) -> bool {
        self.first
            .log
            .zip(now.log)
            .is_some_and(|(first, now)| now.purged > first.purged && now.purged > now.snapshot)
    }
}

/// Whether an index of one process is lower than before, or its term. What is at the end of the log
/// may be, when another leader's entries take its place.
fn falls(before: &Sighting, now: &Sighting) -> bool {
    let indexes = |log: LogIndexes| [log.purged, log.snapshot, log.committed];
    let mut logs = before.log.zip(now.log).into_iter().flat_map(|(before, now)| {
        std::iter::zip(indexes(before), indexes(now)).map(|(before, now)| now < before)
    });
    now.term < before.term || now.applied < before.applied || logs.any(|falls| falls)
}

/// A sighting, for people.
struct Told<'a>(&'a Sighting);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sighting { replica, term, applied, leader, leader_id, log, .. } = self.0;
        write!(f, "{replica} followed {leader} ({leader_id}) in term {term}")?;
        write!(f, " and had applied {applied} with {log:?}")
    }
}
