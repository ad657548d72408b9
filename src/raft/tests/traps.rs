//! Traps of openraft that the network or the timing would fall into.

use std::time::Duration;

use super::cluster::{Cluster, THREE};

/// openraft waits between attempts only inside the stream of requests: an error before the first one
/// is asked for would be tried again at once, tens of thousands of times a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peer_is_not_called_in_a_busy_loop() {
    const CALLS_PER_SECOND_MAX: usize = 500;
    const SECONDS: usize = 2;
    let mut cluster = Cluster::of(THREE, 20_000).await;
    cluster.push("a", 1, "before", 1.0).await;
    let leader = cluster.leader_among(THREE).await;
    let dead = THREE.iter().copied().find(|name| *name != leader).unwrap();
    cluster.stop(dead).await;
    let before = cluster.net.calls_in_vain();
    // Entries that the dead one lacks are what makes the leader try.
    for request in 2..22 {
        cluster.push(leader, request, "meanwhile", 1.0).await;
        tokio::time::sleep(Duration::from_secs(SECONDS as u64) / 20).await;
    }
    let calls = cluster.net.calls_in_vain() - before;
    assert!(calls > 0, "nobody called");
    assert!(calls < SECONDS * CALLS_PER_SECOND_MAX, "{calls} calls in {SECONDS} s");
    cluster.start(dead).await;
    cluster.until_ready(&[dead]).await;
    cluster.agree(THREE).await;
}
