//! Who belongs to the cluster: joining, promotion, replacement, removal, and handing over the lead.
//!
//! Only the leader changes anything, one thing at a time. A replica joins as a learner and becomes a
//! voter once it has caught up and stays so; one that comes back under the name of a member but with a
//! new disk takes that member's place in the same change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant as _};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};

use crate::limits::MEMBERS_MAX;
use crate::pb::v1;
use crate::pb::v1::change_members_request::Change;

use super::leader::{Leader, LeaderView};
use super::peers::Peers;
use super::transport::Lane;
use super::types::{Member, Membership, Metrics, Raft, TypeConfig};
use super::watch::Watch;

const INTERVAL: Duration = Duration::from_millis(250);
/// A member that has answered a heartbeat within this time is alive.
const ALIVE_FOR: Duration = Duration::from_secs(2);
/// How long a learner has to keep up before it becomes a voter.
pub(super) const STABLE_FOR: Duration = Duration::from_millis(500);
/// Log entries that a learner which keeps up may lack.
pub(super) const LAG_MAX: u64 = 256;
/// How long one change may take to be committed.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a replica may take to say who it is.
const INVITE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a successor may take to lead.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before a change that found no leader is asked for again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It must not be made.
    #[error("{0}")]
    Never(String),
    /// Not now, or not here.
    #[error("{0}")]
    Now(String),
}

/// When members that are gone are removed without anybody asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CleanUp {
    /// Dead for this long.
    pub(crate) after: Duration,
    /// Voters that are left in any case.
    pub(crate) voters_min: usize,
}

/// Changes the membership. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Members {
    inner: Arc<Inner>,
}

struct Inner {
    raft: Raft,
    me: u64,
    peers: Arc<Peers>,
    leader: LeaderView,
    watch: Arc<Watch>,
    changing: Mutex<()>,
}

impl Members {
    pub(crate) fn new(
        raft: Raft,
        me: u64,
        peers: Arc<Peers>,
        leader: LeaderView,
        watch: Arc<Watch>,
    ) -> Members {
        let changing = Mutex::default();
        Members { inner: Arc::new(Inner { raft, me, peers, leader, watch, changing }) }
    }

    /// Who waits at an address to become a member.
    pub(crate) async fn invite(&self, address: &str) -> Result<v1::Member, Refused> {
        let (call, request) =
            (self.inner.peers.call(0, INVITE_TIMEOUT), v1::IdentifyRequest::default());
        let asked =
            self.inner.peers.ask(address, Lane::Control, |peer| peer.identify(call, request));
        let who = asked.await.map_err(|err| Refused::Now(format!("{address}: {err}")))?;
        if who.initialized {
            let name = who.name;
            return Err(Refused::Never(format!(
                "{name} at {address} belongs to a cluster already"
            )));
        }
        Ok(v1::Member { node_id: who.node_id, name: who.name, address: who.address })
    }

    /// Starts the leader's care for learners and for members that are gone.
    pub(crate) fn tend(&self, clean_up: Option<CleanUp>) -> AbortHandle {
        tokio::spawn(tend(self.clone(), clean_up)).abort_handle()
    }

    /// Has the leader make a change, whoever it is, before the deadline.
    pub(crate) async fn change(&self, change: Change, deadline: Instant) -> Result<(), Refused> {
        let first = self.metrics().current_leader;
        loop {
            let metrics = self.metrics();
            // Asked again, the new leader would only hand the lead on.
            if change == Change::TransferLeader(0)
                && metrics.current_leader.is_some_and(|id| first.is_some_and(|first| id != first))
            {
                return Ok(());
            }
            let refused = match self.inner.leader.current() {
                Leader::Here(_) => self.change_as_leader(change.clone()).await.err(),
                Leader::At(peer) => {
                    let request = v1::ChangeMembersRequest { change: Some(change.clone()) };
                    match peer.change_members(CHANGE_TIMEOUT, request).await {
                        Ok(response) => refused_from_pb(response),
                        Err(err) => {
                            Some(Refused::Now(format!("the leader {}: {err}", peer.name())))
                        }
                    }
                }
                Leader::Unknown => Some(Refused::Now("no leader is known".to_owned())),
            };
            match refused {
                None => return Ok(()),
                Some(Refused::Now(_)) if Instant::now() + RETRY_PAUSE < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Some(refused) => return Err(refused),
            }
        }
    }

    /// Makes a change here.
    pub(crate) async fn change_as_leader(&self, change: Change) -> Result<(), Refused> {
        let turn = timeout(CHANGE_TIMEOUT, self.inner.changing.lock()).await;
        let _turn = turn.map_err(|_| Refused::Now("another change is under way".to_owned()))?;
        let metrics = self.metrics();
        if metrics.current_leader != Some(self.inner.me) {
            return Err(Refused::Now("this replica does not lead".to_owned()));
        }
        let membership = metrics.membership_config.membership();
        match change {
            Change::Join(member) => self.join(&metrics, membership, member).await,
            Change::Promote(id) => self.promote(&metrics, membership, id).await,
            Change::Remove(id) => self.remove(membership, id).await,
            Change::TransferLeader(0) => self.hand_over().await,
            Change::TransferLeader(id) => self.transfer(&metrics, id).await,
        }
    }

    fn metrics(&self) -> Metrics {
        self.inner.raft.metrics().borrow_watched().clone()
    }

    async fn join(
        &self,
        metrics: &Metrics,
        membership: &Membership,
        joins: v1::Member,
    ) -> Result<(), Refused> {
        let (id, member) = (joins.node_id, Member { name: joins.name, address: joins.address });
        match membership.get_node(&id) {
            Some(known) if *known == member => return Ok(()),
            // Whoever is at a wrong address refuses what is not addressed to it, so a new address
            // cannot make a voter of anybody else.
            Some(_) => {
                return self.submit(ChangeMembers::SetNodes(BTreeMap::from([(id, member)]))).await;
            }
            None => {}
        }
        if membership.nodes().count() >= MEMBERS_MAX {
            return Err(Refused::Never(format!("the cluster has {MEMBERS_MAX} members already")));
        }
        let namesake = membership.nodes().find(|(_, known)| known.name == member.name);
        if let Some((other, _)) = namesake.filter(|(other, _)| alive(metrics, **other)) {
            return Err(Refused::Now(format!(
                "a member named {} is there and alive (node {other}); give each replica a name of \
                 its own (--cluster.name)",
                member.name
            )));
        }
        tracing::info!(node = id, name = member.name, address = member.address, "a replica joins");
        let added = self.inner.raft.add_learner(id, member, false);
        committed(timeout(CHANGE_TIMEOUT, added).await)
    }

    /// Makes a learner a voter, in the place of whoever had its name.
    async fn promote(
        &self,
        metrics: &Metrics,
        membership: &Membership,
        id: u64,
    ) -> Result<(), Refused> {
        let unknown = || Refused::Never(format!("node {id} is not a member"));
        let name = &membership.get_node(&id).ok_or_else(unknown)?.name;
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        if voters.contains(&id) {
            return Ok(());
        }
        if let Some(lacks) = lacks(metrics, id) {
            return Err(Refused::Now(format!("{name} (node {id}) cannot vote yet: {lacks}")));
        }
        let namesakes = membership.nodes().filter(|(other, m)| **other != id && m.name == *name);
        let (old_voters, old_learners): (BTreeSet<u64>, BTreeSet<u64>) =
            namesakes.map(|(other, _)| *other).partition(|other| voters.contains(other));
        let then: Vec<u64> = voters.difference(&old_voters).copied().chain([id]).collect();
        self.check_quorum(&then, &format!("with node {id} among the voters")).await?;
        let mut changes = vec![ChangeMembers::AddVoterIds(BTreeSet::from([id]))];
        if !old_voters.is_empty() {
            changes.push(ChangeMembers::RemoveVoters(old_voters));
        }
        if !old_learners.is_empty() {
            changes.push(ChangeMembers::RemoveNodes(old_learners));
        }
        tracing::info!(node = id, name, "a learner becomes a voter");
        self.submit(ChangeMembers::Batch(changes)).await
    }

    async fn remove(&self, membership: &Membership, id: u64) -> Result<(), Refused> {
        if membership.get_node(&id).is_none() {
            return Err(Refused::Never(format!("node {id} is not a member")));
        }
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        if !voters.contains(&id) {
            return self.submit(ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await;
        }
        let left: Vec<u64> = voters.iter().copied().filter(|voter| *voter != id).collect();
        self.check_quorum(&left, &format!("without node {id}")).await?;
        if id == self.inner.me {
            self.hand_over().await?;
            return Err(Refused::Now("the lead was handed over first".to_owned()));
        }
        tracing::info!(node = id, "a member is removed");
        self.submit(ChangeMembers::RemoveVoters(BTreeSet::from([id]))).await
    }

    /// Refuses a change that would leave these voters, if too few of them answer for anything to be
    /// committed then.
    async fn check_quorum(&self, voters: &[u64], changed: &str) -> Result<(), Refused> {
        let needed = voters.len() / 2 + 1;
        let up = self.answering(voters, needed).await;
        if self.metrics().current_leader != Some(self.inner.me) {
            return Err(Refused::Now("this replica leads no longer".to_owned()));
        }
        if up < needed {
            return Err(Refused::Never(format!(
                "{changed}, {up} of {} voters would be alive and {needed} are needed: nothing would \
                 be accepted any more",
                voters.len()
            )));
        }
        Ok(())
    }

    /// How many of these voters answer what is sent to them from now on; waits for no more than are
    /// needed. That one of them answered a moment ago would not do: without it, the change could never
    /// be committed, and nothing else either.
    async fn answering(&self, voters: &[u64], needed: usize) -> usize {
        let asked = Instant::now();
        loop {
            let metrics = self.metrics();
            let answers = |voter: u64| {
                silence(&metrics, voter).is_some_and(|silence| silence < asked.elapsed())
            };
            let up = voters.iter().filter(|id| **id == self.inner.me || answers(**id)).count();
            if up >= needed || asked.elapsed() >= ALIVE_FOR {
                return up;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn submit(&self, change: ChangeMembers<u64, Member>) -> Result<(), Refused> {
        let changed = self.inner.raft.change_membership(change, false);
        committed(timeout(CHANGE_TIMEOUT, changed).await)
    }

    /// Gives the lead to the voter that knows most, if this replica has it; rather to one whose disk
    /// has room.
    pub(crate) async fn hand_over(&self) -> Result<(), Refused> {
        if self.metrics().current_leader != Some(self.inner.me) {
            return Ok(());
        }
        match self.successor_with_room().or_else(|| self.successor(|_| true)) {
            Some(id) => self.hand_over_to(id).await,
            None => Err(Refused::Never("no other voter is alive".to_owned())),
        }
    }

    /// Of the other voters that are alive, ready and have room on their disks, the one that knows most;
    /// `None` where this replica does not lead.
    pub(crate) fn successor_with_room(&self) -> Option<u64> {
        let watch = &self.inner.watch;
        self.successor(|id| watch.report(id).is_ok_and(|told| told.ready && !told.disk_short))
    }

    fn successor(&self, fits: impl Fn(u64) -> bool) -> Option<u64> {
        let (metrics, me) = (self.metrics(), self.inner.me);
        let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
        // Only a leader knows what is replicated.
        let matched = metrics.replication.iter().flatten();
        matched
            .filter(|(id, _)| **id != me && voters.contains(id) && alive(&metrics, **id))
            .filter(|(id, _)| fits(**id))
            .max_by_key(|(_, matched)| matched.map(|id| id.index))
            .map(|(id, _)| *id)
    }

    /// Gives the lead to that voter.
    pub(crate) async fn hand_over_to(&self, to: u64) -> Result<(), Refused> {
        self.transfer(&self.metrics(), to).await
    }

    async fn transfer(&self, metrics: &Metrics, to: u64) -> Result<(), Refused> {
        let voters: BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
        if to == self.inner.me {
            return Ok(());
        }
        if !voters.contains(&to) {
            return Err(Refused::Never(format!("node {to} is not a voter")));
        }
        if !alive(metrics, to) {
            return Err(Refused::Never(format!("node {to} does not answer")));
        }
        let fatal = |err: &dyn std::fmt::Display| Refused::Now(err.to_string());
        self.inner.raft.trigger().transfer_leader(to).await.map_err(|err| fatal(&err))?;
        let deadline = Instant::now() + HAND_OVER_TIMEOUT;
        let mut server = self.inner.raft.server_metrics();
        while server.borrow_watched().current_leader.is_none_or(|id| id == self.inner.me) {
            let changed = timeout_at(deadline, server.changed()).await;
            let late = |_| Refused::Now(format!("node {to} did not take the lead in time"));
            changed.map_err(late)?.map_err(|err| fatal(&err))?;
        }
        Ok(())
    }
}

fn committed<T>(
    result: Result<
        Result<T, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>,
        tokio::time::error::Elapsed,
    >,
) -> Result<(), Refused> {
    match result {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(err)))) => {
            Err(Refused::Now(err.to_string()))
        }
        Ok(Err(err)) => Err(Refused::Now(err.to_string())),
        Err(_) => Err(Refused::Now("not committed in time".to_owned())),
    }
}

/// Whether a member answers this leader.
pub(crate) fn alive(metrics: &Metrics, id: u64) -> bool {
    silence(metrics, id).is_some_and(|silence| silence < ALIVE_FOR)
}

/// For how long a member has not answered this leader; `None`: it never has.
pub(crate) fn silence(metrics: &Metrics, id: u64) -> Option<Duration> {
    let heard = metrics.heartbeat.as_ref()?.get(&id)?.as_ref()?;
    Some(heard.elapsed())
}

/// What a learner lacks to become a voter.
pub(super) fn lacks(metrics: &Metrics, id: u64) -> Option<String> {
    if !alive(metrics, id) {
        return Some("it does not answer".to_owned());
    }
    let last = metrics.last_log_index.unwrap_or(0);
    let matched = metrics.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
    match matched {
        Some(matched) if matched.index + LAG_MAX >= last => None,
        Some(matched) => Some(format!("it lacks {} log entries", last - matched.index)),
        None => Some(format!("it lacks all {last} log entries")),
    }
}

fn refused_from_pb(response: v1::ChangeMembersResponse) -> Option<Refused> {
    match (response.refused, response.retry) {
        (refused, _) if refused.is_empty() => None,
        (refused, true) => Some(Refused::Now(refused)),
        (refused, false) => Some(Refused::Never(refused)),
    }
}

/// What the leader answers another replica.
pub(crate) fn response(result: Result<(), Refused>) -> v1::ChangeMembersResponse {
    match result {
        Ok(()) => v1::ChangeMembersResponse { refused: String::new(), retry: false },
        Err(Refused::Now(refused)) => v1::ChangeMembersResponse { refused, retry: true },
        Err(Refused::Never(refused)) => v1::ChangeMembersResponse { refused, retry: false },
    }
}

async fn tend(members: Members, clean_up: Option<CleanUp>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut care = Care { clean_up, ..Care::default() };
    loop {
        ticks.tick().await;
        let metrics = members.metrics();
        if metrics.current_leader != Some(members.inner.me) {
            care = Care { clean_up, ..Care::default() };
            continue;
        }
        let Some(change) = care.due(&metrics, members.inner.me) else { continue };
        let done = match change {
            Due::Flatten => members.submit(ChangeMembers::AddVoterIds(BTreeSet::new())).await,
            Due::Change(change) => members.change_as_leader(change).await,
        };
        if let Err(refused) = done {
            tracing::warn!(err = %refused, "the membership was not changed; it is tried again");
        }
    }
}

enum Due {
    /// Complete a change that an earlier leader had begun.
    Flatten,
    Change(Change),
}

/// What a leader remembers of the members while it leads.
#[derive(Default)]
struct Care {
    /// Since when each learner keeps up.
    keeps_up: BTreeMap<u64, Instant>,
    /// Since when each member does not answer.
    silent: BTreeMap<u64, Instant>,
    clean_up: Option<CleanUp>,
}

impl Care {
    fn due(&mut self, metrics: &Metrics, me: u64) -> Option<Due> {
        let membership = metrics.membership_config.membership();
        if membership.get_joint_config().len() > 1 {
            // One that this leader has begun holds the turn; this one waits for it.
            return (metrics.committed_membership_config == metrics.membership_config)
                .then_some(Due::Flatten);
        }
        self.observe(metrics, me);
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let up = voters.iter().filter(|id| **id == me || alive(metrics, **id)).count();
        if up * 2 <= voters.len() {
            // Nothing could be committed, and each try would be two lines of log.
            return None;
        }
        let stable = |since: &Instant| since.elapsed() >= STABLE_FOR;
        if let Some((id, _)) = self.keeps_up.iter().find(|(_, since)| stable(since)) {
            return Some(Due::Change(Change::Promote(*id)));
        }
        let CleanUp { after, voters_min } = self.clean_up?;
        let gone = self.silent.iter().filter(|(_, since)| since.elapsed() >= after);
        let mut removable =
            gone.filter(|(id, _)| !voters.contains(id) || voters.len() > voters_min);
        removable.next().map(|(id, _)| Due::Change(Change::Remove(*id)))
    }

    fn observe(&mut self, metrics: &Metrics, me: u64) {
        let membership = metrics.membership_config.membership();
        let now = Instant::now();
        let keeps_up = |id: u64| lacks(metrics, id).is_none();
        let learners: BTreeSet<u64> = membership.learner_ids().collect();
        self.keeps_up.retain(|id, _| learners.contains(id) && keeps_up(*id));
        for id in learners.into_iter().filter(|id| keeps_up(*id)) {
            self.keeps_up.entry(id).or_insert(now);
        }
        let others: BTreeSet<u64> =
            membership.nodes().map(|(id, _)| *id).filter(|id| *id != me).collect();
        self.silent.retain(|id, _| others.contains(id) && !alive(metrics, *id));
        for id in others.into_iter().filter(|id| !alive(metrics, *id)) {
            self.silent.entry(id).or_insert(now);
        }
    }
}
