//! What `/api/v1/cluster` tells programs of each member, and a learner in it that cannot keep up.

use serde_json::Value;

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::eventually;
use crate::harness::process::PATIENCE;

/// More than any disk has: entries of the log are not taken, and the leader is heard all the same.
const DISK_NEVER_FREE: &str = "--limits.disk-free-bytes=281474976710656";
/// More log entries than a learner may lack that is to become a voter.
const MANY: usize = 300;

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The members as one replica sees them, once it reaches them all.
fn members(cluster: &Cluster, at: &str) -> Vec<Value> {
    eventually(PATIENCE, &format!("{at} to have asked everybody"), || {
        let members = cluster.status(at)["members"].as_array().unwrap().clone();
        members.iter().all(|member| member.get("detail").is_none()).then_some(members)
    })
}

fn check_member(member: &Value, leader: &str) {
    let expected = [
        "address",
        "applied_index",
        "digest",
        "id",
        "lag",
        "match_index",
        "name",
        "reachable",
        "role",
        "version",
        "voter",
    ];
    assert_eq!(keys(member), expected, "{member}");
    let name = member["name"].as_str().unwrap();
    let role = match name {
        "g4" => "learner",
        name if name == leader => "leader",
        _ => "follower",
    };
    assert_eq!((&member["role"], &member["voter"]), (&role.into(), &(name != "g4").into()));
    assert_eq!(member["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(member["reachable"], true);
    let number = |key: &str| member[key].as_u64().unwrap_or_else(|| panic!("{key}: {member}"));
    let lag = number("lag");
    assert_eq!(lag > MANY as u64 / 2, name == "g4", "{member}");
    assert!(number("match_index") > 0 || name == "g4", "{member}");
}

#[test]
fn the_status_tells_of_every_member_also_of_a_learner_that_cannot_keep_up() {
    // Nobody else is to lead because the machine is slow.
    let flags =
        ["--web.enable-admin-api", "--limits.request-timeout=2s", "--cluster.election-timeout=5s"];
    let mut cluster = Cluster::of(THREE, &flags);
    for n in 0..MANY {
        cluster.push("g1", &format!("job/{}", n % 7), "a 1\n");
    }
    cluster.start_with("g4", &[DISK_NEVER_FREE]);
    eventually(PATIENCE, "g4 to be a learner", || {
        (cluster.members("g1").1 == ["g4"]).then_some(())
    });
    let leader = cluster.leader_among(THREE);
    for at in THREE {
        let status = cluster.status(at);
        let mut told = keys(&status);
        // Only once there is one.
        told.retain(|key| *key != "checkpoint");
        let expected = [
            "applied_index",
            "cluster_id",
            "digest",
            "failure_tolerance",
            "healthy",
            "leader",
            "log",
            "members",
            "replica",
            "term",
        ];
        assert_eq!(told, expected, "{status}");
        assert_eq!((&status["replica"], &status["leader"]), (&(*at).into(), &leader.into()));
        assert!(status["term"].as_u64() > Some(0), "{status}");
        let members = members(&cluster, at);
        assert_eq!(members.len(), 4);
        for member in &members {
            check_member(member, leader);
        }
    }

    for at in THREE {
        let target = "/api/v1/admin/member/promote?member=g4";
        let refused = cluster.send(at, "PUT", target, "");
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(refused.text().contains("cannot vote yet: it lacks"), "{}", refused.text());
    }
    // With disk space it is welcome.
    cluster.kill("g4");
    cluster.start("g4");
    let all = ["g1", "g2", "g3", "g4"];
    cluster.until_voters(&all, &all);
    cluster.until_ready(&all);
    cluster.push("g4", "job/last", "a 1\n");
    cluster.agree(&all);
}
