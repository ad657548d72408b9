//! Who counts: five voters with fewer and fewer left, members that are gone for long, and one that
//! moves.

use std::time::Duration;

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::eventually;
use crate::harness::process::PATIENCE;

const FIVE: &[&str] = &["g1", "g2", "g3", "g4", "g5"];
const SEVEN: &[&str] = &["g1", "g2", "g3", "g4", "g5", "g6", "g7"];

fn push_at_all(cluster: &Cluster, round: &str) {
    let round = round.replace(' ', "-");
    for name in cluster.running() {
        cluster.push(name, &format!("job/{round}/at/{name}"), "a 1\n");
    }
}

fn until_missed(cluster: &Cluster, at: &str, name: &str) {
    eventually(PATIENCE, &format!("{name} to be missed"), || {
        (cluster.member(at, name, "reachable") == false).then_some(())
    });
}

#[test]
fn five_voters_go_on_without_two_and_wait_without_three() {
    let flags = ["--limits.request-timeout=10s", "--read.timeout=3s"];
    let mut cluster = Cluster::of(FIVE, &flags);
    push_at_all(&cluster, "five");
    let mut gone = Vec::new();
    // A leader, then a follower.
    for (leads, round) in [(true, "four"), (false, "three")] {
        let dies = if leads { cluster.leader() } else { cluster.follower() };
        cluster.kill(dies);
        gone.push(dies);
        cluster.leader();
        push_at_all(&cluster, round);
        cluster.agree(&cluster.running());
    }
    let left = cluster.running();
    let before = cluster.scrape(left[0]);

    let dies = cluster.follower();
    cluster.kill(dies);
    gone.push(dies);
    let left = cluster.running();
    for name in &left {
        eventually(PATIENCE * 2, "a refusal that names the voters", || {
            let answer = cluster.send(name, "PUT", "/metrics/job/two", "a 1\n");
            assert_eq!(answer.status, 503, "{}", answer.text());
            answer.text().contains("2 of 5 voters reachable").then_some(())
        });
        assert_eq!(cluster.send(name, "GET", "/metrics", "").status, 503);
        assert_eq!(cluster.status(name)["healthy"], false);
    }

    cluster.start(gone[0]);
    cluster.until_ready(&cluster.running());
    let after = cluster.scrape(gone[0]);
    let lost = before.lines().find(|line| line.starts_with("a{") && !after.contains(line));
    assert_eq!(lost, None, "an acknowledged push is missing");
    push_at_all(&cluster, "again three");
    for name in &gone[1..] {
        cluster.start(name);
    }
    cluster.until_ready(FIVE);
    push_at_all(&cluster, "again five");
    cluster.agree(FIVE);
}

#[test]
fn seven_voters_go_on_without_three() {
    let mut cluster = Cluster::of(SEVEN, &[]);
    push_at_all(&cluster, "seven");
    cluster.until_voters(SEVEN, SEVEN);
    let leader = cluster.leader();
    let followers = SEVEN.iter().copied().filter(|name| *name != leader);
    let gone: Vec<_> = followers.take(2).chain([leader]).collect();
    for name in &gone {
        cluster.kill(name);
    }
    cluster.leader_among(&cluster.running());
    push_at_all(&cluster, "four");
    for name in gone {
        cluster.start(name);
    }
    cluster.until_ready(SEVEN);
    push_at_all(&cluster, "again seven");
    cluster.agree(SEVEN);
}

#[test]
fn members_that_are_gone_for_long_are_removed_down_to_the_floor() {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let flags = [
        &format!("--cluster.dead-member-timeout={}s", TIMEOUT.as_secs()),
        "--cluster.voters-min=3",
        "--web.enable-admin-api",
    ];
    let mut cluster = Cluster::of(FIVE, &flags);
    for round in ["four", "three"] {
        let dies = if round == "four" { cluster.follower() } else { cluster.leader() };
        cluster.kill(dies);
        let left = cluster.running();
        cluster.until_voters(&left, &left);
        push_at_all(&cluster, round);
    }
    // The floor.
    let floor = cluster.running();
    let dies = cluster.follower();
    cluster.kill(dies);
    let left = cluster.running();
    for name in &left {
        until_missed(&cluster, name, dies);
    }
    // That something does not happen takes time to see; on a slow machine it only proves less.
    std::thread::sleep(TIMEOUT * 2);
    cluster.until_voters(&left, &floor);
    push_at_all(&cluster, "two");
    cluster.start(dies);
    cluster.until_ready(&[dies]);
    cluster.until_voters(&floor, &floor);
    push_at_all(&cluster, "again three");
    cluster.agree(&floor);
}

#[test]
fn a_replica_that_comes_back_at_another_address_is_the_same_member() {
    let mut cluster = Cluster::of(THREE, &[]);
    push_at_all(&cluster, "before");
    for leads in [false, true] {
        let moves = if leads { cluster.leader() } else { cluster.follower() };
        let at = THREE.iter().copied().find(|name| *name != moves).unwrap();
        let (id, old) = (cluster.member(at, moves, "id"), cluster.address(moves));
        cluster.kill(moves);
        push_at_all(&cluster, &format!("without {moves}"));
        cluster.relocate(moves);
        let new = cluster.address(moves);
        assert_ne!(old, new);
        cluster.start(moves);
        cluster.until_ready(&[moves]);
        for name in THREE {
            eventually(PATIENCE, &format!("{name} to know the new address of {moves}"), || {
                (cluster.member(name, moves, "address") == new.as_str()).then_some(())
            });
            eventually(PATIENCE, &format!("{name} to reach {moves}"), || {
                (cluster.member(name, moves, "reachable") == true).then_some(())
            });
        }
        assert_eq!(cluster.member(at, moves, "id"), id, "it is the same member");
        cluster.until_voters(THREE, THREE);
        push_at_all(&cluster, &format!("with {moves} again"));
        cluster.agree(THREE);
    }
}
