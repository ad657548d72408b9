//! The operators' tools against real processes: what each verb says, how it ends, and what is left.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::eventually;
use crate::harness::process::{PATIENCE, Server, gate_command};

/// A port that is free, and that no outgoing connection is given by chance.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 20_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A replica with its folder, running or not.
struct Node {
    name: &'static str,
    port: u16,
    folder: TempDir,
    server: Option<Server>,
}

impl Node {
    fn new(name: &'static str) -> Node {
        Node { name, port: free_port(), folder: tempfile::tempdir().unwrap(), server: None }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn start(&mut self, join: &[String], expect: usize) {
        let address = self.address();
        let server = Server::gate_in(
            self.folder.path(),
            &[
                "--web.enable-admin-api",
                "--cluster.heartbeat-interval=100ms",
                "--cluster.election-timeout=1s",
                "--cluster.shutdown-delay=0s",
                &format!("--cluster.name={}", self.name),
                &format!("--cluster.listen-address={address}"),
                &format!("--cluster.advertise-address={address}"),
                &format!("--cluster.join={}", join.join(",")),
                &format!("--cluster.bootstrap-expect={expect}"),
            ],
        );
        self.server = Some(server);
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn url(&self) -> String {
        format!("http://{}", self.server().addr())
    }

    fn push(&self, job: &str, body: &str) {
        let answer = self.server().send("PUT", &format!("/metrics/job/{job}"), body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn metrics(&self) -> String {
        self.server().send("GET", "/metrics", "").text()
    }
}

/// Three replicas that are one cluster.
fn three() -> [Node; 3] {
    let mut nodes = [Node::new("a"), Node::new("b"), Node::new("c")];
    let addresses: Vec<String> = nodes.iter().map(Node::address).collect();
    for node in &mut nodes {
        node.start(&addresses, 3);
    }
    for node in &nodes {
        until_healthy(node, 3);
    }
    nodes
}

/// Waits until a node sees a healthy cluster of so many voters.
fn until_healthy(node: &Node, voters: usize) {
    eventually(PATIENCE, "a healthy cluster", || {
        let output = ctl(&["status", "-o", "json", "--endpoint", &node.url()]);
        let status = json(&output);
        let found = status["members"].as_array()?.iter().filter(|m| m["voter"] == true).count();
        (output.status.code() == Some(0) && found == voters).then_some(())
    });
}

fn ctl(words: &[&str]) -> Output {
    gate_command().arg("ctl").args(words).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// What a command that must succeed says.
fn done(words: &[&str]) -> String {
    let output = ctl(words);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {err}{}", out(&output));
    assert_eq!(err, "", "{words:?}");
    out(&output)
}

fn done_json(words: &[&str]) -> Value {
    let text = done(&[words, &["-o", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|err| panic!("{words:?}: {err}: {text}"))
}

/// The one line of a command that must end with this code.
fn fails(code: i32, words: &[&str]) -> String {
    let output = ctl(words);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {err}");
    assert_eq!(err.lines().count(), 1, "{words:?}: {err}");
    assert!(err.starts_with("quorumgate: "), "{err}");
    err
}

/// The columns of the row that begins with a name.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found = rows.filter(|row| row.first() == Some(&name));
    found.next().unwrap_or_else(|| panic!("no row {name} in\n{table}"))
}

#[test]
fn verbs_tell_and_change_a_cluster() {
    let mut nodes = three();
    let [a, b, c] = &nodes;
    a.push("one", "m{x=\"1\"} 1\nm{x=\"2\"} 2\n");
    b.push("two", "n 3\n");
    let everybody = [a.url(), b.url(), c.url()].join(",");
    looks(a, &everybody);
    leads(b, &everybody);

    agrees_under_load(a, &everybody);

    // The next endpoint is tried; where there is none, the line says so.
    let dead = "http://127.0.0.1:1";
    let with_dead = format!("{dead},{}", a.url());
    done(&["member", "list", "--endpoint", &with_dead]);
    done(&["leader", "transfer", "a", "--endpoint", &with_dead]);
    let err = fails(1, &["status", "--endpoint", dead, "--timeout", "1s"]);
    assert!(err.contains("no answer: http://127.0.0.1:1: "), "{err}");
    let agree = done(&["digest", "--endpoint", &with_dead]);
    assert!(agree.contains("all 3 replicas agree"), "{agree}");

    // Refusals.
    let err = fails(1, &["member", "remove", "nobody & co", "--endpoint", &a.url()]);
    assert!(
        err.contains("nobody & co: no member has this name or id; there are: a, b, c"),
        "{err}"
    );
    let err = fails(1, &["member", "add", "127.0.0.1:1", "--endpoint", &a.url()]);
    assert!(err.contains("127.0.0.1:1"), "{err}");
    let err = fails(1, &["member", "add", &c.address(), "--endpoint", &a.url()]);
    assert!(err.contains("belongs to a cluster already"), "{err}");

    // One goes, another one comes.
    let text = done(&["member", "remove", "c", "--endpoint", &a.url()]);
    assert_eq!(text, "removed c\n");
    let [a, _, c] = &mut nodes;
    c.server = None;
    until_healthy(a, 2);
    let mut d = Node::new("d");
    // It waits, since nobody is where it looks.
    d.start(&["127.0.0.1:1".to_owned()], 0);
    let err = fails(3, &["status", "--endpoint", &d.url()]);
    assert!(err.contains("not part of a cluster yet"), "{err}");
    let text = done(&["member", "add", &d.address(), "--endpoint", &a.url()]);
    assert_eq!(text, format!("added {}: it becomes a voter once it has caught up\n", d.address()));
    let id = eventually(PATIENCE, "the new member", || {
        let list = done_json(&["member", "list", "--endpoint", &a.url()]);
        let found = list.as_array().unwrap().iter().find(|member| member["name"] == "d")?;
        Some(found["id"].as_str().unwrap().to_owned())
    });
    let promoted = done_json(&["member", "promote", &id, "--endpoint", &a.url()]);
    assert_eq!(promoted["done"], format!("{id} is a voter"));
    until_healthy(a, 3);
    until_healthy(&d, 3);
    let agree = done(&["digest", "--endpoint", &d.url()]);
    assert!(agree.contains("all 3 replicas agree at index "), "{agree}");
}

/// Verbs that change nothing.
fn looks(a: &Node, everybody: &str) {
    let table = done(&["status", "--endpoint", &a.url()]);
    for (name, value) in [("told", "by"), ("healthy", "yes"), ("failure", "tolerance")] {
        assert_eq!(row(&table, name)[1], value, "{table}");
    }
    assert_eq!(row(&table, "NAME").len(), 9, "{table}");
    for name in ["a", "b", "c"] {
        let row = row(&table, name);
        assert!(row[2] == "leader" || row[2] == "follower", "{table}");
        assert_eq!(row[3], "yes");
    }
    let status = done_json(&["status", "--endpoint", &a.url()]);
    assert_eq!(status["replica"], "a");
    assert_eq!((&status["healthy"], &status["failure_tolerance"]), (&true.into(), &1.into()));

    let list = done(&["member", "list", "--endpoint", &a.url()]);
    assert!(list.starts_with("NAME ") && list.lines().count() == 4, "{list}");
    let list = done_json(&["member", "list", "--endpoint", &a.url()]);
    assert_eq!(list[1]["address"].as_str().unwrap().split(':').next(), Some("127.0.0.1"));

    for endpoints in [everybody, &a.url()] {
        let agree = done(&["digest", "--endpoint", endpoints]);
        assert_eq!(agree.lines().next().unwrap().trim_end(), "NAME  INDEX  DIGEST");
        assert!(agree.contains("\nall 3 replicas agree at index "), "{agree}");
        let agree = done_json(&["digest", "--endpoint", endpoints]);
        assert_eq!(agree["agree"], true);
        assert_eq!(agree["replicas"].as_array().unwrap().len(), 3);
    }
}

/// Replicas that never stand still are compared where all of them have been.
fn agrees_under_load(node: &Node, everybody: &str) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    node.push(&format!("load{worker}"), "m 1\n");
                }
            });
        }
        let agree = ctl(&["digest", "--endpoint", everybody, "--timeout", "60s"]);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(agree.status.code(), Some(0), "{}", String::from_utf8_lossy(&agree.stderr));
    });
}

/// Handing over the lead.
fn leads(node: &Node, everybody: &str) {
    let leader = |url: &str| done_json(&["status", "--endpoint", url])["leader"].clone();
    for to in ["c", "b"] {
        let text = done(&["leader", "transfer", to, "--endpoint", everybody]);
        assert_eq!(text, format!("{to} leads\n"));
        eventually(PATIENCE, "the new leader", || (leader(&node.url()) == to).then_some(()));
    }
    let text = done(&["leader", "transfer", "--endpoint", everybody]);
    assert_eq!(text, "another voter leads\n");
    eventually(PATIENCE, "another leader", || {
        let now = leader(&node.url());
        (now != "b" && now != "").then_some(())
    });
}

#[test]
fn bad_usage_and_help() {
    for words in [&[][..], &["member"], &["nope"], &["status", "--nope"], &["snapshot", "save"]] {
        let err = fails(2, words);
        assert!(err.ends_with("--help\n"), "{err}");
    }
    let help = done(&["--help"]);
    assert!(help.contains("ctl snapshot restore FILE") && help.contains("Exit codes:"), "{help}");
    let help = done(&["snapshot", "restore", "--help"]);
    assert!(help.contains("--storage.path DIR") && help.contains("Examples:"), "{help}");
    let recover = gate_command().args(["recover", "-h"]).output().unwrap();
    assert!(out(&recover).contains("--force-new-cluster"));
    let server = gate_command().arg("--help").output().unwrap();
    assert!(out(&server).contains("quorumgate ctl <command>"));
}

#[test]
fn without_the_admin_api_the_flag_is_named() {
    let server = Server::gate(&[]);
    let url = format!("http://{}", server.addr());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f").display().to_string();
    for words in [
        &["member", "add", "x:1"][..],
        &["member", "remove", "x"],
        &["member", "promote", "x"],
        &["leader", "transfer"],
        &["snapshot", "save", &file],
    ] {
        let err = fails(1, &[words, &["--endpoint", &url]].concat());
        assert!(err.contains("--web.enable-admin-api"), "{words:?}: {err}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    done(&["status", "--endpoint", &url]);
}

#[test]
fn a_saved_snapshot_becomes_a_replica_with_the_same_metrics() {
    let server = Server::gate(&["--web.enable-admin-api", "--web.route-prefix=/x"]);
    let url = format!("http://{}/x", server.addr());
    for n in 0..300 {
        let body = format!("m{{n=\"{n}\"}} {n}\n# TYPE t counter\nt{n} 1\n");
        assert_eq!(server.send("PUT", &format!("/x/metrics/job/j{n}"), &body).status, 200);
    }
    // A refused push leaves its mark as well.
    assert_eq!(server.send("PUT", "/x/metrics/job/bad", "m{n=\"1\",job=\"j1\"} 1 1\n").status, 400);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let file = path.display().to_string();

    let saved = done(&["snapshot", "save", &file, "--endpoint", &url]);
    let inspected = done(&["snapshot", "inspect", &file]);
    assert_eq!(saved, inspected);
    let status = done_json(&["status", "--endpoint", &url]);
    let facts = done_json(&["snapshot", "inspect", &file]);
    assert_eq!(row(&inspected, "groups")[1], facts["groups"].to_string());
    for (name, there) in
        [("digest", "digest"), ("index", "applied_index"), ("cluster_id", "cluster_id")]
    {
        assert_eq!(facts[name], status[there], "{name}");
    }
    assert_eq!(facts["bytes"], std::fs::metadata(&path).unwrap().len());
    assert_eq!(facts["members"].as_array().unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");

    let data = folder.path().join("data").display().to_string();
    let restore = ["snapshot", "restore", &file, "--storage.path", &data, "--cluster.name=r"];
    let made = done_json(&restore);
    assert_ne!(made["cluster_id"], facts["cluster_id"]);
    assert_eq!(made["series"], facts["series"]);
    let metrics = server.send("GET", "/x/metrics", "").text();
    assert!(metrics.lines().count() > 1000);
    let mut restored = Server::gate_in(folder.path(), &["--web.enable-admin-api"]);
    assert!(restored.send("GET", "/metrics", "").text() == metrics, "other metrics");
    assert_eq!(restored.send("PUT", "/metrics/job/more", "z 1\n").status, 200);

    let err = fails(1, &[&restore[..], &["--force"]].concat());
    assert!(err.contains("in use"), "{err}");
    restored.signal("TERM");
    restored.wait();
    refuses_what_is_there(&restore);
    damaged(&path, &folder);
    let restored = Server::gate_in(folder.path(), &[]);
    assert!(restored.send("GET", "/metrics", "").text() == metrics, "other metrics");
}

fn refuses_what_is_there(restore: &[&str]) {
    let err = fails(1, restore);
    assert!(
        err.contains("holds data already (of the replica r)") && err.contains("--force"),
        "{err}"
    );
    let made = done_json(&[restore, &["--force"]].concat());
    let aside = made["set_aside"].as_str().unwrap();
    assert!(Path::new(aside).join("IDENTITY").exists());
}

fn damaged(path: &Path, folder: &TempDir) {
    let good = std::fs::read(path).unwrap();
    let other = folder.path().join("other");
    for at in [3, 40, good.len() / 2, good.len() - 20] {
        let mut bad = good.clone();
        bad[at] ^= 4;
        let file = folder.path().join("bad");
        std::fs::write(&file, bad).unwrap();
        let (file, data) = (file.display().to_string(), other.display().to_string());
        for words in [
            &["snapshot", "inspect", &file][..],
            &["snapshot", "restore", &file, "--storage.path", &data],
        ] {
            let err = fails(1, words);
            assert!(err.contains("cannot be used"), "{err}");
        }
    }
    assert!(!other.exists(), "a damaged file has left something");
}

fn recover(words: &[&str]) -> Output {
    gate_command().arg("recover").args(words).output().unwrap()
}

/// Two of three disks are gone.
#[test]
fn what_is_left_of_a_cluster_grows_again() {
    let [mut a, mut b, mut c] = three();
    for n in 0..20 {
        a.push(&format!("j{n}"), "m 1\n");
    }
    let before = a.metrics();
    eventually(PATIENCE, "all to have it", || {
        let agree = done_json(&["digest", "--endpoint", &a.url()]);
        (agree["replicas"].as_array().unwrap().len() == 3).then_some(())
    });
    let old = done_json(&["status", "--endpoint", &a.url()]);
    let running = recover(&["--storage.path", &a.data()]);
    assert_eq!(running.status.code(), Some(1), "a running replica's folder was taken");
    let addresses = [a.address(), b.address(), c.address()];
    for node in [&mut a, &mut b, &mut c] {
        node.server.as_mut().unwrap().kill();
        node.server = None;
    }
    b.folder = tempfile::tempdir().unwrap();

    let shown = recover(&["--storage.path", &a.data()]);
    assert_eq!(shown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&shown.stderr).contains("--force-new-cluster"));
    let text = out(&shown);
    assert!(
        text.contains("WARNING") && text.contains(old["cluster_id"].as_str().unwrap()),
        "{text}"
    );
    assert_eq!(row(&text, "c")[2], "yes", "{text}");
    let made = recover(&["--storage.path", &a.data(), "--force-new-cluster", "-o", "json"]);
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    assert_ne!(json(&made)["cluster_id"], old["cluster_id"]);
    let nothing = recover(&["--storage.path", &b.data()]);
    assert_eq!(nothing.status.code(), Some(1));

    a.start(&addresses, 3);
    until_healthy(&a, 1);
    assert!(a.metrics() == before, "other metrics");
    a.push("new", "m 2\n");

    // An old member with its old disk is refused, and does not disturb.
    c.start(&addresses, 3);
    let err = eventually(PATIENCE, "a refusal", || {
        let output = ctl(&["status", "--endpoint", &c.url()]);
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code() == Some(3) && err.contains("a: of another cluster")).then_some(err)
    });
    assert!(err.contains("not part of a cluster yet"), "{err}");
    until_healthy(&a, 1);
    c.server = None;
    c.folder = tempfile::tempdir().unwrap();

    b.start(&addresses, 3);
    c.start(&addresses, 3);
    for node in [&a, &b, &c] {
        until_healthy(node, 3);
    }
    let after = a.metrics();
    assert!(after.contains("job=\"new\"") && after.contains("job=\"j19\""));
    for node in [&b, &c] {
        eventually(Duration::from_secs(10), "the same", || (node.metrics() == after).then_some(()));
    }
    let agree = done(&["digest", "--endpoint", &b.url()]);
    assert!(agree.contains("all 3 replicas agree"), "{agree}");
}
