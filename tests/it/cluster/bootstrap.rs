//! One cluster comes into being, in whatever order its replicas start, and comes back as the same.

use std::time::Duration;

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::process::{PATIENCE, Server, free_port};

const ORDERS: [[&str; 3]; 6] = [
    ["g1", "g2", "g3"],
    ["g1", "g3", "g2"],
    ["g2", "g1", "g3"],
    ["g2", "g3", "g1"],
    ["g3", "g1", "g2"],
    ["g3", "g2", "g1"],
];

/// Starts in one order, with this pause before the last, and again in the opposite order.
fn one_cluster(order: [&'static str; 3], pause: Duration) {
    let mut cluster = Cluster::prepared(THREE, &[]);
    for name in &order[..2] {
        cluster.start(name);
    }
    std::thread::sleep(pause);
    for name in &order[..2] {
        let status = cluster.status(name);
        assert_eq!((&status["cluster_id"], &status["leader"]), (&"".into(), &"".into()));
        assert_eq!(cluster.ready(name).status, 503);
        assert_eq!(cluster.send(name, "GET", "/-/healthy", "").status, 200);
    }
    cluster.start(order[2]);
    cluster.until_ready(THREE);
    let id = cluster.id(THREE);
    cluster.until_voters(THREE, THREE);
    for name in order {
        cluster.push(name, &format!("job/{name}"), "a 1\n");
    }
    cluster.agree(THREE);

    let before = cluster.scrape(order[0]);
    for name in order {
        cluster.kill(name);
    }
    for name in order.iter().rev() {
        cluster.start(name);
    }
    cluster.until_ready(THREE);
    assert_eq!(cluster.id(THREE), id);
    for name in THREE {
        assert_eq!(cluster.scrape(name), before, "{name}");
    }
    cluster.push(order[2], "job/after", "a 1\n");
    cluster.agree(THREE);
}

#[test]
fn any_order_of_starts_makes_one_cluster_and_keeps_it() {
    let (some, others) = ORDERS.split_at(3);
    std::thread::scope(|scope| {
        scope.spawn(|| some.iter().for_each(|order| one_cluster(*order, Duration::ZERO)));
        scope.spawn(|| others.iter().for_each(|order| one_cluster(*order, Duration::ZERO)));
    });
}

#[test]
fn a_replica_that_is_late_is_waited_for() {
    one_cluster(["g2", "g3", "g1"], Duration::from_secs(3));
}

#[test]
fn who_waits_says_for_whom() {
    let mut cluster = Cluster::prepared(THREE, &[]);
    for name in ["g2", "g3"] {
        cluster.start(name);
    }
    for name in ["g2", "g3"] {
        eventually(PATIENCE, "a reason", || {
            cluster.ready(name).text().contains("2 of 3 replicas are here: g2, g3").then_some(())
        });
        let push = cluster.send(name, "PUT", "/metrics/job/j", "a 1\n");
        assert_eq!((push.status, push.header("Retry-After")), (503, Some("1")));
        assert!(push.text().contains("2 of 3 replicas"), "{}", push.text());
    }
}

/// Where that has an IPv6 address as well, nobody listens there.
#[test]
fn replicas_that_reach_each_other_at_localhost_form_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = [(); 3].map(|()| format!("localhost:{}", free_port().port()));
    let servers: Vec<Server> = addresses
        .iter()
        .enumerate()
        .map(|(n, address)| {
            let data = folder.path().join(n.to_string());
            std::fs::create_dir(&data).unwrap();
            let flags: [&str; 4] = [
                &format!("--cluster.name=g{n}"),
                &format!("--cluster.listen-address={address}"),
                &format!("--cluster.join={}", addresses.join(",")),
                "--cluster.bootstrap-expect=3",
            ];
            Server::gate_in(&data, &flags)
        })
        .collect();
    for server in &servers {
        eventually(PATIENCE, "a replica to be ready", || {
            (server.send("GET", "/-/ready", "").status == 200).then_some(())
        });
    }
    let push = http::send(servers[1].addr(), "PUT", "/metrics/job/j", b"a 1\n");
    assert_eq!(push.status, 200, "{}", push.text());
}

#[test]
fn a_fourth_replica_with_the_same_flags_joins() {
    let mut cluster = Cluster::prepared(THREE, &[]);
    // It sees the others before they see each other, and must not be counted among them.
    for name in ["g4", "g1", "g2"] {
        cluster.start(name);
    }
    assert_eq!(cluster.ready("g4").status, 503);
    cluster.start("g3");
    let all = ["g1", "g2", "g3", "g4"];
    cluster.until_ready(&all);
    cluster.id(&all);
    cluster.until_voters(&all, &all);
    cluster.push("g4", "job/j", "a 1\n");
    cluster.agree(&all);
}

#[test]
fn a_cluster_of_one_grows_when_the_flags_say_so() {
    let mut cluster = Cluster::prepared(&["g1"], &[]);
    cluster.start("g1");
    cluster.until_ready(&["g1"]);
    let id = cluster.id(&["g1"]);
    cluster.push("g1", "job/ours", "a 1\n");
    cluster.kill("g1");

    // The same folder under the flags of three: it remains what it is, and takes the others in.
    cluster.found(THREE);
    for name in ["g3", "g2", "g1"] {
        cluster.start(name);
    }
    cluster.until_ready(THREE);
    assert_eq!(cluster.id(THREE), id);
    cluster.until_voters(THREE, THREE);
    assert!(cluster.scrape("g2").contains("a{instance=\"\",job=\"ours\"} 1\n"));
    cluster.agree(THREE);
}
