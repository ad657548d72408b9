//! Changes of the membership at bad moments.

use super::cluster::{Cluster, THREE, address, eventually};
use super::soon;
use crate::raft::members::{self, Refused};
use crate::raft::replica::MemberChange;

/// The one that died is still held for alive when another one is to be removed: with it gone, the
/// removal could never be committed, and no other change would be taken meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_counts_on_nobody_who_has_died_this_moment() {
    let cluster = Cluster::of(THREE, 20_000).await;
    let leader = cluster.leader_among(THREE).await;
    let others: Vec<&str> = THREE.iter().copied().filter(|name| *name != leader).collect();
    let id_of = |name: &str| {
        let members = cluster.replica(leader).status().members;
        members.into_iter().find(|member| member.name == name).unwrap().id
    };
    let (dies, goes) = (id_of(others[0]), id_of(others[1]));
    let alive = || {
        let metrics = cluster.replica(leader).running().unwrap().metrics();
        members::alive(&metrics, dies)
    };
    eventually("the leader to hear from it", || alive().then_some(())).await;
    cluster.net.isolate(&address(others[0]));
    let refused = cluster.replica(leader).change_members(MemberChange::Remove(goes), soon()).await;
    assert!(
        matches!(&refused, Err(Refused::Never(text)) if text.contains("needed")),
        "{refused:?}"
    );
    // The two that are left go on, and the third one is welcome.
    cluster.push(leader, 1, "job", 1.0).await;
    cluster.push(others[1], 2, "job", 2.0).await;
    assert_eq!(cluster.members_of(leader).len(), THREE.len());
    cluster.net.heal();
    cluster.agree(THREE).await;
}
