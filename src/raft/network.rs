//! openraft's way to the other replicas.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use openraft::alias::{SnapshotOf, VoteOf, WatchReceiverOf};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, Instant as _, OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::convert;
use super::peers::Peers;
use super::snapshot::SnapshotData;
use super::snapshot_transfer;
use super::transport::{Answer, Answers, Call, CallError, Lane, Peer};
use super::types::{AppendResult, Member, Metrics, TypeConfig};
use crate::pb::v1;

/// A peer that owes an answer to an append this long is taken for hung: openraft would wait for ever.
const APPEND_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The metrics of the Raft that the network belongs to; not there before Raft has started.
pub(crate) type QuorumMetrics = Arc<OnceLock<WatchReceiverOf<TypeConfig, Metrics>>>;

/// Makes openraft's connections.
pub(crate) struct Network {
    me: u64,
    peers: Arc<Peers>,
    quorum: QuorumMetrics,
}

impl Network {
    pub(crate) fn new(me: u64, peers: Arc<Peers>, quorum: QuorumMetrics) -> Network {
        Network { me, peers, quorum }
    }

    fn connection(&self, target: u64, member: &Member, lane: Lane) -> Connection {
        Connection {
            me: self.me,
            peers: Arc::clone(&self.peers),
            quorum: Arc::clone(&self.quorum),
            target,
            address: member.address.clone(),
            lane,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, member: &Member) -> Connection {
        self.connection(target, member, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, member: &Member) -> Connection {
        self.connection(target, member, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, member: &Member) -> Connection {
        self.connection(target, member, Lane::Snapshot)
    }
}

/// One of openraft's connections to a peer.
pub(crate) struct Connection {
    me: u64,
    peers: Arc<Peers>,
    quorum: QuorumMetrics,
    target: u64,
    /// Where the target was when openraft asked for the connection.
    address: String,
    lane: Lane,
}

impl Connection {
    /// Asks the target where it is by the membership of now: openraft keeps a connection for as long as
    /// its target is a member, also when that comes back at another address.
    async fn ask<T>(
        &self,
        lane: Lane,
        question: impl FnOnce(&dyn Peer) -> Answer<T>,
    ) -> Result<T, CallError> {
        let address = self.quorum.get().and_then(|metrics| {
            let metrics = metrics.borrow_watched();
            let member = metrics.membership_config.membership().get_node(&self.target)?;
            Some(member.address.clone())
        });
        self.peers.ask(address.as_ref().unwrap_or(&self.address), lane, question).await
    }

    fn call(&self, timeout: Duration) -> Call {
        self.peers.call(self.target, timeout)
    }

    fn failures(&self, action: RPCTypes) -> Failures {
        Failures { me: self.me, target: self.target, action }
    }
}

/// Turns failed calls into openraft's errors.
#[derive(Clone, Copy)]
struct Failures {
    me: u64,
    target: u64,
    action: RPCTypes,
}

impl Failures {
    fn of(self, timeout: Duration) -> impl Fn(CallError) -> RPCError<TypeConfig> {
        move |err| match err {
            // A refusal is no better than an absence: it lasts until the peer is another one.
            CallError::Unreachable(_) | CallError::Lost(_) | CallError::Refused(_) => {
                RPCError::Unreachable(Unreachable::new(&AnyError::error(err)))
            }
            CallError::Timeout => RPCError::Timeout(Timeout {
                action: self.action,
                id: self.me,
                target: self.target,
                timeout,
            }),
            CallError::Failed(_) => RPCError::Network(NetworkError::new(&AnyError::error(err))),
        }
    }
}

fn senseless(err: &impl Display) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&AnyError::error(err)))
}

impl Connection {
    async fn ask_for_vote(
        &self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
        pre_vote: bool,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let timeout = option.soft_ttl();
        let (call, request) = (self.call(timeout), convert::vote_request_to_pb(&request, pre_vote));
        let answer = self.ask(Lane::Control, |peer| peer.vote(call, request)).await;
        let answer = answer.map_err(self.failures(RPCTypes::Vote).of(timeout))?;
        convert::vote_reply_from_pb(&answer).map_err(|err| senseless(&err))
    }
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let one = stream::iter([request]);
        let mut answers = self.stream_append(one, option).await?;
        match answers.next().await {
            Some(answer) => answer.map(AppendEntriesResponse::from),
            None => Err(senseless(&io::Error::from(io::ErrorKind::UnexpectedEof))),
        }
    }

    fn stream_append<S>(
        &mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<
        '_,
        Result<BoxStream<'_, Result<AppendResult, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let answers = stream::once(async move {
            type Results = BoxStream<'static, Result<AppendResult, RPCError<TypeConfig>>>;
            // openraft sleeps its back-off in here: whoever calls before asking spins on a dead peer.
            let Some(first) = input.next().await else {
                return Ok::<Results, RPCError<TypeConfig>>(stream::empty().boxed());
            };
            let (timeout, failures) = (option.soft_ttl(), self.failures(RPCTypes::AppendEntries));
            let owed = Arc::new(AtomicU64::new(0));
            let (counted, quorum) = (Arc::clone(&owed), Arc::clone(&self.quorum));
            let requests = stream::iter([first]).chain(input).map(move |request| {
                counted.fetch_add(1, Ordering::Relaxed);
                let quorum_age_ms = quorum_age_ms(&quorum);
                v1::AppendRequest { quorum_age_ms, ..convert::append_to_pb(&request) }
            });
            let (call, requests) = (self.call(timeout), requests.boxed());
            let answers = self.ask(self.lane, |peer| peer.append(call, requests)).await;
            let answers = answers.map_err(failures.of(timeout))?;
            Ok(watched(answers, owed, failures).boxed())
        });
        Box::pin(std::future::ready(Ok(answers.try_flatten().boxed())))
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(request, option, false).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(request, option, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        // On top of that, a snapshot takes its time by its size.
        let timeout = option.hard_ttl() + snapshot_transfer::time_for(snapshot.snapshot.bytes);
        let chunks = snapshot_transfer::chunks(vote, &snapshot.snapshot);
        let call = self.call(timeout);
        let sending = self.ask(Lane::Snapshot, |peer| peer.install_snapshot(call, chunks));
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = sending => answer.map_err(self.failures(RPCTypes::InstallSnapshot).of(timeout))?,
        };
        let vote = answer.vote.as_ref().map(convert::vote_from_pb);
        let vote = vote.ok_or_else(|| senseless(&"an answer without a vote"))?;
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let timeout = option.soft_ttl();
        let (call, asked) = (self.call(timeout), convert::transfer_to_pb(&request));
        let answer = self.ask(Lane::Control, |peer| peer.transfer_leader(call, asked)).await;
        let answer = answer.map_err(self.failures(RPCTypes::TransferLeader).of(timeout))?;
        Ok(convert::transfer_reply_from_pb(&answer, &request))
    }
}

/// What a leader sends that no quorum has followed yet.
pub(crate) const QUORUM_AGE_UNKNOWN: u32 = u32::MAX;

/// How long ago a quorum followed this leader.
fn quorum_age_ms(quorum: &QuorumMetrics) -> u32 {
    let acked = quorum.get().and_then(|metrics| metrics.borrow_watched().last_quorum_acked);
    let age = acked.map(|acked| u32::try_from(acked.elapsed().as_millis()));
    age.map_or(QUORUM_AGE_UNKNOWN, |age| age.unwrap_or(QUORUM_AGE_UNKNOWN))
}

/// The answers, ended by an error when one that is owed does not come.
fn watched(
    answers: Answers<v1::AppendResponse>,
    owed: Arc<AtomicU64>,
    failures: Failures,
) -> impl Stream<Item = Result<AppendResult, RPCError<TypeConfig>>> {
    stream::try_unfold((answers, 0_u64), move |(mut answers, mut received)| {
        let owed = Arc::clone(&owed);
        async move {
            let answer = loop {
                match tokio::time::timeout(APPEND_ANSWER_TIMEOUT, answers.next()).await {
                    Ok(answer) => break answer,
                    Err(_) if owed.load(Ordering::Relaxed) > received => {
                        return Err(failures.of(APPEND_ANSWER_TIMEOUT)(CallError::Timeout));
                    }
                    Err(_) => {}
                }
            };
            let Some(answer) = answer else {
                // Without an error openraft would ask again at once, for ever.
                let broken = owed.load(Ordering::Relaxed) > received;
                let lost = || CallError::Lost("the peer ended the stream".to_owned());
                return if broken {
                    Err(failures.of(APPEND_ANSWER_TIMEOUT)(lost()))
                } else {
                    Ok(None)
                };
            };
            let answer = answer.map_err(failures.of(APPEND_ANSWER_TIMEOUT))?;
            received += 1;
            let result = convert::append_result_from_pb(&answer).map_err(|err| senseless(&err))?;
            Ok(Some((result, (answers, received))))
        }
    })
}
