//! A client that got no answer repeats its request at another replica, and it takes effect once.

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::process::PATIENCE;

/// One request under a key; status and log index of the answer.
fn send(cluster: &Cluster, at: &str, method: &str, key: &str, body: &str) -> (u16, u64) {
    let headers = [("Idempotency-Key", key)];
    let request = http::request(method, "/metrics/job/j", &headers, body.as_bytes());
    let answer = http::exchange(cluster.server(at).addr(), &request).unwrap();
    let index = answer.header("X-Quorumgate-Index").map_or(0, |index| index.parse().unwrap());
    (answer.status, index)
}

/// The pushed value of `a`, if there is one, and when it was pushed.
fn stored(cluster: &Cluster, at: &str) -> (Option<String>, Option<String>) {
    let text = cluster.scrape(at);
    let value = |name: &str| {
        let series = format!("{name}{{instance=\"\",job=\"j\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
    };
    (value("a"), value("push_time_seconds"))
}

#[test]
fn a_retry_through_another_replica_takes_effect_once() {
    let mut cluster = Cluster::of(THREE, &["--storage.snapshot-entries=20"]);
    assert_eq!(send(&cluster, "g1", "PUT", "one", "a 1\n").0, 200);
    let first = stored(&cluster, "g1");
    assert_eq!(first.0.as_deref(), Some("1"));
    // Nobody else has pushed: the same again, without even a new time.
    for at in THREE {
        assert_eq!(send(&cluster, at, "PUT", "one", "a 1\n").0, 200, "{at}");
        assert_eq!(stored(&cluster, at), first, "{at}");
    }

    // Another client has pushed in between; the late retry must not undo that.
    assert_eq!(send(&cluster, "g2", "PUT", "two", "a 2\n").0, 200);
    let second = stored(&cluster, "g2");
    for at in THREE {
        assert_eq!(send(&cluster, at, "PUT", "one", "a 1\n").0, 200, "{at}");
        assert_eq!(stored(&cluster, at), second, "{at}");
    }
    // The same key for something else is something else.
    assert_eq!(send(&cluster, "g3", "DELETE", "one", "").0, 202);
    assert_eq!(stored(&cluster, "g1"), (None, None));
    assert_eq!(send(&cluster, "g1", "PUT", "three", "a 3\n").0, 200);
    assert_eq!(send(&cluster, "g2", "DELETE", "one", "").0, 202);
    assert_eq!(stored(&cluster, "g3").0.as_deref(), Some("3"));

    // A refusal is remembered as well.
    let refused = "# TYPE a counter\na 1 5\n";
    assert_eq!(send(&cluster, "g1", "PUT", "bad", refused).0, 400);
    assert_eq!(send(&cluster, "g2", "PUT", "bad", refused).0, 400);

    // The memory outlives the leader, restarts and snapshots.
    for n in 0..60 {
        cluster.push(THREE[n % 3], "job/other", &format!("b {n}\n"));
    }
    let third = stored(&cluster, "g1");
    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.leader();
    let other = cluster.follower();
    assert_eq!(send(&cluster, other, "PUT", "one", "a 1\n").0, 200);
    assert_eq!(stored(&cluster, other), third);
    cluster.start(leader);
    cluster.until_ready(THREE);
    assert_eq!(send(&cluster, leader, "PUT", "two", "a 2\n").0, 200);
    assert_eq!(stored(&cluster, leader), third);
    cluster.agree(THREE);
}

fn wipe(cluster: &Cluster, at: &str, key: &str) {
    let headers = [("Idempotency-Key", key)];
    let request = http::request("PUT", "/api/v1/admin/wipe", &headers, b"");
    let answer = http::exchange(cluster.server(at).addr(), &request).unwrap();
    assert_eq!(answer.status, 202, "{at}: {}", answer.text());
}

#[test]
fn a_repeated_wipe_spares_what_was_pushed_in_between() {
    let cluster = Cluster::of(THREE, &["--web.enable-admin-api"]);
    assert_eq!(send(&cluster, "g1", "PUT", "one", "a 1\n").0, 200);
    wipe(&cluster, "g2", "all");
    assert_eq!(stored(&cluster, "g3"), (None, None));
    // The key of a push is another one, though it reads the same.
    assert_eq!(send(&cluster, "g3", "PUT", "all", "a 2\n").0, 200);
    let second = stored(&cluster, "g1");
    assert_eq!(second.0.as_deref(), Some("2"));
    for at in THREE {
        wipe(&cluster, at, "all");
        assert_eq!(stored(&cluster, at), second, "{at}");
    }
    wipe(&cluster, "g1", "again");
    assert_eq!(stored(&cluster, "g2"), (None, None));
    cluster.agree(THREE);
}

/// The leader has committed a push that a follower passed on, and dies before that hears of it. The
/// follower asks the next leader, which must know that it has been done.
#[test]
fn a_forwarded_push_whose_leader_dies_before_it_answers_takes_effect_once() {
    // Nobody else is to lead before, only because the machine is slow: the follower would ask it.
    let flags = [
        "--limits.request-timeout=15s",
        "--cluster.election-timeout=2s",
        "--cluster.heartbeat-interval=100ms",
    ];
    let mut cluster = Cluster::linked(THREE, &flags);
    let leader = cluster.leader();
    let rest: Vec<&str> = THREE.iter().copied().filter(|name| *name != leader).collect();
    let (follower, third) = (rest[0], rest[1]);
    // A connection is open then, over which the push gets there and its answer does not come back.
    cluster.push(follower, "job/before", "b 1\n");
    cluster.links().cut(leader, follower);
    // Without a key of the client's: the replicas' own name for it has to do.
    let address = cluster.server(follower).addr();
    let first = std::thread::spawn(move || http::send(address, "PUT", "/metrics/job/j", b"a 1\n"));
    eventually(PATIENCE, "the third replica to show it", || {
        (stored(&cluster, third).0.as_deref() == Some("1")).then_some(())
    });
    cluster.push(third, "job/j", "a 2\n");
    let second = stored(&cluster, third);
    assert!(!first.is_finished(), "it was answered over a link that is cut");
    cluster.kill(leader);
    cluster.links().heal();
    let first = first.join().unwrap();
    assert_eq!(first.status, 200, "{}", first.text());
    for name in &rest {
        assert_eq!(stored(&cluster, name), second, "{name}: the retry has undone a later push");
    }
    cluster.start(leader);
    cluster.until_ready(THREE);
    cluster.agree(THREE);
}
