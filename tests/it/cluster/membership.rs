//! Replicas join, become voters, leave, and lose their disks, while clients push and scrape.

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::http::Response;
use crate::harness::process::PATIENCE;
use crate::harness::{copy_folder, eventually};

use super::load::{Front, Load};

const ADMIN: &str = "--web.enable-admin-api";
/// Changes between two events.
const SOME: usize = 30;
const FIVE: &[&str] = &["g1", "g2", "g3", "g4", "g5"];

fn admin(cluster: &Cluster, at: &str, what: &str) -> Response {
    cluster.send(at, "PUT", &format!("/api/v1/admin/{what}"), "")
}

/// A change that must be made.
fn done(cluster: &Cluster, at: &str, what: &str) {
    let answer = admin(cluster, at, what);
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
}

fn until_unreachable(cluster: &Cluster, at: &str, name: &str) {
    eventually(PATIENCE, &format!("{name} to be missed"), || {
        (cluster.member(at, name, "reachable") == false).then_some(())
    });
}

#[test]
fn a_cluster_grows_from_one_to_five_and_shrinks_to_three_under_load() {
    let mut cluster = Cluster::of(&["g1"], &[ADMIN]);
    let front = Front::of(&cluster, &["g1"]);
    let load = Load::start(&front);
    for joins in [&FIVE[1..3], &FIVE[3..]] {
        load.more(SOME);
        for name in joins {
            cluster.start(name);
        }
        for name in joins {
            cluster.until_ready(&[name]);
            // A learner serves, too.
            front.open(&cluster, name);
        }
        load.more(SOME);
        let all = cluster.running();
        cluster.until_voters(&all, &all);
    }
    let id = cluster.id(FIVE);
    load.more(SOME);

    // The leader goes first: it hands over and lets another one remove it.
    for _ in 0..2 {
        let leaves = cluster.leader();
        let asked = cluster.follower();
        front.drain(leaves);
        done(&cluster, asked, &format!("member/remove?member={leaves}"));
        cluster.kill(leaves);
        load.more(SOME);
    }
    let left = cluster.running();
    cluster.until_voters(&left, &left);
    assert_eq!(cluster.id(&left), id);
    load.finish().check("from one to five to three", &cluster, &left);
}

#[test]
fn the_lead_goes_where_it_is_asked_to_go() {
    let cluster = Cluster::of(THREE, &[ADMIN]);
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    for name in ["g2", "g3", "g1", "g1"] {
        load.more(SOME);
        done(&cluster, "g1", &format!("leader/transfer?member={name}"));
        // Elections of their own may follow on a busy machine, but not at once.
        let led = cluster.status(name)["leader"].as_str().unwrap().to_owned();
        assert_eq!(led, name);
    }
    let before = cluster.leader();
    done(&cluster, "g1", "leader/transfer");
    eventually(PATIENCE, "another leader", || (cluster.leader() != before).then_some(()));
    load.more(SOME);
    let unknown = admin(&cluster, "g1", "leader/transfer?member=g9");
    assert_eq!(unknown.status, 400, "{}", unknown.text());
    assert!(unknown.text().contains("there are: g1, g2, g3"), "{}", unknown.text());
    load.finish().check("transfers of the lead", &cluster, THREE);
}

#[test]
fn a_removal_that_would_lose_the_quorum_is_refused() {
    // The leader is not to change because the machine is slow.
    let flags = [
        ADMIN,
        "--cluster.election-timeout=5s",
        "--limits.request-timeout=10s",
        "--read.timeout=2s",
    ];
    let mut cluster = Cluster::of(THREE, &flags);
    let gone = cluster.follower();
    cluster.kill(gone);
    let left = cluster.running();
    let leader = cluster.leader();
    for name in &left {
        until_unreachable(&cluster, name, gone);
    }
    for name in &left {
        for at in &left {
            let answer = admin(&cluster, at, &format!("member/remove?member={name}"));
            assert_eq!(answer.status, 409, "{}", answer.text());
            assert!(answer.text().contains("nothing would be accepted"), "{}", answer.text());
        }
        cluster.push(name, "job/j", "a 1\n");
    }
    assert_eq!(cluster.leader(), leader, "a refused removal of the leader changes nothing");
    // Who is gone may go.
    done(&cluster, left[0], &format!("member/remove?member={gone}"));
    cluster.until_voters(&left, &left);
    cluster.push(left[1], "job/j", "a 2\n");
    // It finds no way back by itself, and harms nobody.
    cluster.start(gone);
    eventually(PATIENCE, "the removed replica not to be ready", || {
        (cluster.ready(gone).status == 503).then_some(())
    });
    // It may still know who leads and pass a push on, but has nothing to show itself.
    let push = cluster.send(gone, "PUT", "/metrics/job/late", "c 1\n");
    assert!([200, 503].contains(&push.status), "{}: {}", push.status, push.text());
    let stored = cluster.scrape(left[0]).contains("c{instance=\"\",job=\"late\"} 1\n");
    assert!(stored || push.status == 503);
    assert_eq!(cluster.send(gone, "GET", "/metrics", "").status, 503);
    cluster.push(left[0], "job/j", "a 4\n");
    cluster.until_voters(&left, &left);
    cluster.agree(&left);
}

#[test]
fn a_replica_without_its_disk_comes_back_as_another_node_in_its_place() {
    let mut cluster = Cluster::of(THREE, &["--storage.snapshot-entries=50"]);
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    // A follower, then a leader.
    for round in 0..2 {
        load.more(SOME);
        let wiped = if round == 0 { cluster.follower() } else { cluster.leader() };
        let at = THREE.iter().copied().find(|name| *name != wiped).unwrap();
        let (cluster_id, node) = (cluster.id(THREE), cluster.member(at, wiped, "id"));
        front.give_up(wiped);
        cluster.kill(wiped);
        cluster.wipe_disk(wiped);
        load.more(SOME);
        cluster.start(wiped);
        cluster.until_ready(&[wiped]);
        cluster.until_voters(THREE, THREE);
        assert_ne!(cluster.member(at, wiped, "id"), node, "it is another node");
        assert_eq!(cluster.id(THREE), cluster_id);
        front.open(&cluster, wiped);
    }
    load.more(SOME);
    load.finish().check("lost disks", &cluster, THREE);
}

#[test]
fn a_replica_that_was_away_catches_up_by_snapshot() {
    let mut cluster = Cluster::of(THREE, &["--storage.snapshot-entries=40"]);
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    load.more(SOME);
    let away = cluster.follower();
    front.give_up(away);
    let seen = cluster.server(away).metric("quorumgate_applied_index").unwrap();
    cluster.kill(away);
    for name in cluster.running() {
        eventually(2 * PATIENCE, "the log it needs to be purged", || {
            load.more(40);
            let server = cluster.server(name);
            // Asked for first, so that what is kept never seems to begin later than it does.
            let applied = server.metric("quorumgate_applied_index")?;
            (applied - server.metric("quorumgate_log_entries")? > seen + 40.0).then_some(())
        });
    }
    cluster.start(away);
    cluster.until_ready(&[away]);
    front.open(&cluster, away);
    load.more(SOME);
    let said = cluster.server(away).stderr();
    assert!(said.contains("received a snapshot from the leader"), "{said}");
    load.finish().check("catching up by snapshot", &cluster, THREE);
    // What it has on its disk is whole.
    let before = cluster.scrape(away);
    for name in THREE {
        cluster.kill(name);
    }
    for name in THREE {
        cluster.start(name);
    }
    cluster.until_ready(THREE);
    assert_eq!(cluster.scrape(away), before);
    cluster.agree(THREE);
}

/// All that anybody still knows of what was on the disk is on the other disks.
#[test]
fn a_member_whose_disk_is_an_old_copy_comes_back_as_another_node() {
    let mut cluster = Cluster::of(THREE, &[]);
    cluster.push("g1", "job/before", "a 1\n");
    let old = "g3";
    let id = cluster.member("g1", old, "id");
    cluster.stop(old);
    let backup = tempfile::tempdir().unwrap();
    copy_folder(&cluster.disk(old), backup.path());
    cluster.start(old);
    cluster.until_ready(THREE);
    let others = ["g1", "g2"];
    for round in 0..2 {
        // What is written first may be from before the push; what is written after that is not.
        let witnesses =
            || others.map(|name| std::fs::read(cluster.disk(name).join("WITNESS")).ok());
        let before = witnesses();
        cluster.push(old, &format!("job/after/round/{round}"), "a 1\n");
        eventually(PATIENCE, "the others to have written down what they know", || {
            let now = witnesses();
            (0..others.len()).all(|at| now[at] != before[at]).then_some(())
        });
    }
    let stored = cluster.scrape("g1");
    for name in THREE {
        cluster.kill(name);
    }
    cluster.wipe_disk(old);
    copy_folder(backup.path(), &cluster.disk(old));
    for name in [old, "g1", "g2"] {
        cluster.start(name);
    }
    cluster.until_ready(THREE);
    cluster.until_voters(THREE, THREE);
    assert_ne!(cluster.member("g1", old, "id"), id, "it went on as the member that had forgotten");
    assert!(cluster.disk(old).join("set-aside-1/IDENTITY").exists());
    assert_eq!(cluster.scrape(old), stored);
    cluster.push(old, "job/last", "a 1\n");
    cluster.agree(THREE);
}
