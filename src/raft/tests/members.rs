//! Changes of the membership at bad moments.

use std::time::Duration;

use tokio::time::Instant;

use super::cluster::{Cluster, THREE, address, eventually};
use super::soon;
use crate::pb::v1;
use crate::pb::v1::change_members_request::Change;
use crate::raft::members::{self, LAG_MAX, Refused, STABLE_FOR};
use crate::raft::replica::MemberChange;
use crate::raft::running::Timing;
use crate::raft::status::{MemberStatus, Role};

/// A member as another replica sees it.
fn member(cluster: &Cluster, at: &str, name: &str) -> Option<MemberStatus> {
    cluster.replica(at).status().members.into_iter().find(|member| member.name == name)
}

/// The one that died is still held for alive when another one is to be removed: with it gone, the
/// removal could never be committed, and no other change would be taken meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_counts_on_nobody_who_has_died_this_moment() {
    let cluster = Cluster::of(THREE, 20_000).await;
    let leader = cluster.leader_among(THREE).await;
    let others: Vec<&str> = THREE.iter().copied().filter(|name| *name != leader).collect();
    let id_of = |name: &str| member(&cluster, leader, name).unwrap().id;
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

/// It hears its leader, and has nothing of what it would have to vouch for as a voter.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_becomes_a_voter_when_it_has_caught_up_for_a_while_and_not_before() {
    let mut cluster = Cluster::of(&["a"], 20_000).await;
    for request in 0..LAG_MAX + 10 {
        cluster.push("a", request, "job", 1.0).await;
    }
    cluster.net.starve(&address("a"), &address("b"));
    cluster.add("b").await;
    let id = eventually("b to be a member", || Some(member(&cluster, "a", "b")?.id)).await;
    eventually("the leader to hear from it", || {
        let metrics = cluster.replica("a").running().unwrap().metrics();
        members::alive(&metrics, id).then_some(())
    })
    .await;
    // Had it caught up, it would be a voter after this.
    tokio::time::sleep(4 * STABLE_FOR).await;
    let learner = member(&cluster, "a", "b").unwrap();
    assert_eq!((learner.role, learner.voter), (Role::Learner, false));
    assert!(learner.lag > LAG_MAX, "{learner:?}");
    let shortly = Instant::now() + Duration::from_secs(1);
    let refused = cluster.replica("a").change_members(MemberChange::Promote(id), shortly).await;
    assert!(
        matches!(&refused, Err(Refused::Now(text)) if text.contains("cannot vote yet: it lacks all")),
        "{refused:?}"
    );
    cluster.push("a", 1000, "job", 2.0).await;

    let healed = Instant::now();
    cluster.net.heal();
    cluster.until_voters("a", &["a", "b"]).await;
    assert!(healed.elapsed() >= STABLE_FOR, "a voter after {:?}", healed.elapsed());
    cluster.push("b", 1001, "job", 3.0).await;
    cluster.agree(&["a", "b"]).await;
}

/// Beside one voter, and beside two of three that are left: a quorum would need it.
#[tokio::test(flavor = "multi_thread")]
async fn a_learner_that_is_gone_is_not_made_a_voter() {
    for founders in [&["a"][..], THREE] {
        let cluster = Cluster::of(founders, 20_000).await;
        let leader = cluster.leader_among(founders).await;
        if let Some(dies) = founders.iter().find(|name| **name != leader) {
            cluster.net.isolate(&address(dies));
        }
        let replica = cluster.replica(leader);
        let gone = v1::Member { node_id: 99, name: "z".to_owned(), address: address("z") };
        replica.running().unwrap().members.change(Change::Join(gone), soon()).await.unwrap();
        let shortly = Instant::now() + Duration::from_secs(1);
        let refused = replica.change_members(MemberChange::Promote(99), shortly).await;
        assert!(
            matches!(&refused, Err(Refused::Now(text)) if text.contains("it does not answer")),
            "{refused:?}"
        );
        assert_eq!(member(&cluster, leader, "z").unwrap().role, Role::Learner);
        cluster.push(leader, 1, "job", 1.0).await;
    }
}

/// The same of one that has caught up and answered a moment ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_counts_on_nobody_who_has_died_this_moment() {
    let mut cluster = Cluster::of(&["a"], 20_000).await;
    cluster.net.starve(&address("a"), &address("b"));
    cluster.add("b").await;
    let id = eventually("b to be a member", || Some(member(&cluster, "a", "b")?.id)).await;
    cluster.net.heal();
    eventually("it to catch up", || {
        let metrics = cluster.replica("a").running().unwrap().metrics();
        members::lacks(&metrics, id).is_none().then_some(())
    })
    .await;
    cluster.net.isolate(&address("b"));
    if member(&cluster, "a", "b").unwrap().voter {
        // The machine has stood still so long that there is nothing to be seen.
        return;
    }
    let refused = cluster.replica("a").change_members(MemberChange::Promote(id), soon()).await;
    assert!(
        matches!(&refused, Err(Refused::Never(text)) if text.contains("1 of 2 voters")),
        "{refused:?}"
    );
    cluster.push("a", 1, "job", 1.0).await;
    cluster.net.heal();
    cluster.until_voters("a", &["a", "b"]).await;
    cluster.agree(&["a", "b"]).await;
}

/// It hears of no leader any more, and whatever it does about that, nobody follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_removed_and_runs_on_disturbs_nobody() {
    // Slow, so that no other election comes of a busy machine.
    let timing =
        Timing { heartbeat: Duration::from_millis(100), election: Duration::from_millis(1500) };
    let cluster = Cluster::timed(THREE, 20_000, timing).await;
    let leader = cluster.leader_among(THREE).await;
    let removed = THREE.iter().copied().find(|name| *name != leader).unwrap();
    let left: Vec<&str> = THREE.iter().copied().filter(|name| *name != removed).collect();
    let id = member(&cluster, leader, removed).unwrap().id;
    let led = |name: &str| {
        let status = cluster.replica(name).status();
        (status.term, status.leader)
    };
    let before = led(leader);
    cluster.replica(leader).change_members(MemberChange::Remove(id), soon()).await.unwrap();
    cluster.until_voters(leader, &left).await;
    eventually("the removed one not to be ready", || {
        let ready = cluster.replica(removed).health().ready;
        ready.iter().any(|check| !check.ok).then_some(())
    })
    .await;
    tokio::time::sleep(5 * timing.election).await;
    for name in &left {
        assert_eq!(led(name), before, "{name}");
        cluster.push(name, 1, "job", 1.0).await;
    }
    assert!(cluster.replica(removed).health().ready.iter().any(|check| !check.ok));
    cluster.agree(&left).await;
}
