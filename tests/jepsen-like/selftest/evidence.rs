//! What the runner may have seen that is not right.

#![expect(clippy::unnecessary_wraps, reason = "all ways of breaking a run have one type")]

use super::mutate::Run;
use crate::checkers::{CutOff, Due, Evidence, Fault, LogIndexes, Resources, Sighting, Usage};
use crate::history::{Action, Op, Outcome, Refusal};

const SECOND: u64 = 1_000_000_000;

/// Replicas that differ.
pub(super) fn other_digest((history, evidence): &Run) -> Option<Run> {
    let mut evidence = evidence.clone();
    "other".clone_into(&mut evidence.digests.last_mut()?.digest);
    Some((history.clone(), evidence))
}

/// Replicas that take too long to serve again.
pub(super) fn slow_healing((history, evidence): &Run) -> Option<Run> {
    let mut evidence = evidence.clone();
    evidence.healed_after = Some(11 * SECOND);
    Some((history.clone(), evidence))
}

/// A replica that takes no push after the faults.
pub(super) fn no_push_after_healing((history, evidence): &Run) -> Option<Run> {
    let mut evidence = evidence.clone();
    evidence.served.pop()?;
    Some((history.clone(), evidence))
}

/// A replica that never answers again.
pub(super) fn silent_in_the_end((history, evidence): &Run) -> Option<Run> {
    let mut history = history.clone();
    let read = history.ops.iter_mut().rfind(|op| op.last)?;
    read.outcome = Outcome::Unknown(Refusal { status: None, detail: "no answer".to_owned() });
    read.picture = None;
    Some((history, evidence.clone()))
}

/// A replica that answers a scrape while it is cut off.
pub(super) fn success_without_majority((history, evidence): &Run) -> Option<Run> {
    let mut evidence = evidence.clone();
    let op = history.ops.iter().find(|op| op.stamp().is_some())?;
    evidence.cut_off.push(CutOff { replica: op.replica.clone(), from: op.called, to: op.returned });
    Some((history.clone(), evidence))
}

/// A replica that keeps clients waiting while it is cut off.
pub(super) fn hanging_without_majority(run: &Run) -> Option<Run> {
    let refusal = Refusal { status: None, detail: "no answer".to_owned() };
    cut_off(run, Outcome::Unknown(refusal), 5 * SECOND)
}

/// A replica that is cut off and says something else than that.
pub(super) fn wrong_refusal_without_majority(run: &Run) -> Option<Run> {
    let refusal = Refusal { status: Some(500), detail: "internal error".to_owned() };
    cut_off(run, Outcome::Unknown(refusal), SECOND / 2)
}

/// A replica that is cut off and says so too late.
pub(super) fn late_refusal_without_majority(run: &Run) -> Option<Run> {
    let refusal = Refusal { status: Some(503), detail: "no quorum: nobody leads".to_owned() };
    cut_off(run, Outcome::Rejected(refusal), 2 * SECOND)
}

/// One more scrape, at a replica that is cut off, which has a second for its answer.
fn cut_off((history, evidence): &Run, outcome: Outcome, took: u64) -> Option<Run> {
    let (mut history, mut evidence) = (history.clone(), evidence.clone());
    let called = 1_000 * SECOND;
    let returned = called + took;
    history.ops.push(Op {
        id: 1 << 50,
        client: 1 << 50,
        replica: "a".to_owned(),
        called,
        returned,
        action: Action::Scrape,
        key: None,
        outcome,
        picture: None,
        last: false,
    });
    evidence.cut_off.push(CutOff { replica: "a".to_owned(), from: called, to: returned });
    evidence.deadline = SECOND;
    Some((history, evidence))
}

/// A replica whose descriptors leak.
pub(super) fn leak((history, evidence): &Run) -> Option<Run> {
    let mut evidence = evidence.clone();
    let before = Usage { rss_bytes: 50 << 20, fds: 40, threads: 12, log_bytes: 1 << 20 };
    let after = Usage { fds: 400, ..before };
    evidence.resources.push(Resources { replica: "a".to_owned(), before, after });
    Some((history.clone(), evidence))
}

fn sighting(at: u64, replica: &str, term: u64, applied: u64, leader: &str) -> Sighting {
    let (replica, leader) = (replica.to_owned(), leader.to_owned());
    Sighting { at, replica, term, applied, leader, ..Sighting::default() }
}

fn seen((history, evidence): &Run, sightings: Vec<Sighting>) -> Option<Run> {
    Some((history.clone(), Evidence { sightings, ..evidence.clone() }))
}

/// A replica that goes back to a leader of the same term, whose votes are lower.
pub(super) fn leader_goes_back(run: &Run) -> Option<Run> {
    let led_by = |at, leader: &str, leader_id: &str| Sighting {
        leader_id: leader_id.to_owned(),
        ..sighting(at, "a", 3, 10, leader)
    };
    let nobody = sighting(3, "a", 3, 10, "");
    seen(run, vec![led_by(1, "a", "1f"), led_by(2, "b", "2e"), nobody, led_by(4, "a", "1f")])
}

/// A replica that has forgotten what it had applied.
pub(super) fn applied_falls(run: &Run) -> Option<Run> {
    seen(run, vec![sighting(1, "a", 3, 10, "a"), sighting(2, "a", 3, 9, "a")])
}

/// Two replicas that are of different minds for a while.
pub(super) fn passing_fork(run: &Run) -> Option<Run> {
    let at_64 = |digest: &str| Some((64, digest.to_owned()));
    let first = Sighting { checkpoint: at_64("x"), ..sighting(1, "a", 3, 70, "a") };
    let other = Sighting { checkpoint: at_64("y"), ..sighting(2, "b", 3, 80, "a") };
    seen(run, vec![first, other])
}

const LOG: LogIndexes =
    LogIndexes { purged: 5, snapshot: 8, committed: 11, last: 12, vote_term: 3 };

/// A replica at index 10, by an account of its log.
fn with_log(log: LogIndexes) -> Sighting {
    Sighting { log: Some(log), ..sighting(1, "a", 3, 10, "a") }
}

/// A log that was purged further than any snapshot goes.
pub(super) fn purged_too_far(run: &Run) -> Option<Run> {
    seen(run, vec![with_log(LOG), with_log(LogIndexes { purged: 9, ..LOG })])
}

/// A log that was purged further than what is applied.
pub(super) fn purged_and_not_applied(run: &Run) -> Option<Run> {
    seen(run, vec![with_log(LogIndexes { purged: 11, ..LOG })])
}

/// A disk that has forgotten a vote.
pub(super) fn forgotten_vote(run: &Run) -> Option<Run> {
    let after = Sighting { at: 2, start: 1, ..with_log(LogIndexes { vote_term: 2, ..LOG }) };
    seen(run, vec![with_log(LOG), after])
}

/// What is no failure: a vote that was not yet on disk when the process ended, a snapshot that is
/// being installed, one that was damaged, and an older version that tells less.
pub(super) fn lawful() -> Vec<Sighting> {
    let follower = Sighting { leader: "b".to_owned(), ..with_log(LOG) };
    let unsaved = Sighting { at: 2, term: 4, ..follower.clone() };
    let restarted = Sighting { at: 3, start: 1, ..follower.clone() };
    let installing = LogIndexes { committed: 90, ..LOG };
    let installing = Sighting { at: 4, log: Some(installing), ..restarted.clone() };
    let damaged = LogIndexes { purged: 9, snapshot: 7, ..LOG };
    let damaged = Sighting { at: 5, start: 2, log: Some(damaged), ..follower.clone() };
    let older = Sighting { at: 6, start: 3, log: None, ..follower.clone() };
    let newer = Sighting { at: 7, start: 4, ..follower.clone() };
    vec![follower, unsaved, restarted, installing, damaged, older, newer]
}

/// A log that ends before what is committed.
pub(super) fn committed_and_missing(run: &Run) -> Option<Run> {
    seen(run, vec![with_log(LogIndexes { committed: 13, ..LOG })])
}

/// A process that has lost a snapshot.
pub(super) fn snapshot_falls(run: &Run) -> Option<Run> {
    let earlier = with_log(LOG);
    seen(run, vec![earlier, Sighting { at: 2, ..with_log(LogIndexes { snapshot: 7, ..LOG }) }])
}

/// Wrong clocks that cost the leader its lead.
pub(super) fn flapping((history, evidence): &Run) -> Option<Run> {
    let mut evidence = evidence.clone();
    evidence.leader_changes = 1;
    evidence.due = Due { leader_changes_max: Some(0), ..Due::default() };
    Some((history.clone(), evidence))
}

/// A run in which nobody came to one of the places at which to crash.
pub(super) fn missed_place((history, evidence): &Run) -> Option<Run> {
    let mut evidence = evidence.clone();
    let name = "power-cut-at any respond".to_owned();
    evidence.faults = vec![Fault { name, from: 0, to: SECOND }];
    let places = ["respond", "vote-save-after"].map(str::to_owned).to_vec();
    evidence.due = Due { faults: 1, places, ..Due::default() };
    Some((history.clone(), evidence))
}

/// A run in which nothing happened that was to happen.
pub(super) fn idle((history, evidence): &Run) -> Option<Run> {
    let mut evidence = evidence.clone();
    evidence.faults = vec![Fault { name: "kill".to_owned(), from: 0, to: SECOND }];
    evidence.due = Due { faults: 1, leader_changes: 1, ..Due::default() };
    Some((history.clone(), evidence))
}
