//! Links between replicas are cut, over real sockets: whoever has a quorum goes on, and whoever has
//! none promises nothing.

use super::load::{Front, Load};
use crate::harness::cluster::{Cluster, THREE};
use crate::harness::eventually;
use crate::harness::process::PATIENCE;

/// Changes between two events.
const SOME: usize = 40;
const FLAGS: &[&str] = &["--limits.request-timeout=6s", "--read.timeout=3s"];

fn others(name: &str) -> Vec<&'static str> {
    THREE.iter().copied().filter(|other| *other != name).collect()
}

/// A push that is refused for want of a quorum, once the replica knows.
fn until_refused(cluster: &Cluster, name: &str) {
    eventually(PATIENCE * 2, "a refusal that names the voters", || {
        let answer = cluster.send(name, "PUT", "/metrics/job/minority", "c 1\n");
        assert_eq!(answer.status, 503, "{}", answer.text());
        answer.text().contains("1 of 3 voters reachable").then_some(())
    });
    let scrape = cluster.send(name, "GET", "/metrics", "");
    assert_eq!(scrape.status, 503, "{}", scrape.text());
}

#[test]
fn a_replica_that_is_cut_off_promises_nothing_and_the_others_go_on() {
    let cluster = Cluster::linked(THREE, FLAGS);
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    // The leader, then a follower.
    for leads in [true, false] {
        load.more(SOME);
        let lonely = if leads { cluster.leader() } else { cluster.follower() };
        let rest = others(lonely);
        front.drain(lonely);
        cluster.isolate(lonely);
        let leader = cluster.leader_among(&rest);
        assert_ne!(leader, lonely);
        load.more(SOME);
        until_refused(&cluster, lonely);
        load.more(SOME);
        cluster.links().heal();
        cluster.until_ready(&[lonely]);
        cluster.leader_among(THREE);
        front.open(&cluster, lonely);
    }
    load.more(SOME);
    load.finish().check("isolated replicas", &cluster, THREE);
}

#[test]
fn a_leader_whose_words_do_not_arrive_is_replaced() {
    let cluster = Cluster::linked(THREE, FLAGS);
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    load.more(SOME);
    let old = cluster.leader();
    let rest = others(old);
    front.drain(old);
    // It hears the others all the while.
    for name in &rest {
        cluster.links().cut(old, name);
    }
    let new = eventually(PATIENCE, "another leader", || {
        let new = cluster.leader_among(&rest);
        (new != old).then_some(new)
    });
    assert!(rest.contains(&new));
    load.more(SOME);
    cluster.links().heal();
    cluster.until_ready(&[old]);
    front.open(&cluster, old);
    load.more(SOME);
    load.finish().check("a mute leader", &cluster, THREE);
}

/// Two followers that do not reach each other have no reason to trouble anybody.
#[test]
fn a_cut_between_followers_is_not_noticed() {
    // Nobody else is to lead because the machine is slow: the one without a way to it would notice.
    let flags = [FLAGS, &["--cluster.election-timeout=10s", "--cluster.heartbeat-interval=200ms"]];
    let cluster = Cluster::linked(THREE, &flags.concat());
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    load.more(SOME);
    let leader = cluster.leader();
    let term = cluster.status(leader)["term"].clone();
    let followers = others(leader);
    cluster.links().cut(followers[0], followers[1]);
    cluster.links().cut(followers[1], followers[0]);
    load.more(SOME);
    for (at, name) in [(0, 1), (1, 0)] {
        eventually(PATIENCE, "the cut to be seen", || {
            let seen = cluster.member(followers[at], followers[name], "reachable");
            (seen == false).then_some(())
        });
    }
    load.more(SOME);
    assert_eq!((cluster.leader(), &cluster.status(leader)["term"]), (leader, &term));
    cluster.links().heal();
    load.more(SOME);
    load.finish().check("a cut between followers", &cluster, THREE);
}
