//! What is acknowledged stays, whatever happens to the process, the power and the disk.
//!
//! Every trial ends in one of two ways: all acknowledged pushes are there, or quorumgate refuses to
//! start with one line that says what is damaged. Anything else is a failure.

mod damage;
pub(crate) mod disk;
mod frozen_disk;
pub(crate) mod full_disk;
mod kill;
mod kill_in_recover;
mod load;
mod power_cut;
mod stop_in_recovery;
mod sync_error;

use std::path::Path;

use crate::harness::process::{PATIENCE, Server, gate_command};
use crate::harness::{eventually, say};

use load::{Book, Load};

/// Snapshots are due all the time, so that trials meet them in every state of completion.
const FLAGS: &[&str] = &["--storage.snapshot-entries=300", "--limits.disk-free-bytes=8MiB"];

/// The number of rounds, unless the environment asks for another one.
fn rounds(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |rounds| rounds.parse().unwrap())
}

/// Says that a trial cannot be made here. In CI, as root, all of them can.
pub(crate) fn skip(needs: &str) {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!(root && ci), "this trial must not be skipped here; it needs {needs}");
    say(&format!("SKIPPED: this trial needs {needs}"));
}

/// Pushes until `more` pushes to groups of their own are acknowledged.
fn push_some(server: &Server, book: Book, more: usize) -> Load {
    let before = book.set_len();
    let load = Load::start(server.addr(), book);
    eventually(PATIENCE, "acknowledged pushes", || (load.set_len() >= before + more).then_some(()));
    load
}

fn check(server: &Server, book: &Book) {
    let scrape = server.send("GET", "/metrics", "");
    assert_eq!(scrape.status, 200, "{}", scrape.text());
    book.check(&scrape.text());
}

/// Everything that was pushed, with all times: the scrape and the API's view of it.
fn pushed(server: &Server) -> (String, String) {
    let [scrape, api] = ["/metrics", "/api/v1/metrics"].map(|target| {
        let answer = server.send("GET", target, "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    });
    let own = |line: &&str| !line.contains("pushgateway_build_info");
    (scrape.lines().filter(own).map(|line| format!("{line}\n")).collect(), api)
}

/// Starts quorumgate on a folder that may be damaged: a server, or the one line of its refusal.
fn try_start(folder: &Path) -> Result<Server, String> {
    let mut probe = gate_command();
    probe.arg("--web.listen-address=127.0.0.1:0").args(FLAGS).current_dir(folder);
    probe.arg(format!("--storage.path={}", folder.join("data").display()));
    start_or_refuse(probe, folder)
}

fn start_or_refuse(mut probe: std::process::Command, folder: &Path) -> Result<Server, String> {
    let said = folder.join("said");
    probe.stdout(std::process::Stdio::null());
    probe.stderr(std::fs::File::create(&said).unwrap());
    let mut child = probe.spawn().unwrap();
    let listening = eventually(PATIENCE, "a start or a refusal", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        std::fs::read_to_string(&said).unwrap().contains("listening").then_some(true)
    });
    if listening {
        // It can be started: do so through the harness, which keeps what it says.
        child.kill().unwrap();
        child.wait().unwrap();
        return Ok(Server::gate_in(folder, FLAGS));
    }
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1), "a refusal ends with exit status 1");
    let said = std::fs::read_to_string(&said).unwrap();
    let errors: Vec<_> = said.lines().filter(|line| line.contains("level=error")).collect();
    assert_eq!(errors.len(), 1, "one line says why it refuses:\n{said}");
    Err(errors[0].to_owned())
}
