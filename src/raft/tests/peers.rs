//! Connections that lead to somebody else.

use std::time::Duration;

use tokio::time::Instant;

use super::cluster::{Cluster, THREE, address};
use crate::pb::v1;
use crate::raft::peers::Peers;
use crate::raft::transport::{CallError, Lane};

const NAME: &str = "gate:1";
const PATIENCE: Duration = Duration::from_secs(30);

async fn ask(peers: &Peers, node: u64) -> Result<v1::ReadIndexResponse, CallError> {
    let call = peers.call(node, PATIENCE);
    let request = v1::ReadIndexRequest { timeout_ms: 10_000 };
    peers.ask(NAME, Lane::Control, |peer| peer.read_index(call, request)).await
}

/// The address behind a name has passed to another replica, which is well and refuses; only a new
/// connection leads to whoever has the name now.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_who_refuses_is_made_anew_and_not_at_every_call() {
    let cluster = Cluster::of(THREE, 20_000).await;
    let status = cluster.replica("a").status();
    let meant = status.members.iter().find(|member| member.name == "b").unwrap().id;
    let peers = Peers::new(cluster.net.at("127.0.0.9:1"), status.cluster_id.unwrap(), 9);
    cluster.net.name(NAME, &address("a"));
    let begun = Instant::now();
    for _ in 0..200 {
        let refused = ask(&peers, meant).await.unwrap_err();
        assert!(matches!(&refused, CallError::Refused(text) if text.contains("is not here")));
    }
    let made = cluster.net.connections_to(NAME);
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!((1..=1 + seconds).contains(&made), "{made} connections in {seconds} s");

    cluster.net.name(NAME, &address("b"));
    let answer = loop {
        match ask(&peers, meant).await {
            Err(CallError::Refused(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            answer => break answer,
        }
        assert!(begun.elapsed() < PATIENCE, "it is never asked for where the name leads now");
    };
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(cluster.net.connections_to(NAME), made + 1);
}
