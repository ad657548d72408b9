//! Stories of several replicas in one process.

use std::collections::BTreeSet;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::net::Net;
use super::{TIMING, id, parts, push, soon};
use crate::group::Outcome;
use crate::raft::bootstrap;
use crate::raft::error::Unavailable;
use crate::raft::members::{self, Refused};
use crate::raft::recover;
use crate::raft::replica::{Consistency, MemberChange, Options, Reading, Replica};
use crate::raft::running::{Parts, Timing};
use crate::raft::service::Service;
use crate::raft::status::Role;
use crate::storage::Folder;
use crate::storage::testing::copy_dir;

/// How long anything in these stories may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    name: &'static str,
    folder: TempDir,
    replica: Option<Replica>,
}

pub(super) struct Cluster {
    pub(super) net: Net,
    /// Who forms the cluster.
    founders: Vec<&'static str>,
    snapshot_entries: u64,
    timing: Timing,
    nodes: Vec<Node>,
}

pub(super) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Cluster {
    /// Replicas that have formed a cluster.
    pub(super) async fn of(names: &[&'static str], snapshot_entries: u64) -> Cluster {
        Cluster::timed(names, snapshot_entries, TIMING).await
    }

    /// The same with another pace.
    pub(super) async fn timed(
        names: &[&'static str],
        snapshot_entries: u64,
        timing: Timing,
    ) -> Cluster {
        let (net, founders) = (Net::default(), names.to_vec());
        let mut cluster = Cluster { net, founders, snapshot_entries, timing, nodes: vec![] };
        for name in names {
            cluster.add(name).await;
        }
        cluster.until_ready(names).await;
        cluster
    }

    pub(super) async fn add(&mut self, name: &'static str) {
        let folder = tempfile::tempdir().unwrap();
        self.nodes.push(Node { name, folder, replica: None });
        self.start(name).await;
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.name == name).unwrap()
    }

    pub(super) fn replica(&self, name: &str) -> &Replica {
        let node = self.nodes.iter().find(|node| node.name == name).unwrap();
        node.replica.as_ref().unwrap()
    }

    pub(super) async fn start(&mut self, name: &'static str) {
        let join = self.founders.iter().map(|name| address(name)).collect();
        let expect = self.founders.len();
        let cluster = bootstrap::Options { address: address(name), join, expect };
        let path = self.node(name).folder.path().join("data");
        let storage =
            recover::Options { path, name: name.to_owned(), disk_free_min: 0, by_hand: None };
        let parts = parts(self.net.at(&address(name)), self.snapshot_entries);
        let parts = Parts { timing: self.timing, ..parts };
        let options = Options { storage, cluster: Some(cluster), parts };
        let (replica, rest) = Replica::prepare(options).await.unwrap();
        self.net.serve(&address(name), Service::new(replica.clone()));
        rest.await.unwrap();
        self.node(name).replica = Some(replica);
    }

    /// Stops a replica; its disk stays.
    pub(super) async fn stop(&mut self, name: &str) {
        self.net.leave(&address(name));
        let node = self.node(name);
        let replica = node.replica.take().unwrap();
        replica.shutdown().await.unwrap();
        drop(replica);
        let data = node.folder.path().join("data");
        eventually("the folder to be let go", || Folder::lock(&data).ok()).await;
    }

    pub(super) async fn until_ready(&self, names: &[&str]) {
        for name in names {
            eventually(&format!("{name} to be ready"), || {
                let health = self.replica(name).health();
                health.ready.iter().all(|check| check.ok).then_some(())
            })
            .await;
        }
    }

    pub(super) async fn leader_among(&self, names: &[&'static str]) -> &'static str {
        eventually("a leader", || {
            names.iter().copied().find(|name| {
                let status = self.replica(name).status();
                status.leader.as_deref() == Some(name) && status.healthy
            })
        })
        .await
    }

    pub(super) async fn push(&self, at: &str, request: u64, job: &str, value: f64) {
        let pushed = self.replica(at).propose(id(request), push(job, value), soon()).await;
        assert_eq!(pushed.unwrap().outcome, Outcome::Applied, "{at} {request}");
    }

    async fn read(&self, at: &str) -> Reading {
        self.replica(at).read(Consistency::Linearizable, soon()).await.unwrap()
    }

    /// All say the same.
    pub(super) async fn agree(&self, names: &[&str]) {
        for name in names {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let (first, other) = (self.read(names[0]).await, self.read(name).await);
                if other.index == first.index {
                    assert_eq!(other.view.digest(), first.view.digest(), "{name}");
                    break;
                }
                assert!(Instant::now() < deadline, "{name}");
            }
        }
    }

    pub(super) fn members_of(&self, at: &str) -> Vec<(String, Role, bool)> {
        let members = self.replica(at).status().members;
        members.into_iter().map(|m| (m.name, m.role, m.voter)).collect()
    }

    pub(super) async fn until_voters(&self, at: &str, names: &[&str]) {
        eventually(&format!("the voters {names:?}"), || {
            let members = self.members_of(at);
            let voters: BTreeSet<&str> =
                members.iter().filter(|m| m.2).map(|m| m.0.as_str()).collect();
            let whole = members.len() == names.len();
            (whole && voters == names.iter().copied().collect()).then_some(())
        })
        .await;
    }
}

pub(super) fn address(name: &str) -> String {
    let number = name.bytes().next().unwrap() - b'a';
    format!("127.0.0.{}:1", number + 1)
}

pub(super) const THREE: &[&str] = &["a", "b", "c"];

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_takes_anything_and_all_say_the_same() {
    let cluster = Cluster::of(THREE, 20_000).await;
    for request in 0..60 {
        let at = THREE[usize::try_from(request).unwrap() % 3];
        cluster.push(at, request, &format!("job{}", request % 7), 1.0).await;
        // What was acknowledged anywhere is seen everywhere at once.
        let other = THREE[usize::try_from(request + 1).unwrap() % 3];
        assert_eq!(cluster.read(other).await.view.group_count(), (request + 1).min(7));
    }
    cluster.agree(THREE).await;
    let status = eventually("all to be reachable", || {
        let status = cluster.replica("b").status();
        (status.healthy && status.failure_tolerance == 1).then_some(status)
    })
    .await;
    assert_eq!(status.members.iter().filter(|m| m.role == Role::Leader).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_is_replaced_and_says_so() {
    let cluster = Cluster::of(THREE, 20_000).await;
    cluster.push("a", 1, "before", 1.0).await;
    let old = cluster.leader_among(THREE).await;
    let others: Vec<&str> = THREE.iter().copied().filter(|name| *name != old).collect();
    cluster.net.isolate(&address(old));
    // A push there cannot be committed, and is not claimed to be.
    let lost = cluster.replica(old).propose(
        id(2),
        push("lost", 1.0),
        Instant::now() + Duration::from_millis(1500),
    );
    let fine = cluster.push(others[0], 3, "after", 1.0);
    let (lost, ()) = tokio::join!(lost, fine);
    let text = lost.unwrap_err().to_string();
    assert!(text.contains("of 3 voters reachable"), "{text}");
    let read = cluster
        .replica(old)
        .read(Consistency::Linearizable, Instant::now() + Duration::from_millis(500));
    assert!(matches!(read.await, Err(Unavailable::NoQuorum(_))));
    // It still answers whoever accepts an old state, and says how old it may be.
    let stale = Consistency::Stale(PATIENCE);
    let stale = cluster.replica(old).read(stale, soon()).await.unwrap();
    assert!(stale.age.unwrap() > Duration::from_millis(300), "{:?}", stale.age);
    let fresh = cluster.replica(old).read(Consistency::Stale(Duration::from_millis(100)), soon());
    assert!(matches!(fresh.await, Err(Unavailable::TooStale { .. })));
    cluster.agree(&others).await;
    cluster.net.heal();
    cluster.push(old, 4, "healed", 1.0).await;
    cluster.agree(THREE).await;
    let groups = cluster.read("a").await.view.group_count();
    assert!((3..=4).contains(&groups), "{groups}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_whose_answer_is_lost_takes_effect_once() {
    let cluster = Cluster::of(THREE, 20_000).await;
    let leader = cluster.leader_among(THREE).await;
    let follower = THREE.iter().copied().find(|name| *name != leader).unwrap();
    // The leader hears the follower; the follower does not hear the leader.
    cluster.net.cut(&address(leader), &address(follower));
    let replica = cluster.replica(follower).clone();
    let first = tokio::spawn(async move { replica.propose(id(1), push("job", 1.0), soon()).await });
    // It was committed all the same, and another client pushes over it.
    let deadline = Instant::now() + PATIENCE;
    while cluster.read(leader).await.view.group_count() == 0 {
        assert!(Instant::now() < deadline, "the push was not forwarded");
    }
    cluster.push(leader, 2, "job", 2.0).await;
    let digest = value_of(&cluster.read(leader).await);
    cluster.net.heal();
    assert_eq!(first.await.unwrap().unwrap().outcome, Outcome::Applied);
    assert_eq!(value_of(&cluster.read(follower).await), digest, "the retry came too late to count");
}

/// The pushed value in the exposition of the one group.
fn value_of(reading: &Reading) -> String {
    use crate::exposition::negotiate::negotiate;
    let exposition = reading.view.exposition(&[], negotiate(""), false);
    let bytes: Vec<u8> = exposition.frames.iter().flat_map(|f| f.to_vec()).collect();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().find(|line| line.starts_with("m{")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_away_too_long_catches_up_by_snapshot() {
    let mut cluster = Cluster::of(THREE, 20).await;
    cluster.push("a", 0, "first", 1.0).await;
    let away = {
        let leader = cluster.leader_among(THREE).await;
        THREE.iter().copied().find(|name| *name != leader).unwrap()
    };
    cluster.stop(away).await;
    let there: Vec<&str> = THREE.iter().copied().filter(|name| *name != away).collect();
    let mut request = 1;
    // Until the log that it lacks is purged on both.
    let deadline = Instant::now() + PATIENCE;
    while there.iter().any(|name| !purged_beyond(cluster.replica(name), 30)) {
        assert!(Instant::now() < deadline, "the log is not purged");
        for at in &there {
            cluster.push(at, request, &format!("job{}", request % 50), 1.0).await;
            request += 1;
        }
    }
    cluster.start(away).await;
    cluster.until_ready(&[away]).await;
    cluster.agree(THREE).await;
    // It is a full member again, on the disk too.
    cluster.stop(away).await;
    cluster.start(away).await;
    cluster.until_ready(&[away]).await;
    cluster.push(away, 100_000, "last", 1.0).await;
    cluster.agree(THREE).await;
}

fn purged_beyond(replica: &Replica, index: u64) -> bool {
    replica.running().unwrap().log.first_index() > Some(index)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go() {
    let mut cluster = Cluster::of(&["a"], 20_000).await;
    cluster.push("a", 1, "one", 1.0).await;
    for (name, voters) in [("b", &["a", "b"][..]), ("c", THREE)] {
        cluster.add(name).await;
        cluster.until_voters("a", voters).await;
    }
    cluster.until_ready(THREE).await;
    cluster.push("c", 2, "two", 1.0).await;
    cluster.agree(THREE).await;
    // A disk that was lost: the same name comes back as somebody else, and takes its place.
    cluster.stop("b").await;
    let before = cluster.replica("a").status();
    let data = cluster.node("b").folder.path().join("data");
    std::fs::remove_dir_all(data).unwrap();
    cluster.start("b").await;
    cluster.until_ready(&["b"]).await;
    cluster.until_voters("a", THREE).await;
    let after = cluster.replica("a").status();
    let id_of = |status: &crate::raft::status::ClusterStatus, name: &str| {
        status.members.iter().find(|m| m.name == name).unwrap().id
    };
    assert_ne!(id_of(&before, "b"), id_of(&after, "b"));
    cluster.agree(THREE).await;
    // A member that is dead leaves no quorum to remove a living one.
    cluster.stop("c").await;
    let (b, c) = (id_of(&after, "b"), id_of(&after, "c"));
    let leader = cluster.leader_among(&["a", "b"]).await;
    eventually("the leader to miss c", || {
        let metrics = cluster.replica(leader).running().unwrap().metrics();
        (!members::alive(&metrics, c)).then_some(())
    })
    .await;
    let refused = cluster.replica(leader).change_members(MemberChange::Remove(b), soon()).await;
    assert!(
        matches!(&refused, Err(Refused::Never(text)) if text.contains("needed")),
        "{refused:?}"
    );
    cluster.replica("b").change_members(MemberChange::Remove(c), soon()).await.unwrap();
    cluster.until_voters("b", &["a", "b"]).await;
    cluster.push("b", 3, "three", 1.0).await;
    // It does not come back by itself, and says why.
    cluster.start("c").await;
    eventually("c to say that it was removed", || {
        let ready = cluster.replica("c").health().ready;
        ready
            .iter()
            .any(|check| check.detail.contains("was removed from its cluster"))
            .then_some(())
    })
    .await;
    assert_eq!(cluster.members_of("b").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_disk_does_not_vote_and_joins_anew() {
    let mut cluster = Cluster::of(THREE, 20_000).await;
    cluster.push("a", 1, "before", 1.0).await;
    cluster.stop("c").await;
    let data = cluster.node("c").folder.path().join("data");
    let backup = tempfile::tempdir().unwrap();
    copy_dir(&data, backup.path());
    cluster.start("c").await;
    cluster.until_ready(THREE).await;
    for request in 2..30 {
        cluster.push("a", request, "after", 1.0).await;
    }
    cluster.agree(THREE).await;
    let old = cluster.replica("a").status().members.into_iter().find(|m| m.name == "c").unwrap();
    // What the others know must survive them.
    for name in ["a", "b"] {
        eventually("the others to have seen what c has", || {
            let seen = cluster.replica(name).running().unwrap().known_index(old.id);
            (seen >= 28).then_some(())
        })
        .await;
    }
    for name in ["a", "b"] {
        eventually("that to be on their disks", || {
            let known = cluster.replica(name).running().unwrap().folder.known().unwrap();
            known.get(&old.id).filter(|index| **index >= 28).copied()
        })
        .await;
    }
    cluster.stop("c").await;
    std::fs::remove_dir_all(&data).unwrap();
    copy_dir(backup.path(), &data);
    for name in ["a", "b"] {
        cluster.stop(name).await;
    }
    for name in ["c", "a", "b"] {
        cluster.start(name).await;
    }
    cluster.until_ready(THREE).await;
    cluster.until_voters("a", THREE).await;
    let new = cluster.replica("a").status().members.into_iter().find(|m| m.name == "c").unwrap();
    assert_ne!(old.id, new.id, "it went on as the member that had forgotten");
    assert!(data.join("set-aside-1/IDENTITY").exists());
    cluster.agree(THREE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_log_is_damaged_joins_anew() {
    let mut cluster = Cluster::of(THREE, 20_000).await;
    for request in 0..30 {
        cluster.push("a", request, &format!("job{request}"), 1.0).await;
    }
    cluster.stop("b").await;
    let log = cluster.node("b").folder.path().join("data/raft-log");
    let files = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let file = files.filter(|path| path.extension().is_some_and(|e| e == "raftlog")).max().unwrap();
    let content = std::fs::read(&file).unwrap();
    std::fs::write(&file, &content[..content.len() / 2]).unwrap();
    cluster.start("b").await;
    cluster.until_ready(&["b"]).await;
    cluster.until_voters("a", THREE).await;
    assert!(cluster.node("b").folder.path().join("data/set-aside-1/raft-log").exists());
    cluster.push("b", 100, "last", 1.0).await;
    cluster.agree(THREE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stopped_between_finding_and_joining_joins() {
    let mut cluster = Cluster::of(&["a"], 20_000).await;
    cluster.push("a", 1, "one", 1.0).await;
    // It knows its cluster and holds nothing of it.
    let folder = tempfile::tempdir().unwrap();
    let storage = recover::Options {
        path: folder.path().join("data"),
        name: "b".to_owned(),
        disk_free_min: 0,
        by_hand: None,
    };
    let (disk, mut identity) = recover::lock(&storage).unwrap();
    let node = identity.node;
    identity.cluster = cluster.replica("a").status().cluster_id.unwrap();
    disk.identify(&identity).unwrap();
    let metrics = crate::telemetry::Metrics::new();
    recover::open(disk, identity, &storage, &metrics).unwrap().close();
    eventually("the folder to be let go", || Folder::lock(&storage.path).ok()).await;
    cluster.nodes.push(Node { name: "b", folder, replica: None });
    cluster.start("b").await;
    cluster.until_ready(&["b"]).await;
    cluster.until_voters("a", &["a", "b"]).await;
    let members = cluster.replica("a").status().members;
    assert!(members.iter().any(|member| member.id == node), "{members:?}");
    cluster.agree(&["a", "b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_is_handed_over_without_a_failed_push() {
    let cluster = Cluster::of(THREE, 20_000).await;
    for round in 0..5_u64 {
        let leader = cluster.leader_among(THREE).await;
        let pushes = async {
            for n in 0..20 {
                for (k, at) in (0_u64..).zip(THREE) {
                    cluster.push(at, 1000 * round + n * 3 + k, "job", 1.0).await;
                }
            }
        };
        let before = cluster.replica(leader).status().applied_index;
        let hand_over = async {
            eventually("some pushes", || {
                (cluster.replica(leader).status().applied_index > before + 3).then_some(())
            })
            .await;
            let handed = cluster.replica(leader).change_members(MemberChange::Lead(None), soon());
            handed.await.unwrap();
        };
        tokio::join!(pushes, hand_over);
        eventually("another leader", || {
            let status = cluster.replica(leader).status();
            status.leader.filter(|now| now != leader)
        })
        .await;
    }
    cluster.agree(THREE).await;
}
