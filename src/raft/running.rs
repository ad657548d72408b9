//! A replica that belongs to a cluster: Raft, and everything that works on it.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{Config, Instant as _, SnapshotPolicy};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::limits::{Limits, SNAPSHOT_TIMEOUT};
use crate::storage::{Folder, Identity, RaftLog};
use crate::telemetry;
use crate::trials::{self, Place};

use super::blocking;
use super::contact::{self, Contact, Heard};
use super::disk_space::DiskSpace;
use super::error::{Error, Unavailable};
use super::housekeeping::{self, Housekeeping};
use super::leader::LeaderView;
use super::log_store::LogStore;
use super::machine::Machine;
use super::members::{CleanUp, Members};
use super::network::Network;
use super::peers::Peers;
use super::proposer::{self, Proposer};
use super::reader::Reader;
use super::recover::Recovered;
use super::relief;
use super::snapshot::Snapshots;
use super::state_machine::StateMachine;
use super::state_writer::StateWriter;
use super::transport::Transport;
use super::types::{Member, Metrics, Raft};
use super::watch::Watch;

/// How long the log may take to be closed after everything else has stopped.
const LOG_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the state database may take to reach the disk when stopping.
const STATE_STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the Raft tasks may take to end.
const RAFT_STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How fast replicas notice that the leader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How often the leader shows that it is there.
    pub(crate) heartbeat: Duration,
    /// How long a follower waits for that; then it waits up to as long again, by chance, so that not
    /// all of them stand for election at once.
    pub(crate) election: Duration,
}

/// What a running replica is made with, beside what was recovered from its disk.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) timing: Timing,
    pub(crate) clean_up: Option<CleanUp>,
    pub(crate) snapshots: housekeeping::Policy,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) metrics: telemetry::Metrics,
}

pub(crate) struct Running {
    pub(crate) identity: Identity,
    pub(crate) raft: Raft,
    pub(crate) peers: Arc<Peers>,
    pub(crate) proposer: Proposer,
    pub(crate) reader: Reader,
    pub(crate) members: Members,
    pub(crate) watch: Arc<Watch>,
    pub(crate) contact: Arc<Contact>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) log: Arc<RaftLog>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) writer: StateWriter,
    pub(crate) clock: Clock,
    /// Times that another leader was seen.
    pub(crate) leader_changes: AtomicU64,
    pub(crate) disk_space: Arc<DiskSpace>,
    housekeeping: Housekeeping,
    care: [AbortHandle; 2],
    #[cfg_attr(not(test), expect(dead_code, reason = "held for its lock"))]
    pub(crate) folder: Arc<Folder>,
}

impl Running {
    pub(crate) async fn start(recovered: Recovered, parts: Parts) -> Result<Running, Error> {
        let Recovered { identity, machine, log, meter, snapshots, writer, folder } = recovered;
        let Parts { transport, timing, clean_up, snapshots: policy, limits, clock, metrics } =
            parts;
        let state_machine = StateMachine {
            machine: Arc::clone(&machine),
            snapshots: Arc::clone(&snapshots),
            writer: writer.clone(),
            hash_key: identity.cluster,
        };
        let failed = |err: &dyn std::fmt::Display| Error::Raft(err.to_string());
        let config = Arc::new(raft_config(timing).validate().map_err(|err| failed(&err))?);
        let peers = Arc::new(Peers::new(transport, identity.cluster, identity.node));
        let quorum = Arc::new(OnceLock::new());
        let network = Network::new(identity.node, Arc::clone(&peers), Arc::clone(&quorum));
        let log_store = LogStore::new(Arc::clone(&log));
        let tail = log_store.tail();
        let raft = Raft::new(identity.node, config, network, log_store, state_machine);
        let raft = raft.await.map_err(|err| failed(&err))?;
        // Nobody else sets it.
        let _first = quorum.set(raft.metrics());

        let disk_space = Arc::new(DiskSpace::new(limits.disk_free_bytes));
        let leader = LeaderView::new(raft.clone(), identity.node, Arc::clone(&peers));
        let proposer = Proposer::start(proposer::Parts {
            raft: raft.clone(),
            leader: leader.clone(),
            clock: clock.clone(),
            limits,
            disk_space: Arc::clone(&disk_space),
            metrics,
        });
        let reader = Reader::start(raft.clone(), leader.clone());
        let me = identity.node;
        let watch = Watch::start(raft.clone(), me, Arc::clone(&peers), Arc::clone(&folder));
        let watch = Arc::new(watch);
        let members =
            Members::new(raft.clone(), me, Arc::clone(&peers), leader, Arc::clone(&watch));
        let relief = relief::start(members.clone(), Arc::clone(&disk_space));
        let care = [members.tend(clean_up), relief];
        let housekeeping = housekeeping::start(housekeeping::Parts {
            raft: raft.clone(),
            folder: Arc::clone(&folder),
            meter,
            tail,
            snapshots: Arc::clone(&snapshots),
            machine: Arc::clone(&machine),
            disk_space: Arc::clone(&disk_space),
            policy,
        });
        Ok(Running {
            identity,
            raft,
            peers,
            proposer,
            reader,
            members,
            watch,
            contact: Arc::new(Contact::default()),
            machine,
            log,
            snapshots,
            writer,
            clock,
            leader_changes: AtomicU64::new(0),
            disk_space,
            housekeeping,
            care,
            folder,
        })
    }

    /// Begins the cluster, whose only member or first voice this replica is.
    pub(crate) async fn form(
        &self,
        members: std::collections::BTreeMap<u64, Member>,
    ) -> Result<(), Error> {
        let failed = |err: &dyn std::fmt::Display| Error::Raft(err.to_string());
        if self.raft.is_initialized().await.map_err(|err| failed(&err))? {
            return Ok(());
        }
        trials::at(Place::InitializeBefore).map_err(|err| failed(&err))?;
        self.raft.initialize(members).await.map_err(|err| failed(&err))?;
        trials::at(Place::InitializeAfter).map_err(|err| failed(&err))
    }

    /// Whether this replica is the only voter.
    pub(crate) fn is_alone(&self) -> bool {
        let metrics = self.metrics();
        let mut voters = metrics.membership_config.membership().voter_ids();
        voters.next() == Some(self.identity.node) && voters.next().is_none()
    }

    /// Stands for election at once: the only voter need not wait to hear from another leader.
    pub(crate) async fn lead_alone(&self) -> Result<(), Error> {
        let elected = self.raft.trigger().elect(false).await;
        elected.map_err(|err| Error::Raft(err.to_string()))
    }

    pub(crate) fn metrics(&self) -> Metrics {
        // Cloned, since a borrowed watch value must not be held across an await.
        self.raft.metrics().borrow_watched().clone()
    }

    /// Whether a part of its cluster's log is durable here. What is only in memory may be gone after a
    /// power cut, and others must not join a cluster that nobody has then.
    pub(crate) fn initialized(&self) -> bool {
        self.log.durable_index().is_some() || self.machine.position().applied.is_some()
    }

    /// Up to where the log is durable and known to be committed. What is beyond may still be lost in
    /// a power cut or give way to another leader's entries, and nobody may hold that against this
    /// disk.
    pub(crate) fn durable_index(&self) -> u64 {
        let committed = self.metrics().local_committed.map_or(0, |id| id.index);
        self.log.durable_index().unwrap_or(0).min(committed)
    }

    /// What is known to be durable on a peer and committed.
    pub(crate) fn known_index(&self, node: u64) -> u64 {
        let metrics = self.metrics();
        let matched =
            metrics.replication.as_ref().and_then(|all| all.get(&node).copied().flatten());
        let committed = metrics.local_committed.map_or(0, |id| id.index);
        let matched = matched.map_or(0, |id| id.index.min(committed));
        matched.max(self.watch.known_index(node))
    }

    /// How old the applied state can be at most; `None`: nobody knows.
    pub(crate) fn staleness(&self) -> Option<Duration> {
        let followed = self.followed();
        // A leader that was just elected has only what it heard as a follower.
        followed
            .or_else(|| self.contact.fresh_at(self.machine.position().index()).map(contact::age))
    }

    /// How long ago a leader was there that a quorum followed; `None`: not since the start.
    pub(crate) fn leaderless_for(&self) -> Option<Duration> {
        self.followed().or_else(|| self.contact.newest().map(|heard| contact::age(heard.at)))
    }

    /// How long ago a quorum followed this replica, if it leads and one has.
    fn followed(&self) -> Option<Duration> {
        let metrics = self.metrics();
        let acked = metrics
            .last_quorum_acked
            .filter(|_| metrics.current_leader == Some(self.identity.node));
        let age = acked?.elapsed();
        if let Some(at) = Instant::now().checked_sub(age) {
            // Should it lose the lead now, this is the newest that it knows of a leader. Peers and
            // load balancers ask often enough for it to be noted.
            self.contact.led(Heard { at, commit: metrics.local_committed.map(|id| id.index) });
        }
        Some(age)
    }

    /// Waits until everything up to `index` is applied.
    pub(crate) async fn applied(&self, index: u64, deadline: Instant) -> Result<(), Unavailable> {
        let mut applied = self.machine.applied();
        let reached = applied.wait_for(|applied| *applied >= Some(index));
        match tokio::time::timeout_at(deadline, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Unavailable::ShuttingDown),
            Err(_) => {
                let text = "this replica did not catch up with the leader in time";
                Err(Unavailable::NoQuorum(text.to_owned()))
            }
        }
    }

    /// Stops Raft, then brings everything that is in memory to the disk. An error means that the
    /// disk does not take it.
    pub(crate) async fn shutdown(&self) -> Result<(), Error> {
        self.care.iter().for_each(AbortHandle::abort);
        self.watch.stop();
        self.housekeeping.stop().await;
        let stopped = tokio::time::timeout(RAFT_STOP_TIMEOUT, self.raft.shutdown()).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::warn!("raft did not stop in time; what was acknowledged is on disk");
        }
        let writer = self.writer.clone();
        let flushed = blocking::aside(move || writer.stop());
        if !matches!(tokio::time::timeout(STATE_STOP_TIMEOUT, flushed).await, Ok(Ok(()))) {
            tracing::warn!("the state database was not flushed in time; a start replays the log");
        }
        // Here and not where the last one lets go of it, which would wait for the disk for ever.
        let log = Arc::clone(&self.log);
        let closed = tokio::time::timeout(LOG_STOP_TIMEOUT, blocking::aside(move || log.close()));
        closed.await.map_or(Err(Error::Stuck(LOG_STOP_TIMEOUT)), |_| Ok(()))
    }
}

fn raft_config(timing: Timing) -> Config {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let election = millis(timing.election);
    Config {
        cluster_name: "quorumgate".to_owned(),
        heartbeat_interval: millis(timing.heartbeat),
        election_timeout_min: election / 2,
        election_timeout_max: election,
        // A leader that reaches some but not a quorum must make room for one that does.
        quorum_loss_probe_interval: Some(election * 4),
        // housekeeping decides by count and by bytes, and purges below the second newest snapshot.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // Whoever lacks less than is kept is served from the log.
        replication_lag_threshold: u64::MAX,
        purge_batch_size: 1024,
        install_snapshot_timeout: millis(SNAPSHOT_TIMEOUT),
        api_channel_size: Some(8192),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        ..Config::default()
    }
}
