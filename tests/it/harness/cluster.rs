//! A cluster of real processes on this machine.
//!
//! Each replica has an address of its own in the loopback network, so that no other process takes its
//! port while it is down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::links::Links;
use super::process::{PATIENCE, Server};
use super::{eventually, http};

/// The names of three replicas.
pub(crate) const THREE: &[&str] = &["g1", "g2", "g3"];

static CLUSTERS: AtomicU16 = AtomicU16::new(0);

/// The replicas of one cluster, by name: `g1` to `g9`. Those that run are killed on drop.
pub(crate) struct Cluster {
    servers: BTreeMap<&'static str, Server>,
    number: u16,
    founders: &'static [&'static str],
    flags: Vec<String>,
    /// Where the flags put the routes.
    prefix: String,
    /// What stands between the replicas, if their links can be cut.
    links: Option<Links>,
    /// Replicas that have another address than at first.
    moved: BTreeSet<&'static str>,
    folder: TempDir,
}

impl Cluster {
    /// Replicas that form a cluster when they are started.
    pub(crate) fn prepared(founders: &'static [&'static str], flags: &[&str]) -> Cluster {
        Cluster {
            servers: BTreeMap::new(),
            number: CLUSTERS.fetch_add(1, Ordering::Relaxed),
            founders,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            prefix: String::new(),
            links: None,
            moved: BTreeSet::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Says where the flags put the routes, if they move them.
    pub(crate) fn route_under(&mut self, prefix: &str) {
        prefix.clone_into(&mut self.prefix);
    }

    /// Replicas that have formed a cluster and are ready.
    pub(crate) fn of(founders: &'static [&'static str], flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::prepared(founders, flags);
        for name in founders {
            cluster.start(name);
        }
        cluster.until_ready(founders);
        cluster
    }

    /// Replicas that have formed a cluster, with links between them that can be cut.
    pub(crate) fn linked(founders: &'static [&'static str], flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::prepared(founders, flags);
        let links = Links::default();
        for name in founders {
            links.relay(name, &cluster.address(name), &cluster.hidden_address(name));
        }
        cluster.links = Some(links);
        for name in founders {
            cluster.start(name);
        }
        cluster.until_ready(founders);
        cluster
    }

    /// The links that can be cut.
    pub(crate) fn links(&self) -> &Links {
        self.links.as_ref().unwrap()
    }

    /// Loses everything between a replica and the others.
    pub(crate) fn isolate(&self, name: &str) {
        for other in self.founders.iter().filter(|other| **other != name) {
            self.links().cut(name, other);
            self.links().cut(other, name);
        }
    }

    /// Gives a replica that does not run another address, for clients and for the others.
    pub(crate) fn relocate(&mut self, name: &'static str) {
        assert!(!self.servers.contains_key(name), "{name} runs");
        self.moved.insert(name);
    }

    /// Has replicas that are started from now on look for these.
    pub(crate) fn found(&mut self, founders: &'static [&'static str]) {
        self.founders = founders;
    }

    /// Where the others reach a replica.
    pub(crate) fn address(&self, name: &str) -> String {
        let last = name.trim_start_matches('g');
        let tens = if self.moved.contains(name) { "1" } else { "" };
        // Several runs of the tests may share a machine.
        let port = 20_000 + std::process::id() % 10_000;
        // The comparison with the original alone makes hundreds of clusters.
        let [high, low] = self.number.to_be_bytes();
        format!("127.{}.{low}.{tens}{last}:{port}", 1 + high)
    }

    /// Where a replica listens behind its relay.
    fn hidden_address(&self, name: &str) -> String {
        self.address(name).replacen("127.", "127.10", 1)
    }

    /// Where clients reach a replica, whenever it runs.
    pub(crate) fn web_address(&self, name: &str) -> String {
        let (host, port) =
            self.address(name).split_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
        format!("{host}:{}", port.parse::<u32>().unwrap() + 10_000)
    }

    /// The folder of a replica's disk.
    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).join("data")
    }

    /// Has a replica that was never started keep its data below that folder.
    pub(crate) fn put_on(&self, name: &str, folder: &Path) {
        std::os::unix::fs::symlink(folder, self.folder.path().join(name)).unwrap();
    }

    /// Starts a replica, new or again, and waits until it listens.
    pub(crate) fn start(&mut self, name: &'static str) {
        self.start_with(name, &[]);
    }

    /// The same, with more flags than the others have.
    pub(crate) fn start_with(&mut self, name: &'static str, more: &[&str]) {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let join: Vec<String> = self.founders.iter().map(|name| self.address(name)).collect();
        let listen = match self.links {
            Some(_) => self.hidden_address(name),
            None => self.address(name),
        };
        let mut flags = vec![
            format!("--cluster.listen-address={listen}"),
            format!("--cluster.advertise-address={}", self.address(name)),
            format!("--cluster.name={name}"),
            format!("--cluster.join={}", join.join(",")),
            format!("--cluster.bootstrap-expect={}", self.founders.len()),
            format!("--web.listen-address={}", self.web_address(name)),
        ];
        flags.extend(self.flags.iter().cloned());
        let flags: Vec<&str> =
            flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let server = Server::gate_in(&folder, &flags).named(name);
        if let Some(links) = &self.links {
            links.runs_as(name, server.pid());
        }
        assert!(self.servers.insert(name, server).is_none(), "{name} runs already");
    }

    /// The replicas that run.
    pub(crate) fn running(&self) -> Vec<&'static str> {
        self.servers.keys().copied().collect()
    }

    pub(crate) fn server(&self, name: &str) -> &Server {
        &self.servers[name]
    }

    /// Ends a replica the hard way; its disk stays.
    pub(crate) fn kill(&mut self, name: &str) {
        self.servers.remove(name).unwrap().kill();
    }

    /// Asks a replica to stop, and waits until it has.
    pub(crate) fn stop(&mut self, name: &str) -> ExitStatus {
        self.server(name).signal("TERM");
        self.until_stopped(name).0
    }

    /// Waits until a replica that was asked to stop has done so; how it ended and what it said.
    pub(crate) fn until_stopped(&mut self, name: &str) -> (ExitStatus, String) {
        let mut server = self.servers.remove(name).unwrap();
        let status = server.wait();
        (status, server.stderr())
    }

    /// Throws away the disk of a replica that does not run.
    pub(crate) fn wipe_disk(&self, name: &str) {
        assert!(!self.servers.contains_key(name), "{name} runs");
        std::fs::remove_dir_all(self.disk(name)).unwrap();
    }

    /// A plain request to a replica, which must be answered.
    pub(crate) fn send(
        &self,
        name: &str,
        method: &str,
        target: &str,
        body: &str,
    ) -> http::Response {
        self.server(name).send(method, target, body)
    }

    /// A push that must succeed.
    pub(crate) fn push(&self, name: &str, group: &str, body: &str) {
        let answer = self.send(name, "PUT", &format!("/metrics/{group}"), body);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }

    /// A scrape that must succeed.
    pub(crate) fn scrape(&self, name: &str) -> String {
        let answer = self.send(name, "GET", "/metrics", "");
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        answer.text()
    }

    /// The cluster as one replica sees it: the `data` of `/api/v1/cluster`.
    pub(crate) fn status(&self, name: &str) -> Value {
        let answer = self.send(name, "GET", "/api/v1/cluster", "");
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let mut json: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["status"], "success");
        json["data"].take()
    }

    /// A field of one replica's member as another replica sees it.
    pub(crate) fn member(&self, at: &str, name: &str, field: &str) -> Value {
        let status = self.status(at);
        let members = status["members"].as_array().unwrap();
        let member = members.iter().find(|member| member["name"] == name);
        member.map_or(Value::Null, |member| member[field].clone())
    }

    /// The members that a replica sees, voters and others.
    pub(crate) fn members(&self, at: &str) -> (Vec<String>, Vec<String>) {
        let status = self.status(at);
        let members = status["members"].as_array().unwrap().iter();
        let (voters, others): (Vec<_>, Vec<_>) =
            members.partition(|member| member["voter"] == true);
        let names = |members: Vec<&Value>| {
            members.into_iter().map(|member| member["name"].as_str().unwrap().to_owned()).collect()
        };
        (names(voters), names(others))
    }

    /// Waits until all these say that exactly `voters` are members.
    pub(crate) fn until_voters(&self, at: &[&str], voters: &[&str]) {
        for name in at {
            eventually(PATIENCE, &format!("{voters:?} to be all members for {name}"), || {
                let (found, others) = self.members(name);
                (found == voters && others.is_empty()).then_some(())
            });
        }
    }

    pub(crate) fn ready(&self, name: &str) -> http::Response {
        self.send(name, "GET", &format!("{}/-/ready?verbose", self.prefix), "")
    }

    /// Waits until all these replicas take requests.
    pub(crate) fn until_ready(&self, names: &[&str]) {
        for name in names {
            let mut said = String::new();
            let deadline = std::time::Instant::now() + PATIENCE;
            while std::time::Instant::now() < deadline {
                let ready = self.ready(name);
                if ready.status == 200 {
                    said.clear();
                    break;
                }
                said = ready.text();
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(said.is_empty(), "{name} does not become ready:\n{said}");
        }
    }

    /// Who leads, once all these agree on one of them.
    pub(crate) fn leader_among(&self, names: &[&'static str]) -> &'static str {
        eventually(PATIENCE, &format!("a leader among {names:?}"), || {
            let leaders: Vec<String> = names
                .iter()
                .map(|name| self.status(name)["leader"].as_str().unwrap().to_owned())
                .collect();
            let first = names.iter().find(|name| **name == leaders[0])?;
            leaders.iter().all(|leader| leader == first).then_some(*first)
        })
    }

    /// Who leads, once all that run agree.
    pub(crate) fn leader(&self) -> &'static str {
        self.leader_among(&self.running())
    }

    /// Someone who runs and does not lead.
    pub(crate) fn follower(&self) -> &'static str {
        let leader = self.leader();
        self.running().into_iter().find(|name| *name != leader).unwrap()
    }

    /// The cluster's id as all these see it.
    pub(crate) fn id(&self, names: &[&str]) -> String {
        let ids: Vec<String> = names
            .iter()
            .map(|name| self.status(name)["cluster_id"].as_str().unwrap().to_owned())
            .collect();
        assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        ids[0].clone()
    }

    /// Waits until all these have applied the same log index, and then insists that all answer with
    /// the same bytes, in every form in which what is stored can be had.
    pub(crate) fn agree(&self, names: &[&str]) {
        eventually(PATIENCE, "all replicas to stand at one log index", || {
            let before = self.positions(names);
            let differing =
                FORMS.iter().find_map(|(path, headers)| self.differing(names, path, headers));
            // While something is still being applied nothing follows from a difference.
            if self.positions(names) != before || before.iter().any(|at| *at != before[0]) {
                return None;
            }
            assert!(differing.is_none(), "{}", differing.unwrap_or_default());
            Some(())
        });
    }

    /// The log index, and the digest of the state at it.
    fn positions(&self, names: &[&str]) -> Vec<(u64, String)> {
        let position = |name: &&str| {
            let status = self.status(name);
            (status["applied_index"].as_u64().unwrap(), status["digest"].to_string())
        };
        names.iter().map(position).collect()
    }

    /// What differs between the replicas' answers.
    fn differing(&self, names: &[&str], path: &str, headers: &[(&str, &str)]) -> Option<String> {
        let request = http::request("GET", path, headers, b"");
        let scrapes: Vec<http::Response> = names
            .iter()
            .map(|name| {
                let answer = http::exchange(self.server(name).addr(), &request).unwrap();
                assert_eq!(answer.status, 200, "{name}: {}", answer.text());
                answer
            })
            .collect();
        scrapes.iter().zip(names).find_map(|(scrape, name)| {
            let same = scrape.body == scrapes[0].body
                && ["X-Quorumgate-Index", "Content-Type", "Content-Encoding"]
                    .iter()
                    .all(|header| scrape.header(header) == scrapes[0].header(header));
            (!same).then(|| {
                format!("{path} {headers:?}: {} says {:?}, {name} {scrape:?}", names[0], scrapes[0])
            })
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(links) = &self.links {
            links.end();
        }
    }
}

/// The forms in which what is stored can be had.
const FORMS: &[(&str, &[(&str, &str)])] = &[
    ("/metrics", &[]),
    ("/metrics", &[GZIP]),
    ("/metrics", &[("Accept", "text/plain;version=1.0.0;escaping=allow-utf-8"), GZIP]),
    ("/metrics", &[DELIMITED]),
    ("/metrics", &[DELIMITED, GZIP]),
    ("/api/v1/metrics", &[]),
];

const GZIP: (&str, &str) = ("Accept-Encoding", "gzip");
const DELIMITED: (&str, &str) = (
    "Accept",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
);
