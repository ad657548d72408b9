//! The handle of this process's replica: all that the edges see of the layers below.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::group::{Change, Mutation, RequestId, View};
use crate::telemetry::StateGauges;
use crate::trials::{self, Bug};

use super::blocking;
use super::bootstrap::{self, Seen};
use super::error::{Error, Unavailable};
use super::health::{self, Health};
use super::members::Refused;
use super::proposer::Applied;
use super::running::{Parts, Running};
use super::snapshot::Export;
use super::start::Standing;
use super::status::{self, ClusterStatus};
use super::{recover, start};
use crate::pb::v1::change_members_request::Change as Asked;

/// How long a request waits for a replica that is being started.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// What a replica is started with.
pub(crate) struct Options {
    pub(crate) storage: recover::Options,
    /// Not set: a cluster of one, unless the disk knows of another.
    pub(crate) cluster: Option<bootstrap::Options>,
    pub(crate) parts: Parts,
}

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// Not older than any change acknowledged before the read began.
    Linearizable,
    /// What this replica has, if it is at most this old.
    Stale(Duration),
}

/// What an operator wants of the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MemberChange {
    /// Take in the replica that waits at this address.
    Add { address: String },
    /// Take a member out.
    Remove(u64),
    /// Make a learner a voter.
    Promote(u64),
    /// Have a voter lead; `None`: any other.
    Lead(Option<u64>),
}

/// A picture of the state.
pub(crate) struct Reading {
    pub(crate) view: View,
    /// The log index that the picture stands for.
    pub(crate) index: u64,
    /// The leader's term when the picture was confirmed; of a stale one, the term seen last.
    pub(crate) term: u64,
    /// How old it can be at most; `None`: it is not.
    pub(crate) age: Option<Duration>,
}

/// This process's replica. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Replica {
    inner: Arc<Inner>,
}

struct Inner {
    lobby: Mutex<Lobby>,
    running: OnceLock<Running>,
    /// Tells whoever waits that it runs.
    runs: watch::Sender<bool>,
    stopping: AtomicBool,
    /// Why the replica cannot go on.
    failure: watch::Sender<Option<String>>,
}

/// What a replica is before it belongs to a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Lobby {
    /// This replica as its peers see it.
    pub(crate) me: Seen,
    /// What it waits for.
    pub(crate) waits_for: String,
    /// What it has been, if it is to go on.
    pub(crate) standing: Option<Standing>,
    /// A cluster that counts it among its members already: one of them has called.
    pub(crate) invited_to: Option<[u8; 16]>,
}

impl Replica {
    /// Takes the storage folder, and returns what answers peers from now on and what remains to be
    /// done: recovering the state from disk and starting Raft. A cluster of one is ready after that;
    /// with others it may take until they are there.
    pub(crate) async fn prepare(
        options: Options,
    ) -> Result<(Replica, impl Future<Output = Result<(), Error>>), Error> {
        start::prepare(options).await
    }

    pub(super) fn new(me: Seen) -> Replica {
        let lobby =
            Lobby { me, waits_for: "starting".to_owned(), standing: None, invited_to: None };
        let inner = Inner {
            lobby: Mutex::new(lobby),
            running: OnceLock::new(),
            runs: watch::Sender::new(false),
            stopping: AtomicBool::new(false),
            failure: watch::Sender::new(None),
        };
        Replica { inner: Arc::new(inner) }
    }

    fn lock_lobby(&self) -> MutexGuard<'_, Lobby> {
        self.inner.lobby.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lobby(&self) -> Lobby {
        self.lock_lobby().clone()
    }

    pub(super) fn change_lobby(&self, change: impl FnOnce(&mut Lobby)) {
        change(&mut self.lock_lobby());
    }

    /// The replica belongs to a cluster from now on.
    pub(super) fn set_running(&self, running: Running) {
        assert!(self.inner.running.set(running).is_ok(), "a replica is started once");
        self.inner.runs.send_replace(true);
    }

    pub(super) fn running(&self) -> Result<&Running, Unavailable> {
        let waits_for = || Unavailable::Starting(self.lock_lobby().waits_for.clone());
        self.inner.running.get().ok_or_else(waits_for)
    }

    /// The same, waiting a little for a replica that is just being started: a load balancer may not
    /// have noticed that it was gone.
    async fn started(&self, deadline: Instant) -> Result<&Running, Unavailable> {
        let mut runs = self.inner.runs.subscribe();
        let limit = deadline.min(Instant::now() + START_PATIENCE);
        // Either way it is looked at again.
        let _elapsed = tokio::time::timeout_at(limit, runs.wait_for(|runs| *runs)).await;
        self.running()
    }

    pub(super) fn fail(&self, err: &Error) {
        self.inner.failure.send_replace(Some(err.to_string()));
    }

    /// The name of this replica in its cluster.
    pub(crate) fn name(&self) -> String {
        self.lock_lobby().me.member.name.clone()
    }

    /// Whether there are other members.
    pub(crate) fn has_peers(&self) -> bool {
        let members = |running: &Running| running.metrics().membership_config.nodes().count();
        self.inner.running.get().is_some_and(|running| members(running) > 1)
    }

    /// Commits one change and tells how it was applied.
    pub(crate) async fn propose(
        &self,
        id: RequestId,
        change: Change,
        deadline: Instant,
    ) -> Result<Applied, Unavailable> {
        let running = self.started(deadline).await?;
        let mutation = Mutation { id, change };
        let proposed = running.proposer.propose(mutation, deadline).await;
        proposed.map_err(|err| explained(running, err))
    }

    /// A picture of the state, as fresh as asked for.
    pub(crate) async fn read(
        &self,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<Reading, Unavailable> {
        let running = self.started(deadline).await?;
        match consistency {
            Consistency::Linearizable if trials::bug(Bug::LocalRead) => {
                Ok(reading(running, running.metrics().current_term, None))
            }
            Consistency::Linearizable => {
                let point = running.reader.point(deadline).await;
                let point = point.map_err(|err| explained(running, err))?;
                running.applied(point.index, deadline).await?;
                Ok(reading(running, point.term, None))
            }
            Consistency::Stale(max) => {
                let age = running.staleness();
                match age.filter(|age| *age <= max) {
                    Some(_) => Ok(reading(running, running.metrics().current_term, age)),
                    None => Err(Unavailable::TooStale { age, max }),
                }
            }
        }
    }

    /// A picture for a snapshot file, not older than any change acknowledged before the call.
    pub(crate) async fn export(&self, deadline: Instant) -> Result<Export, Unavailable> {
        self.read(Consistency::Linearizable, deadline).await?;
        let running = self.running()?;
        let (view, position) = running.machine.view_at();
        Ok(Export::new(view, position, running.identity.cluster))
    }

    /// The newest picture that this replica has, confirmed by nobody.
    pub(crate) fn view(&self) -> View {
        match self.inner.running.get() {
            Some(running) => running.machine.view(),
            None => crate::group::GroupStore::new([0; 16]).view(),
        }
    }

    /// What the health endpoints tell.
    pub(crate) fn health(&self) -> Health {
        let failure = self.inner.failure.borrow().clone();
        let stopping = self.is_stopping();
        match self.running() {
            Ok(running) => health::of(running, failure, stopping),
            Err(starting) => health::starting(&starting.to_string(), failure),
        }
    }

    /// Whether the replica was asked to stop, and requests had better go elsewhere.
    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Relaxed)
    }

    /// The cluster as this replica sees it, also without a leader.
    pub(crate) fn status(&self) -> ClusterStatus {
        match self.inner.running.get() {
            Some(running) => status::of(running),
            None => status::without_cluster(&self.lobby()),
        }
    }

    /// Has the leader change the membership.
    pub(crate) async fn change_members(
        &self,
        change: MemberChange,
        deadline: Instant,
    ) -> Result<(), Refused> {
        let running = self.running().map_err(|err| Refused::Now(err.to_string()))?;
        let change = match change {
            MemberChange::Remove(id) => Asked::Remove(id),
            MemberChange::Promote(id) => Asked::Promote(id),
            MemberChange::Lead(to) => Asked::TransferLeader(to.unwrap_or(0)),
            MemberChange::Add { address } => Asked::Join(running.members.invite(&address).await?),
        };
        running.members.change(change, deadline).await
    }

    /// The figures that only this layer knows, for the replica's own metrics.
    pub(crate) fn gauges(&self) -> StateGauges {
        match self.inner.running.get() {
            // Sizes on disk are asked of the disk.
            Some(running) => blocking::in_place(|| status::gauges(running)),
            None => StateGauges::default(),
        }
    }

    /// Waits until the replica cannot go on, which is so only after a failure of the disk.
    pub(crate) async fn failed(&self) -> Error {
        let mut failure = self.inner.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(detail)) => Error::Raft(detail),
            _ => Error::Raft("its task has ended".to_owned()),
        }
    }

    /// Tells the load balancer to go elsewhere, and gives the lead to another replica. Whether there
    /// is another one.
    pub(crate) async fn retire(&self) -> bool {
        self.inner.stopping.store(true, Ordering::Relaxed);
        let Some(running) = self.inner.running.get().filter(|running| !running.is_alone()) else {
            return false;
        };
        if let Err(refused) = running.members.hand_over().await {
            tracing::warn!(err = %refused, "the lead was not handed over");
        }
        true
    }

    /// Stops Raft, then brings everything that is in memory to the disk. An error means that the
    /// disk does not take it.
    pub(crate) async fn shutdown(&self) -> Result<(), Error> {
        self.inner.stopping.store(true, Ordering::Relaxed);
        match self.inner.running.get() {
            Some(running) => running.shutdown().await,
            None => Ok(()),
        }
    }

    /// Reports when Raft stops by itself.
    pub(super) fn watch_raft(&self) {
        let replica = self.clone();
        tokio::spawn(async move {
            let Ok(running) = replica.running() else { return };
            let mut metrics = running.raft.metrics();
            let mut leader = None;
            loop {
                let (state, now) = {
                    let metrics = metrics.borrow_watched();
                    (metrics.running_state.clone(), metrics.current_leader)
                };
                if now != leader {
                    leader = now;
                    note_leader(running);
                }
                let ended = match state {
                    Err(fatal) => fatal.to_string(),
                    Ok(()) if metrics.changed().await.is_ok() => continue,
                    Ok(()) => "its task has ended".to_owned(),
                };
                replica.fail(&Error::Raft(ended));
                return;
            }
        });
    }
}

fn note_leader(running: &Running) {
    let metrics = running.metrics();
    let Some(id) = metrics.current_leader else {
        return tracing::warn!(term = metrics.current_term, "no leader is known");
    };
    running.leader_changes.fetch_add(1, Ordering::Relaxed);
    let member = metrics.membership_config.membership().get_node(&id).cloned();
    let name = member.map_or_else(|| format!("node {id}"), |member| member.name);
    tracing::info!(leader = name, term = metrics.current_term, "a leader is known");
}

fn reading(running: &Running, term: u64, age: Option<Duration>) -> Reading {
    let (view, position) = running.machine.view_at();
    Reading { view, index: position.index().unwrap_or(0), term, age }
}

/// Says who is missing when it is for want of a quorum.
fn explained(running: &Running, unavailable: Unavailable) -> Unavailable {
    let voters = || status::voters(running);
    match unavailable {
        Unavailable::NoQuorum(detail) => Unavailable::NoQuorum(format!("{}; {detail}", voters())),
        Unavailable::Timeout(detail) => Unavailable::Timeout(format!("{}; {detail}", voters())),
        other => other,
    }
}
