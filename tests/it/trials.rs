//! What the feature `trials` promises to the suites that use it: a place that is told to panic ends
//! the process at once, and a misspelt name is refused.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::process::{PATIENCE, Server, gate_command};
use crate::harness::{eventually, http};

const SIGABRT: i32 = 6;
const FLAGS: &[&str] = &["--storage.snapshot-entries=20"];

/// The places that a gateway without others comes by.
const ALONE: &[&str] = &[
    "log-append-before",
    "log-append-after",
    "log-fsync-before",
    "log-fsync-after",
    "vote-save-before",
    "vote-save-after",
    "apply-before",
    "apply-after",
    "membership-apply",
    "respond",
    "snapshot-build",
    "snapshot-rename-before",
    "snapshot-rename-after",
    "purge-before",
    "purge-after",
    "identity-write-before",
    "identity-write-after",
    "initialize-before",
    "initialize-after",
];

fn command(folder: &Path, variable: &str, value: &str) -> Command {
    let mut command = gate_command();
    command.arg("--web.listen-address=127.0.0.1:0").args(FLAGS).env(variable, value);
    command.arg(format!("--storage.path={}", folder.join("data").display()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(folder.join("said")).unwrap());
    command
}

fn said(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("said")).unwrap()
}

fn address(folder: &Path) -> Option<std::net::SocketAddr> {
    let said = said(folder);
    let line = said.lines().find(|line| line.contains("msg=listening"))?;
    line.split(" address=").nth(1)?.split(' ').next()?.parse().ok()
}

/// Pushes until the process has ended: the groups that were acknowledged.
fn push_until_it_ends(child: &mut Child, folder: &Path) -> Vec<u32> {
    let mut acknowledged = Vec::new();
    let mut next = 0;
    let status = eventually(PATIENCE, "the process to end", || {
        if let Some(address) = address(folder) {
            let target = format!("/metrics/job/j/n/{next}");
            let push = http::request("PUT", &target, &[], b"a 1\n");
            if http::exchange(address, &push).is_ok_and(|answer| answer.status == 200) {
                acknowledged.push(next);
            }
            next += 1;
        }
        child.try_wait().unwrap()
    });
    assert_eq!(status.signal(), Some(SIGABRT), "{}", said(folder));
    acknowledged
}

#[test]
fn a_place_that_panics_ends_the_process_and_costs_nothing_acknowledged() {
    for place in ALONE {
        let folder = tempfile::tempdir().unwrap();
        // Not the first time, where something has to be acknowledged before.
        let once = ["vote", "membership", "identity", "initialize"];
        let how = if once.iter().any(|begins| place.starts_with(begins)) { "" } else { "5%" };
        let mut asked = command(folder.path(), "FAILPOINTS", &format!("{place}={how}panic"));
        let acknowledged = push_until_it_ends(&mut asked.spawn().unwrap(), folder.path());
        assert!(said(folder.path()).contains("the process aborts"), "{place}");
        let server = Server::gate_in(folder.path(), FLAGS);
        let scrape = server.send("GET", "/metrics", "").text();
        for n in acknowledged {
            assert!(scrape.contains(&format!("n=\"{n}\"")), "{place}: push {n} is lost");
        }
    }
}

#[test]
fn a_misspelt_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, value) in [("QUORUMGATE_BUG", "local-reed"), ("FAILPOINTS", "respnd=panic")] {
        let status = command(folder.path(), variable, value).status().unwrap();
        assert_eq!(status.code(), Some(1));
        assert!(said(folder.path()).contains(value.split('=').next().unwrap()), "{variable}");
    }
    let bug = [("QUORUMGATE_BUG", "local-read")];
    let server = Server::gate_with(folder.path(), FLAGS, &bug);
    let said = server.stderr();
    assert!(said.contains("level=warn") && said.contains("QUORUMGATE_BUG=local-read"), "{said}");
}
