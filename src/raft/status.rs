//! The cluster as one replica sees it.

use std::fmt;
use std::sync::atomic::Ordering;

use crate::pb::v1;
use crate::telemetry::{BuildInfo, StateGauges};

use super::members::alive;
use super::replica::Lobby;
use super::running::Running;
use super::types::Metrics;

/// What a member is to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Leader,
    Follower,
    Learner,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberStatus {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) role: Role,
    pub(crate) voter: bool,
    pub(crate) reachable: bool,
    /// Why it is not reachable.
    pub(crate) detail: String,
    /// The newest log index that is known to be there.
    pub(crate) match_index: u64,
    /// Log entries that it lacks.
    pub(crate) lag: u64,
    /// Up to where it has applied the log, and what that came to; `None`: it does not say.
    pub(crate) applied: Option<(u64, u128)>,
    pub(crate) version: String,
}

/// How far the log of one replica has come. What is purged and what a snapshot has is applied, too; of
/// a leader, what is applied and committed is in its log. A follower may have it from a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogStatus {
    /// Up to here nothing is kept.
    pub(crate) purged: u64,
    /// What the newest whole snapshot on this disk stands for.
    pub(crate) snapshot: u64,
    pub(crate) committed: u64,
    /// The newest entry, or what a snapshot has in its place.
    pub(crate) last: u64,
    /// The term of the newest vote that is on disk.
    pub(crate) vote_term: u64,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterStatus {
    /// Who says all this.
    pub(crate) replica: String,
    /// `None`: this replica has no cluster yet.
    pub(crate) cluster_id: Option<[u8; 16]>,
    pub(crate) leader: Option<String>,
    pub(crate) term: u64,
    pub(crate) applied_index: u64,
    pub(crate) digest: u128,
    /// An earlier index and the digest as of there: the same indexes on all replicas.
    pub(crate) checkpoint: Option<(u64, u128)>,
    /// `None`: this replica has no cluster yet.
    pub(crate) log: Option<LogStatus>,
    /// Whether a quorum follows a leader.
    pub(crate) healthy: bool,
    /// Voters that may fail before nothing is accepted any more.
    pub(crate) failure_tolerance: u64,
    /// What this replica waits for, if it has no cluster.
    pub(crate) waits_for: Option<String>,
    pub(crate) members: Vec<MemberStatus>,
}

/// Who of the voters is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voters {
    pub(crate) reachable: usize,
    pub(crate) count: usize,
    /// Who is not, and why.
    pub(crate) missing: Vec<String>,
}

impl fmt::Display for Voters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} voters reachable", self.reachable, self.count)?;
        if !self.missing.is_empty() {
            write!(f, " ({})", self.missing.join("; "))?;
        }
        Ok(())
    }
}

/// Who of the voters is there, as far as this replica can tell.
pub(crate) fn voters(running: &Running) -> Voters {
    let members = members(running, &running.metrics());
    let (there, missing): (Vec<_>, Vec<_>) =
        members.into_iter().filter(|member| member.voter).partition(|member| member.reachable);
    Voters {
        reachable: there.len(),
        count: there.len() + missing.len(),
        missing: missing.into_iter().map(|m| format!("{}: {}", m.name, m.detail)).collect(),
    }
}

fn members(running: &Running, metrics: &Metrics) -> Vec<MemberStatus> {
    let membership = metrics.membership_config.membership();
    let me = running.identity.node;
    let last = metrics.last_log_index.unwrap_or(0);
    let leads = metrics.current_leader == Some(me);
    let mut members: Vec<MemberStatus> = membership
        .nodes()
        .map(|(id, member)| {
            let voter = membership.voter_ids().any(|voter| voter == *id);
            let told = running.watch.report(*id);
            let matched =
                metrics.replication.as_ref().and_then(|all| all.get(id).copied().flatten());
            let match_index = match (&told, matched) {
                _ if *id == me => last,
                (_, Some(matched)) => matched.index,
                (Ok(told), None) => told.last_log_index,
                (Err(_), None) => 0,
            };
            MemberStatus {
                name: member.name.clone(),
                id: *id,
                address: member.address.clone(),
                role: match (metrics.current_leader, voter) {
                    (Some(leader), _) if leader == *id => Role::Leader,
                    (_, true) => Role::Follower,
                    (_, false) => Role::Learner,
                },
                voter,
                reachable: *id == me || told.is_ok() || (leads && alive(metrics, *id)),
                detail: told.as_ref().err().filter(|_| *id != me).cloned().unwrap_or_default(),
                match_index,
                lag: last.saturating_sub(match_index),
                applied: if *id == me { Some(applied_here(running)) } else { told_applied(&told) },
                version: match told {
                    _ if *id == me => BuildInfo::current().version.to_owned(),
                    Ok(told) => told.version,
                    Err(_) => String::new(),
                },
            }
        })
        .collect();
    members.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    members
}

fn applied_here(running: &Running) -> (u64, u128) {
    let (view, position) = running.machine.view_at();
    (position.index().unwrap_or(0), view.digest())
}

fn told_applied(told: &Result<v1::IdentifyResponse, String>) -> Option<(u64, u128)> {
    let told = told.as_ref().ok()?;
    Some((told.applied_index, u128::from_be_bytes(told.digest.as_ref().try_into().ok()?)))
}

pub(crate) fn of(running: &Running) -> ClusterStatus {
    // From the oldest to the newest, since all of them grow meanwhile.
    let purged = running.log.purged_index();
    let snapshot = running.snapshots.newest().map_or(0, |file| file.index);
    let (applied_index, digest) = applied_here(running);
    let metrics = running.metrics();
    let committed = metrics.local_committed.map_or(0, |id| id.index);
    let last = running.log.last_index().unwrap_or(0).max(snapshot);
    let vote_term = metrics.vote.leader_id.term;
    let log = LogStatus { purged, snapshot, committed, last, vote_term };
    let members = members(running, &metrics);
    let voters = members.iter().filter(|member| member.voter).count();
    let reachable = members.iter().filter(|member| member.voter && member.reachable).count();
    let quorum = voters / 2 + 1;
    let leader = metrics.current_leader.and_then(|id| members.iter().find(|m| m.id == id));
    ClusterStatus {
        replica: running.identity.name.clone(),
        cluster_id: Some(running.identity.cluster),
        leader: leader.map(|member| member.name.clone()),
        term: metrics.current_term,
        applied_index,
        digest,
        checkpoint: running.machine.checkpoint(),
        log: Some(log),
        healthy: leader.is_some_and(|member| member.reachable) && reachable >= quorum,
        failure_tolerance: reachable.saturating_sub(quorum) as u64,
        waits_for: None,
        members,
    }
}

pub(crate) fn without_cluster(lobby: &Lobby) -> ClusterStatus {
    ClusterStatus {
        replica: lobby.me.member.name.clone(),
        cluster_id: lobby.standing.as_ref().map(|standing| standing.cluster),
        leader: None,
        term: 0,
        applied_index: 0,
        digest: 0,
        checkpoint: None,
        log: None,
        healthy: false,
        failure_tolerance: 0,
        waits_for: Some(lobby.waits_for.clone()),
        members: Vec::new(),
    }
}

/// The figures that only this layer knows, for the replica's own metrics.
pub(crate) fn gauges(running: &Running) -> StateGauges {
    let (view, metrics, log) =
        (running.machine.view(), running.metrics(), running.log.stats().ok());
    let snapshot = running.snapshots.newest();
    let members = members(running, &metrics);
    let count = |wanted: fn(&MemberStatus) -> bool| {
        members.iter().filter(|member| wanted(member)).count() as u64
    };
    StateGauges {
        applied_index: metrics.last_applied.map_or(0, |id| id.index),
        term: metrics.current_term,
        leader_changes: running.leader_changes.load(Ordering::Relaxed),
        is_leader: metrics.current_leader == Some(running.identity.node),
        has_leader: metrics.current_leader.is_some(),
        members: count(|_| true),
        voters: count(|member| member.voter),
        voters_reachable: count(|member| member.voter && member.reachable),
        staleness: running.staleness(),
        groups: view.group_count(),
        series: view.series_count(),
        families: view.family_count(),
        state_bytes: view.state_bytes(),
        cache_bytes: view.cache_bytes(),
        log_bytes: log.as_ref().map_or(0, |log| log.bytes_on_disk),
        log_entries: log.as_ref().map_or(0, |log| log.entries),
        snapshot_age: snapshot.as_ref().map(|file| running.clock.now().since(file.created)),
        snapshot_last_bytes: snapshot.map(|file| file.bytes),
        disk_free_bytes: running.disk_space.free(),
        state_db_up: running.writer.is_up(),
    }
}
