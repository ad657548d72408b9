//! What this replica answers its peers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use crate::group::{BATCH_FORMAT, decode_mutation};
use crate::pb::v1;
use crate::storage::NO_CLUSTER;
use crate::telemetry::BuildInfo;

use super::contact::Heard;
use super::disk_space::DiskSpace;
use super::error::Unavailable;
use super::members;
use super::network::QUORUM_AGE_UNKNOWN;
use super::proposer;
use super::replica::Replica;
use super::running::Running;
use super::snapshot::Snapshot;
use super::snapshot_transfer;
use super::transport::{Answers, CallError, Route};
use super::types::TypeConfig;
use super::{convert, snapshot};

/// Answers the calls of peers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    replica: Replica,
}

impl Service {
    pub(crate) fn new(replica: Replica) -> Service {
        Service { replica }
    }

    /// The running replica, if the call is meant for it.
    fn admit(&self, route: Route) -> Result<&Running, CallError> {
        let running = self.replica.running().map_err(|why| {
            self.replica.change_lobby(|lobby| {
                // Only who has it for a member knows its node id.
                if route.to == lobby.me.node && route.cluster != NO_CLUSTER {
                    lobby.invited_to = Some(route.cluster);
                }
            });
            CallError::Refused(format!("this replica has no cluster yet: {why}"))
        })?;
        let identity = &running.identity;
        if route.cluster != identity.cluster {
            return Err(CallError::Refused("this replica belongs to another cluster".to_owned()));
        }
        if route.to != identity.node {
            let (me, to) = (identity.node, route.to);
            return Err(CallError::Refused(format!("node {to} is not here, this is node {me}")));
        }
        Ok(running)
    }

    /// Who this replica is. Answered to anybody.
    pub(crate) fn identify(&self, route: Route) -> v1::IdentifyResponse {
        let lobby = self.replica.lobby();
        let about = v1::IdentifyResponse {
            node_id: lobby.me.node,
            name: lobby.me.member.name,
            address: lobby.me.member.address,
            sees: lobby.me.sees.into_iter().collect(),
            bootstrap_expect: u32::try_from(lobby.me.expect).unwrap_or(u32::MAX),
            version: BuildInfo::current().version.to_owned(),
            batch_format_max: BATCH_FORMAT,
            adopted: lobby.me.adopted,
            ..v1::IdentifyResponse::default()
        };
        let Ok(running) = self.replica.running() else {
            let Some(standing) = lobby.standing else { return about };
            return v1::IdentifyResponse {
                cluster_id: standing.cluster.to_vec().into(),
                initialized: true,
                last_log_index: standing.last_index,
                durable_index: standing.durable_index,
                known_index: standing.known.get(&route.from).copied().unwrap_or(0),
                ..about
            };
        };
        let metrics = running.metrics();
        let (view, position) = running.machine.view_at();
        v1::IdentifyResponse {
            cluster_id: running.identity.cluster.to_vec().into(),
            initialized: running.initialized(),
            members: Some(convert::membership_to_pb(metrics.membership_config.membership())),
            leader_id: metrics.current_leader.unwrap_or(0),
            term: metrics.current_term,
            last_log_index: running.log.last_index().unwrap_or(0),
            durable_index: running.durable_index(),
            applied_index: position.index().unwrap_or(0),
            digest: view.digest().to_be_bytes().to_vec().into(),
            known_index: running.known_index(route.from),
            disk_short: !running.disk_space.is_roomy(),
            ready: self.replica.health().ready.iter().all(|check| check.ok),
            ..about
        }
    }

    pub(crate) async fn vote(
        &self,
        route: Route,
        request: v1::VoteRequest,
    ) -> Result<v1::VoteResponse, CallError> {
        let running = self.admit(route)?;
        let asked = convert::vote_request_from_pb(&request).map_err(senseless)?;
        let answer = if request.pre_vote {
            running.raft.pre_vote(asked).await
        } else {
            running.raft.vote(asked).await
        };
        Ok(convert::vote_reply_to_pb(&answer.map_err(failed)?))
    }

    pub(crate) fn append(
        &self,
        route: Route,
        requests: impl Stream<Item = Result<v1::AppendRequest, CallError>> + Send + 'static,
    ) -> Result<Answers<v1::AppendResponse>, CallError> {
        let running = self.admit(route)?;
        let contact = Arc::clone(&running.contact);
        // openraft answers in the order of the requests.
        let signs = Arc::new(Mutex::new(VecDeque::new()));
        let noted = Arc::clone(&signs);
        let disk = Arc::clone(&running.disk_space);
        let requests =
            requests.scan((), move |(), request| std::future::ready(note(request, &disk, &noted)));
        let answers = running.raft.stream_append(requests).map(move |result| {
            let sign = signs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let result = result.map_err(failed)?;
            if let (Ok(_), Some(Some(sign))) = (&result, sign) {
                contact.heard(sign);
            }
            Ok(convert::append_result_to_pb(&result))
        });
        Ok(answers.boxed())
    }

    pub(crate) async fn install_snapshot(
        &self,
        route: Route,
        chunks: impl Stream<Item = Result<v1::SnapshotChunk, CallError>> + Unpin + Send,
    ) -> Result<v1::InstallSnapshotResponse, CallError> {
        let running = self.admit(route)?;
        let room = |bytes| running.disk_space.promise(bytes).map_err(|full| full.to_string());
        let (vote, file) = snapshot_transfer::receive(&running.snapshots, chunks, room).await?;
        let index = file.index;
        let described: Snapshot = snapshot::describe(file).map_err(senseless)?;
        let installed = running.raft.install_full_snapshot(vote, described).await;
        let answer = installed.map_err(failed)?;
        tracing::info!(index, "received a snapshot from the leader");
        Ok(v1::InstallSnapshotResponse { vote: Some(convert::vote_to_pb(&answer.vote)) })
    }

    pub(crate) async fn transfer_leader(
        &self,
        route: Route,
        request: v1::TransferLeaderRequest,
    ) -> Result<v1::TransferLeaderResponse, CallError> {
        let running = self.admit(route)?;
        let asked = convert::transfer_from_pb(&request).map_err(senseless)?;
        let answer = running.raft.handle_transfer_leader(asked).await.map_err(failed)?;
        Ok(convert::transfer_reply_to_pb(&answer))
    }

    pub(crate) async fn propose(
        &self,
        route: Route,
        request: v1::ProposeRequest,
    ) -> Result<v1::ProposeResponse, CallError> {
        let running = self.admit(route)?;
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms.into());
        let proposed = request.mutations.into_iter().map(|mutation| async move {
            let mutation = decode_mutation(mutation).map_err(senseless)?;
            let result = running.proposer.propose_as_leader(mutation, deadline).await;
            Ok(proposer::proposed(result))
        });
        let results = futures_util::future::try_join_all(proposed).await?;
        Ok(v1::ProposeResponse { results })
    }

    pub(crate) async fn read_index(
        &self,
        route: Route,
        request: v1::ReadIndexRequest,
    ) -> Result<v1::ReadIndexResponse, CallError> {
        let running = self.admit(route)?;
        let deadline = Instant::now() + Duration::from_millis(request.timeout_ms.into());
        Ok(match running.reader.point_as_leader(deadline).await {
            Ok(point) => v1::ReadIndexResponse {
                index: point.index,
                term: point.term,
                unavailable: String::new(),
            },
            Err(err) => v1::ReadIndexResponse { index: 0, term: 0, unavailable: detail_of(&err) },
        })
    }

    pub(crate) async fn change_members(
        &self,
        route: Route,
        request: v1::ChangeMembersRequest,
    ) -> Result<v1::ChangeMembersResponse, CallError> {
        // Whoever asks to join does not know whom it asks.
        let running = match route.to {
            0 => self.admit(Route { to: self.replica.lobby().me.node, ..route })?,
            _ => self.admit(route)?,
        };
        let change = request.change.ok_or_else(|| senseless("a change of nothing"))?;
        let changed = match route.to {
            0 => running.members.change(change, Instant::now() + CHANGE_TIMEOUT).await,
            _ => running.members.change_as_leader(change).await,
        };
        Ok(members::response(changed))
    }
}

/// How long a replica that does not lead looks for the leader on behalf of one that joins.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

fn detail_of(unavailable: &Unavailable) -> String {
    match unavailable {
        Unavailable::NoQuorum(detail) => detail.clone(),
        other => other.to_string(),
    }
}

/// Takes a request apart and remembers when it came.
fn note(
    request: Result<v1::AppendRequest, CallError>,
    disk: &DiskSpace,
    signs: &Mutex<VecDeque<Option<Heard>>>,
) -> Option<openraft::raft::AppendEntriesRequest<TypeConfig>> {
    let request = request.ok()?;
    let batches = request.entries.iter().flat_map(|entry| &entry.batch);
    let bytes: u64 = batches.map(|batch| batch.len() as u64).sum();
    // A heartbeat takes no room, and without it this replica would stand for election.
    let room = if bytes > 0 { disk.check_replicated(bytes) } else { Ok(()) };
    if let Err(full) = room {
        // The stream ends here, the leader tries again later, and a quorum goes on without.
        tracing::warn!(err = %full, "cannot follow the leader");
        return None;
    }
    let quorum_age_ms = request.quorum_age_ms;
    let quorum_age = Duration::from_millis(quorum_age_ms.into());
    let request = match convert::append_from_pb(request) {
        Ok(request) => request,
        Err(err) => {
            tracing::error!(err = %err, "a peer sent entries that make no sense");
            return None;
        }
    };
    // A leader that no quorum has followed yet proves nothing, and does not undo what was proved.
    let commit = request.leader_commit.map(|id| id.index);
    let followed = quorum_age_ms != QUORUM_AGE_UNKNOWN;
    let at = followed.then(|| Instant::now().checked_sub(quorum_age)).flatten();
    let sign = at.map(|at| Heard { at, commit });
    signs.lock().unwrap_or_else(PoisonError::into_inner).push_back(sign);
    Some(request)
}

fn failed(err: impl std::fmt::Display) -> CallError {
    CallError::Failed(err.to_string())
}

fn senseless(err: impl std::fmt::Display) -> CallError {
    CallError::Failed(format!("a call that makes no sense: {err}"))
}
