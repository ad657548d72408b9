//! Calls that are not meant for who gets them.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::cluster::{Cluster, THREE, address};
use crate::pb::v1;
use crate::raft::transport::{Call, CallError, Lane, Peer, Route};

/// Higher than any that comes about here.
const TERM: u64 = 1_000;

/// What is said to every call that only a certain member of a certain cluster may answer.
async fn answers(peer: &dyn Peer, call: Call) -> Vec<(&'static str, Option<CallError>)> {
    let vote = v1::Vote { term: TERM, node_id: call.route.from, committed: false };
    let vote = v1::VoteRequest { vote: Some(vote), ..v1::VoteRequest::default() };
    let append = stream::iter([v1::AppendRequest::default()]).boxed();
    let snapshot = stream::iter([v1::SnapshotChunk::default()]).boxed();
    vec![
        ("vote", peer.vote(call, vote).await.err()),
        ("append", peer.append(call, append).await.err()),
        ("snapshot", peer.install_snapshot(call, snapshot).await.err()),
        ("transfer", peer.transfer_leader(call, v1::TransferLeaderRequest::default()).await.err()),
        ("propose", peer.propose(call, v1::ProposeRequest::default()).await.err()),
        ("read index", peer.read_index(call, v1::ReadIndexRequest::default()).await.err()),
        ("members", peer.change_members(call, v1::ChangeMembersRequest::default()).await.err()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_another_cluster_or_another_replica_is_refused() {
    let cluster = Cluster::of(THREE, 20_000).await;
    let leader = cluster.leader_among(THREE).await;
    let before = cluster.replica(leader).status();
    let id_of = |name: &str| before.members.iter().find(|member| member.name == name).unwrap().id;
    let other = THREE.iter().copied().find(|name| *name != leader).unwrap();
    let peer = cluster.net.at("127.0.0.9:1").connect(&address(leader), Lane::Control);
    // Somebody whom it knows is asking.
    let meant =
        Route { cluster: before.cluster_id.unwrap(), from: id_of(other), to: id_of(leader) };
    for (route, reason) in [
        (Route { cluster: [1; 16], ..meant }, "belongs to another cluster"),
        (Route { to: id_of(other), ..meant }, "is not here"),
    ] {
        let call = Call { route, timeout: Duration::from_secs(10) };
        for (name, answer) in answers(&*peer, call).await {
            assert!(
                matches!(&answer, Some(CallError::Refused(text)) if text.contains(reason)),
                "{name}: {answer:?} instead of {reason:?}"
            );
        }
    }
    assert!(cluster.replica(leader).status().term < TERM, "a vote was counted");

    let call = Call { route: meant, timeout: Duration::from_secs(10) };
    for (name, answer) in answers(&*peer, call).await {
        assert!(!matches!(answer, Some(CallError::Refused(_))), "{name}: {answer:?}");
    }
    cluster.agree(THREE).await;
}
