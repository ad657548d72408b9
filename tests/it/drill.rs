//! Drills against real clusters: what they say, what they write, how they end, and what they leave.
//!
//! No figure is judged here but those that do not depend on how fast the machine is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::process::gate_command;
use crate::harness::{eventually, http, process::PATIENCE, say};

/// A slow machine takes long over everything; what counts is that nothing is lost.
const PATIENT: &[&str] =
    &["--rate=60", "--timeout=60s", "--wait=120s", "--max-gap=60s", "--duration=3s"];
/// Leaders are not to change because the machine is slow.
const CALM: &[&str] = &[
    "--cluster.election-timeout=1s",
    "--cluster.heartbeat-interval=100ms",
    "--limits.request-timeout=40s",
];

const ADMIN: &str = "--web.enable-admin-api";

fn drill(flags: &[&str]) -> Output {
    gate_command().arg("drill").args(PATIENT).arg("--quiet").args(flags).output().unwrap()
}

/// The flags of a drill of three local replicas below `folder`.
fn local_flags(folder: &Path) -> Vec<String> {
    let mut all = vec!["--local=3".to_owned()];
    all.push(format!("--storage.path={}", folder.display()));
    all.extend(CALM.iter().map(|flag| format!("--replica-flag={flag}")));
    all
}

/// Such a drill.
fn local(folder: &Path, flags: &[&str]) -> Output {
    let all = local_flags(folder);
    let all: Vec<&str> = all.iter().map(String::as_str).chain(flags.iter().copied()).collect();
    drill(&all)
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), err(output))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The only line of a drill that could not be run.
fn not_run(output: &Output) -> String {
    let said = err(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("quorumgate: error: "), "{said}");
    said
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_killed_leader_costs_no_acknowledged_push() {
    let (folder, reports) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (file, page) = (reports.path().join("a.json"), reports.path().join("a.html"));
    let output = local(
        folder.path(),
        &[
            "--fault=kill",
            "--rounds=2",
            &format!("--json={}", file.display()),
            &format!("--html={}", page.display()),
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).ends_with("verdict: PASS\n"), "{}", said(&output));
    let report = json(&file);
    assert_eq!(report["missing"], 0);
    assert_eq!(report["pushes_at_survivors"]["failed"], 0);
    assert_eq!(report["pushes_at_survivors"]["unknown"], 0);
    assert!(report["pushes"]["acknowledged"].as_u64().unwrap() > 0);
    assert_eq!(report["identical"]["digests"], "yes");
    let rounds = report["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    for round in rounds {
        assert_ne!(round["leader_before"], round["leader_after"], "the leader was killed: {round}");
        assert_eq!(round["endpoints_away"].as_array().unwrap().len(), 1);
    }
    assert!(std::fs::read_to_string(&page).unwrap().contains("<svg"));
    assert!(is_empty(folder.path()), "a drill that has passed leaves its replicas' folders");
}

#[test]
fn a_threshold_that_is_exceeded_is_exit_code_1() {
    let folder = TempDir::new().unwrap();
    let output = local(folder.path(), &["--fault=stop", "--max-gap=1ns", "--json=-"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"]["pass"], false);
    let reason = report["verdict"]["reasons"][0].as_str().unwrap();
    assert!(reason.contains("--max-gap"), "{reason}");
    assert!(!is_empty(folder.path()), "the logs of a drill that has failed are gone");
}

#[test]
fn what_takes_root_is_drilled_or_said_to_be_skipped() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let flags = ["--fault=partition,power-cut,transfer", "--json=-"];
    let output = local(folder.path(), &flags);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["missing"], 0);
    for fault in ["partition", "power-cut", "transfer"] {
        let of_fault = |list: &str| {
            let mut found = report[list].as_array().unwrap().iter();
            found.find(|entry| entry["fault"] == fault).cloned()
        };
        match (of_fault("rounds"), of_fault("skipped")) {
            (Some(round), None) => assert_ne!(round["leader_before"], round["leader_after"]),
            (None, Some(skipped)) => say(&format!("SKIPPED: {fault}: {}", skipped["why"])),
            other => panic!("{fault}: {other:?}"),
        }
    }
    assert!(is_empty(folder.path()), "a drill that has passed leaves its replicas' folders");
}

#[test]
fn a_live_cluster_is_drilled_and_left_as_it_was() {
    let cluster = Cluster::of(THREE, &[CALM, &[ADMIN]].concat());
    cluster.push("g1", "job/mine", "mine 1\n");
    let before = cluster.scrape("g1");
    let endpoints: Vec<String> = THREE.iter().map(|name| cluster.web_address(name)).collect();
    let endpoints = format!("--endpoint={}", endpoints.join(","));

    let output = drill(&[&endpoints, "--json=-"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["missing"], &report["kind"]), (&Value::from(0), &Value::from("live")));
    let round = &report["rounds"][0];
    assert_eq!(round["fault"], "transfer");
    assert_ne!(round["leader_before"], round["leader_after"], "{round}");
    assert_eq!(cluster.scrape("g2"), before, "a drill leaves nothing behind");

    // Through one address, and with a command that does it.
    let transfer = format!(
        "test -n \"$QUORUMGATE_DRILL_LEADER\" && {} ctl leader transfer --endpoint {}",
        gate_command().get_program().display(),
        cluster.web_address("g1")
    );
    let one = format!("--endpoint={}", cluster.web_address("g1"));
    let output = drill(&[&one, "--fault-command", &transfer, "--json=-"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["identical"]["bytes"], "not compared", "one endpoint cannot differ");
    assert_eq!(cluster.scrape("g3"), before, "a drill leaves nothing behind");

    let why = not_run(&drill(&[&one, "--fault-command", "echo no luck >&2; exit 3"]));
    assert!(why.contains("the fault command failed") && why.contains("no luck"), "{why}");
    assert_eq!(cluster.scrape("g3"), before, "a drill that was not run leaves nothing behind");
}

/// A drill that runs, with what it says in a file.
struct Begun {
    child: Child,
    folder: TempDir,
}

impl Begun {
    fn new(flags: &[&str]) -> Begun {
        let folder = TempDir::new().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = gate_command();
        command.arg("drill").args(PATIENT).args(flags).stdout(Stdio::piped()).stderr(log);
        Begun { child: command.spawn().unwrap(), folder }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn until(&self, part: &str) {
        eventually(PATIENCE * 4, part, || self.said().contains(part).then_some(()));
    }

    fn interrupt(&self) {
        let kill = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn end(self) -> Output {
        self.child.wait_with_output().unwrap()
    }
}

/// A replica that a drill has started.
struct Replica {
    pid: String,
    name: String,
    web: SocketAddr,
}

impl Replica {
    /// All that have their folders here.
    fn all_in(folder: &Path) -> Vec<Replica> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let replica = |process: std::fs::DirEntry| {
            let line = std::fs::read(process.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let value = |flag: &str| line.split('\0').find_map(|arg: &str| arg.strip_prefix(flag));
            value("--storage.path=").filter(|path| Path::new(path).starts_with(folder))?;
            let pid = process.file_name().into_string().ok()?;
            let name = value("--cluster.name=")?.to_owned();
            Some(Replica { pid, name, web: value("--web.listen-address=")?.parse().ok()? })
        };
        processes.filter_map(replica).collect()
    }

    fn leader(&self) -> String {
        let answer = http::send(self.web, "GET", "/api/v1/cluster", b"");
        let status: Value = serde_json::from_slice(&answer.body).unwrap();
        status["data"]["leader"].as_str().unwrap().to_owned()
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid);
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

#[test]
fn where_nobody_takes_over_it_heals_and_reports_all_the_same() {
    let (folder, reports) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = reports.path().join("a.json");
    let mut flags = local_flags(folder.path());
    flags.push(format!("--json={}", file.display()));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let rest = ["--fault=kill", "--rounds=2", "--duration=10s", "--wait=20s"];
    let drill = Begun::new(&[&flags[..], &rest].concat());
    drill.until("s  acknowledged");
    let replicas = Replica::all_in(folder.path());
    let leader = replicas[0].leader();
    let frozen = replicas.iter().find(|replica| replica.name != leader).unwrap();
    // Without it and the leader, which is about to be killed, one of three is left.
    frozen.signal("STOP");
    drill.until("no leader without");
    frozen.signal("CONT");
    let output = drill.end();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = json(&file);
    assert_eq!(report["verdict"]["pass"], false);
    let reasons = report["verdict"]["reasons"].to_string();
    assert!(reasons.contains(&format!("round 1: no leader without {leader}")), "{reasons}");
    let rounds = report["rounds"].as_array().unwrap();
    assert_eq!((rounds.len(), &rounds[0]["whole"]), (1, &true.into()), "it is healed: {report}");
    assert_eq!(report["missing"], 0);
    let kept = report["remarks"].to_string();
    assert!(kept.contains("logs and folders are kept in"), "{kept}");
    assert!(!is_empty(folder.path()), "the logs of a drill that has failed are gone");
}

#[test]
fn a_command_that_fails_after_the_first_round_is_reported() {
    let cluster = Cluster::of(THREE, &[CALM, &[ADMIN]].concat());
    cluster.push("g1", "job/mine", "mine 1\n");
    let before = cluster.scrape("g1");
    let folder = TempDir::new().unwrap();
    let (file, healed) = (folder.path().join("a.json"), folder.path().join("healed"));
    let fault = format!(
        "test $QUORUMGATE_DRILL_ROUND = 1 || {{ echo no luck >&2; exit 3; }}; \
         {} ctl leader transfer --endpoint {}",
        gate_command().get_program().display(),
        cluster.web_address("g1")
    );
    let endpoints: Vec<String> = THREE.iter().map(|name| cluster.web_address(name)).collect();
    let output = drill(&[
        &format!("--endpoint={}", endpoints.join(",")),
        "--rounds=3",
        &format!("--fault-command={fault}"),
        &format!("--heal-command=echo $QUORUMGATE_DRILL_ROUND >> {}", healed.display()),
        &format!("--json={}", file.display()),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = json(&file);
    let reasons = report["verdict"]["reasons"].as_array().unwrap();
    let [reason] = reasons.as_slice() else { panic!("{reasons:?}") };
    let reason = reason.as_str().unwrap();
    assert!(reason.starts_with("round 2: the fault command failed: "), "{reason}");
    assert!(reason.ends_with("no luck"), "{reason}");
    assert_eq!(report["rounds"].as_array().unwrap().len(), 2, "a third one proves nothing");
    assert_eq!((&report["missing"], &report["identical"]["digests"]), (&0.into(), &"yes".into()));
    assert_eq!(std::fs::read_to_string(healed).unwrap(), "1\n2\n", "both rounds are healed");
    assert_eq!(cluster.scrape("g3"), before, "a drill leaves nothing behind");
}

#[test]
fn a_drill_that_is_interrupted_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let path = format!("--storage.path={}", folder.path().display());
    let drill = Begun::new(&["--local=3", &path]);
    eventually(PATIENCE, "replicas", || (!is_empty(folder.path())).then_some(()));
    drill.interrupt();
    assert_eq!(drill.end().status.code(), Some(2));
    assert!(is_empty(folder.path()), "the replicas' folders are left");

    let cluster = Cluster::of(THREE, CALM);
    let one = format!("--endpoint={}", cluster.web_address("g1"));
    let drill = Begun::new(&["--fault=manual", &one]);
    drill.until("kill, pause or isolate a replica now");
    assert!(cluster.scrape("g2").contains("quorumgate_drill"));
    drill.interrupt();
    drill.until("quorumgate: error: interrupted");
    assert_eq!(drill.end().status.code(), Some(2));
    assert!(!cluster.scrape("g2").contains("quorumgate_drill"), "groups are left");
}

#[test]
fn a_person_is_asked_and_noticed() {
    let mut cluster = Cluster::of(THREE, &[CALM, &[ADMIN]].concat());
    let leader = cluster.leader();
    let endpoints: Vec<String> = THREE.iter().map(|name| cluster.web_address(name)).collect();
    let flags = ["--fault=manual".to_owned(), format!("--endpoint={}", endpoints.join(","))];
    let flags = flags.each_ref().map(String::as_str);
    let drill = Begun::new(&[&flags[..], &["--json=-"]].concat());
    drill.until("kill, pause or isolate a replica now");
    cluster.kill(leader);
    drill.until("noticed");
    cluster.start(leader);
    let output = drill.end();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["missing"], &report["scrapes"]["stale"]), (&0.into(), &0.into()));
    let away = report["rounds"][0]["endpoints_away"].as_array().unwrap();
    let killed = THREE.iter().position(|name| *name == leader).unwrap();
    assert!(away.contains(&killed.into()), "{away:?} {killed}");
}

#[test]
fn what_cannot_be_run_is_one_line_and_exit_code_2() {
    let why = not_run(&drill(&["--local=4"]));
    assert!(why.contains("must be 3, 5 or 7") && why.contains("try quorumgate drill --help"));
    let why = not_run(&drill(&["--endpoint=127.0.0.1:1", "--wait=1s"]));
    assert!(why.contains("the cluster is not whole") && why.contains("refused"), "{why}");
    let folder = TempDir::new().unwrap();
    let why = not_run(&local(folder.path(), &["--replica-flag=--nope"]));
    assert!(why.contains("gate-0 stopped") && why.contains("--nope"), "{why}");
}

#[test]
fn without_the_admin_api_it_says_what_to_do() {
    let cluster = Cluster::of(THREE, &["--cluster.election-timeout=1s"]);
    let one = format!("--endpoint={}", cluster.web_address("g2"));
    let why = not_run(&drill(&[&one]));
    assert!(why.contains("--web.enable-admin-api") && why.contains("--fault manual"), "{why}");
    assert!(!cluster.scrape("g1").contains("quorumgate_drill"), "it leaves nothing behind");
}
