//! The seam to other replicas: what can be asked of a peer, whatever carries it there.
//!
//! Two implementations: `grpc` over TCP, and the network of the tests, whose links can be cut.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::pb::v1;

/// Which of a peer's connections a call takes: what must be prompt never queues behind what is large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Heartbeats, votes, read indexes, questions.
    Control,
    /// Log entries and forwarded proposals.
    Log,
    /// Snapshots.
    Snapshot,
}

/// From whom to whom, in which cluster. Whoever is not meant refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Route {
    /// All zero: none yet.
    pub(crate) cluster: [u8; 16],
    pub(crate) from: u64,
    /// 0: whoever is at that address.
    pub(crate) to: u64,
}

/// How a call is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) route: Route,
    /// After this time there is no answer.
    pub(crate) timeout: Duration,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The peer is not there.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The connection broke; the peer may have acted.
    #[error("lost: {0}")]
    Lost(String),
    /// The peer did not answer in time; it may have acted.
    #[error("no answer in time")]
    Timeout,
    /// The call was not meant for who got it.
    #[error("refused: {0}")]
    Refused(String),
    /// The peer failed, or its answer makes no sense.
    #[error("failed: {0}")]
    Failed(String),
}

pub(crate) type Answer<T> = BoxFuture<'static, Result<T, CallError>>;
pub(crate) type Requests<T> = BoxStream<'static, T>;
pub(crate) type Answers<T> = BoxStream<'static, Result<T, CallError>>;

/// Makes connections.
pub(crate) trait Transport: Send + Sync + 'static {
    /// A connection that is made when it is first needed, and again whenever it is lost.
    fn connect(&self, address: &str, lane: Lane) -> Arc<dyn Peer>;
}

/// A connection to a peer.
pub(crate) trait Peer: Send + Sync {
    fn identify(&self, call: Call, request: v1::IdentifyRequest) -> Answer<v1::IdentifyResponse>;
    fn vote(&self, call: Call, request: v1::VoteRequest) -> Answer<v1::VoteResponse>;
    /// The timeout holds for the beginning of the answers only.
    fn append(
        &self,
        call: Call,
        requests: Requests<v1::AppendRequest>,
    ) -> Answer<Answers<v1::AppendResponse>>;
    fn install_snapshot(
        &self,
        call: Call,
        chunks: Requests<v1::SnapshotChunk>,
    ) -> Answer<v1::InstallSnapshotResponse>;
    fn transfer_leader(
        &self,
        call: Call,
        request: v1::TransferLeaderRequest,
    ) -> Answer<v1::TransferLeaderResponse>;
    fn propose(&self, call: Call, request: v1::ProposeRequest) -> Answer<v1::ProposeResponse>;
    fn read_index(
        &self,
        call: Call,
        request: v1::ReadIndexRequest,
    ) -> Answer<v1::ReadIndexResponse>;
    fn change_members(
        &self,
        call: Call,
        request: v1::ChangeMembersRequest,
    ) -> Answer<v1::ChangeMembersResponse>;
}
