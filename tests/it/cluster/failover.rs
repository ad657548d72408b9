//! A replica dies or hangs: whoever pushes at the others does not notice, and nothing is lost.

use std::time::Duration;

use super::load::{Front, Load};
use super::readiness::Readiness;
use crate::harness::cluster::{Cluster, THREE};
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::process::PATIENCE;

/// Changes between two events.
const SOME: usize = 40;

fn survivors(gone: &str) -> Vec<&'static str> {
    THREE.iter().copied().filter(|name| *name != gone).collect()
}

#[test]
fn no_push_at_a_survivor_fails_when_a_replica_is_killed() {
    let mut cluster = Cluster::of(THREE, &[]);
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    for round in 0..4 {
        load.more(SOME);
        // The leader twice, and a follower in between.
        let gone = if round == 1 { cluster.follower() } else { cluster.leader() };
        let rest = survivors(gone);
        front.give_up(gone);
        let readiness = Readiness::of(&cluster, &rest);
        cluster.kill(gone);
        load.more(SOME);
        assert!(rest.contains(&cluster.leader_among(&rest)));
        readiness.held();
        cluster.start(gone);
        cluster.until_ready(&[gone]);
        front.open(&cluster, gone);
    }
    load.more(SOME);
    load.finish().check("kill -9 of one replica", &cluster, THREE);
}

#[test]
fn no_push_at_a_survivor_fails_when_the_leader_hangs() {
    let cluster = Cluster::of(THREE, &["--limits.request-timeout=5s"]);
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    for round in 0..2 {
        load.more(SOME);
        let hung = cluster.leader();
        let rest = survivors(hung);
        front.drain(hung);
        let readiness = Readiness::of(&cluster, &rest);
        cluster.server(hung).signal("STOP");
        // Somebody pushes there all the same.
        let address = cluster.server(hung).addr();
        let path = format!("/metrics/job/hung/round/{round}");
        let late = std::thread::spawn(move || http::send(address, "PUT", &path, b"c 1\n"));
        load.more(SOME);
        assert!(rest.contains(&cluster.leader_among(&rest)));
        std::thread::sleep(Duration::from_secs(1));
        cluster.server(hung).signal("CONT");

        // It notices that it leads no longer before it says anything.
        let late = late.join().unwrap();
        assert!([200, 503].contains(&late.status), "{}: {}", late.status, late.text());
        if late.status == 200 {
            let series = format!("c{{instance=\"\",job=\"hung\",round=\"{round}\"}} 1\n");
            assert!(cluster.scrape(rest[0]).contains(&series));
        }
        cluster.until_ready(&[hung]);
        readiness.held();
        front.open(&cluster, hung);
    }
    load.more(SOME);
    load.finish().check("the leader hangs", &cluster, THREE);
}

/// A leader that was stopped, and woke up after another was elected, must not answer from the past.
#[test]
fn a_leader_that_wakes_up_does_not_answer_a_scrape_from_the_past() {
    let cluster = Cluster::of(THREE, &[]);
    let old = cluster.leader();
    let rest = survivors(old);
    for value in 0..3 {
        cluster.push(rest[0], "job/j", &format!("a {value}\n"));
    }
    cluster.server(old).signal("STOP");
    cluster.leader_among(&rest);
    cluster.push(rest[0], "job/j", "a 7\n");
    // The scrape waits in the socket and is the first thing that the old leader sees.
    let address = cluster.server(old).addr();
    let scrape = std::thread::spawn(move || http::send(address, "GET", "/metrics", b""));
    std::thread::sleep(Duration::from_millis(200));
    cluster.server(old).signal("CONT");
    let scrape = scrape.join().unwrap();
    if scrape.status == 200 {
        assert!(scrape.text().contains("a{instance=\"\",job=\"j\"} 7\n"), "{}", scrape.text());
    } else {
        assert_eq!(scrape.status, 503, "{}", scrape.text());
    }
    eventually(PATIENCE, "the old leader to answer again", || {
        (cluster.send(old, "GET", "/metrics", "").status == 200).then_some(())
    });
    cluster.agree(THREE);
}
