//! Who leads, as far as this replica knows, and the way there.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;

use crate::pb::v1;

use super::peers::Peers;
use super::transport::{Answer, Call, CallError, Lane, Peer};
use super::types::{Member, Raft, ServerMetrics};

/// Beyond what the leader takes, for the way to it and back.
const WAY: Duration = Duration::from_millis(250);

/// Tells who leads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LeaderView {
    raft: Raft,
    me: u64,
    peers: Arc<Peers>,
}

/// Who leads.
pub(crate) enum Leader {
    /// This replica, as it believes.
    Here(u64),
    /// Another one.
    At(LeaderPeer),
    /// An election is due or under way.
    Unknown,
}

impl LeaderView {
    pub(crate) fn new(raft: Raft, me: u64, peers: Arc<Peers>) -> LeaderView {
        LeaderView { raft, me, peers }
    }

    fn metrics(&self) -> ServerMetrics {
        // Cloned, since a borrowed watch value must not be held across an await.
        self.raft.server_metrics().borrow_watched().clone()
    }

    pub(crate) fn current(&self) -> Leader {
        let metrics = self.metrics();
        match metrics.current_leader {
            None => Leader::Unknown,
            Some(id) if id == self.me => Leader::Here(id),
            Some(id) => match metrics.membership_config.membership().get_node(&id) {
                Some(member) => Leader::At(LeaderPeer {
                    id,
                    member: member.clone(),
                    peers: Arc::clone(&self.peers),
                }),
                None => Leader::Unknown,
            },
        }
    }

    /// Waits until another than `leader` leads, or nobody.
    pub(crate) async fn replaced(&self, leader: Option<u64>) {
        let mut metrics = self.raft.server_metrics();
        while metrics.borrow_watched().current_leader == leader {
            if metrics.changed().await.is_err() {
                // Raft has ended; whoever waits must not spin.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until somebody leads, at most for `timeout`.
    pub(crate) async fn elected(&self, timeout: Duration) {
        // Either way the caller looks again.
        let _elapsed = tokio::time::timeout(timeout, self.replaced(None)).await;
    }
}

/// Another replica, which leads.
pub(crate) struct LeaderPeer {
    id: u64,
    member: Member,
    peers: Arc<Peers>,
}

impl LeaderPeer {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.member.name
    }

    pub(crate) async fn propose(
        &self,
        timeout: Duration,
        request: v1::ProposeRequest,
    ) -> Result<v1::ProposeResponse, CallError> {
        self.ask(Lane::Log, timeout, |peer, call| peer.propose(call, request)).await
    }

    pub(crate) async fn read_index(
        &self,
        timeout: Duration,
        request: v1::ReadIndexRequest,
    ) -> Result<v1::ReadIndexResponse, CallError> {
        self.ask(Lane::Control, timeout, |peer, call| peer.read_index(call, request)).await
    }

    pub(crate) async fn change_members(
        &self,
        timeout: Duration,
        request: v1::ChangeMembersRequest,
    ) -> Result<v1::ChangeMembersResponse, CallError> {
        self.ask(Lane::Control, timeout, |peer, call| peer.change_members(call, request)).await
    }

    async fn ask<T>(
        &self,
        lane: Lane,
        timeout: Duration,
        question: impl FnOnce(&dyn Peer, Call) -> Answer<T>,
    ) -> Result<T, CallError> {
        let call = self.peers.call(self.id, timeout + WAY);
        self.peers.ask(&self.member.address, lane, |peer| question(peer, call)).await
    }
}
