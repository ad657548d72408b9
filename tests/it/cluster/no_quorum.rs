//! Most of the replicas are gone: what is left says so in time, promises nothing, and goes on as soon
//! as one of them is back.

use std::time::{Duration, Instant};

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::http::{self, Response};
use crate::harness::process::PATIENCE;
use crate::harness::{eventually, say};

const FLAGS: &[&str] =
    &["--web.enable-admin-api", "--limits.request-timeout=2s", "--read.timeout=2s"];
/// The deadline, and what a busy machine adds to it.
const IN_TIME: Duration = Duration::from_secs(4);

fn timed(cluster: &Cluster, name: &str, request: &[u8]) -> Response {
    let begin = Instant::now();
    let answer = http::exchange(cluster.server(name).addr(), request).unwrap();
    assert!(begin.elapsed() < IN_TIME, "{:?}: {}", begin.elapsed(), answer.text());
    answer
}

/// A request that must be refused for want of a quorum; the text of the refusal.
fn refused(cluster: &Cluster, name: &str, request: &[u8]) -> String {
    let answer = timed(cluster, name, request);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("Retry-After"), Some("1"));
    answer.text()
}

fn put(key: &str, value: u32) -> Vec<u8> {
    let headers = [("Idempotency-Key", key)];
    http::request("PUT", "/metrics/job/j", &headers, format!("a {value}\n").as_bytes())
}

fn scrape(query: &str) -> Vec<u8> {
    http::request("GET", &format!("/metrics{query}"), &[], b"")
}

/// Leaves one replica, which led or did not.
fn one_is_left(led: bool) {
    let mut cluster = Cluster::of(THREE, FLAGS);
    cluster.push("g1", "job/j", "a 1\n");
    cluster.agree(THREE);
    let last = if led { cluster.leader() } else { cluster.follower() };
    let others: Vec<&str> = THREE.iter().copied().filter(|name| *name != last).collect();
    for name in &others {
        cluster.kill(name);
    }

    // At once, before anybody can know who is gone.
    let first = refused(&cluster, last, &put("one", 2));
    say(&format!("{last} without the others, led before: {led}: {}", first.trim_end()));
    let unknown = first.contains("it is unknown whether it will take effect");
    assert!(unknown || first.contains("no quorum"), "{first}");

    // A moment later it knows.
    for request in [put("one", 2), scrape(""), http::request("DELETE", "/metrics/job/j", &[], b"")]
    {
        eventually(PATIENCE, "the count of voters", || {
            refused(&cluster, last, &request).contains("1 of 3 voters reachable").then_some(())
        });
    }
    let text = refused(&cluster, last, &scrape("?consistency=linearizable"));
    assert!(others.iter().all(|name| text.contains(&format!("{name}: "))), "{text}");
    refused(&cluster, last, &http::request("GET", "/api/v1/metrics", &[], b""));
    refused(&cluster, last, &http::request("PUT", "/api/v1/admin/wipe", &[], b""));

    // Whoever can do with less is served, with the age.
    let stale = timed(&cluster, last, &scrape("?consistency=stale&max_staleness=1h"));
    assert_eq!(stale.status, 200, "{}", stale.text());
    let age: f64 = stale.header("X-Quorumgate-Staleness").unwrap().parse().unwrap();
    assert!(age > 1.0, "{age}");
    assert!(stale.text().contains("a{instance=\"\",job=\"j\"} 1\n"), "{}", stale.text());
    let text = refused(&cluster, last, &scrape("?consistency=stale&max_staleness=1s"));
    assert!(text.contains("max_staleness"), "{text}");

    // The process is sound, and should not be sent requests.
    eventually(PATIENCE, "the replica not to be ready", || {
        let ready = cluster.ready(last);
        (ready.status == 503 && ready.text().contains("leader: failed")).then_some(())
    });
    assert_eq!(cluster.send(last, "GET", "/-/healthy", "").status, 200);
    assert_eq!(cluster.status(last)["healthy"], false);

    cluster.start(others[0]);
    let there = [last, others[0]];
    cluster.until_ready(&there);
    // The outcome of the push may have been unknown; repeated under its key it takes effect once.
    assert_eq!(timed(&cluster, others[0], &put("two", 3)).status, 200);
    assert_eq!(timed(&cluster, last, &put("one", 2)).status, 200);
    let value = |name| cluster.scrape(name).contains("a{instance=\"\",job=\"j\"} 3\n");
    let (here, there_too) = (value(last), value(others[0]));
    assert_eq!(here, there_too);
    // Known not to have been proposed, it is the newer of the two.
    assert!(unknown || !here, "{first}");
    cluster.push(last, "job/after", "a 1\n");
    cluster.agree(&there);
    cluster.start(others[1]);
    cluster.until_ready(THREE);
    cluster.agree(THREE);
}

#[test]
fn scrapes_may_be_stale_unless_they_ask_for_more() {
    let flags = ["--read.consistency=stale", "--read.max-staleness=1h", "--read.timeout=2s"];
    let mut cluster = Cluster::of(THREE, &flags);
    cluster.push("g1", "job/j", "a 1\n");
    cluster.agree(THREE);
    let last = cluster.follower();
    for name in THREE.iter().filter(|name| **name != last) {
        cluster.kill(name);
    }
    for path in ["/metrics", "/api/v1/metrics"] {
        let answer = timed(&cluster, last, &http::request("GET", path, &[], b""));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.header("X-Quorumgate-Staleness").is_some(), "{path}");
    }
    refused(&cluster, last, &scrape("?consistency=linearizable"));
}

#[test]
fn a_leader_without_followers_refuses_in_time() {
    one_is_left(true);
}

#[test]
fn a_follower_without_a_leader_refuses_in_time() {
    one_is_left(false);
}
