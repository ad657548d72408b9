//! A signal while the state is being recovered: the process stops in time, with success, before it
//! has served anything, and the next start has everything.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::pushed;
use crate::harness::process::{PATIENCE, Server, gate_command};
use crate::harness::{eventually, say};

/// Everything stays in the log, so that a start without the state database has a lot to do.
const FLAGS: &[&str] = &["--storage.snapshot-entries=1000000", "--storage.snapshot-bytes=1GiB"];

/// How often the moment may be missed.
const TRIES: u32 = 5;

/// How far the recovery has come when the signal arrives.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The log and the state database are being read.
    Reading,
    /// The log is being applied.
    Applying,
}

#[test]
fn a_signal_stops_a_long_recovery() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let before = make_long_log(folder.path());
    for moment in [Moment::Reading, Moment::Applying] {
        // A signal that comes when all is done shows nothing.
        let hit = (0..TRIES).any(|_| stop_at(moment, folder.path()));
        assert!(hit, "{moment:?}: it was not stopped before it served");
    }
    let server = Server::gate_in(folder.path(), FLAGS);
    assert!(pushed(&server) == before, "something is lost");
}

/// Starts, stops by a signal at that moment, and tells whether that was before anything was served.
fn stop_at(moment: Moment, folder: &Path) -> bool {
    forget_state(folder);
    let mut child = start(folder);
    eventually(PATIENCE, "the recovery", || {
        assert!(child.try_wait().unwrap().is_none(), "{}", said(folder));
        has_come_to(moment, &child, folder).then_some(())
    });
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let signalled = Instant::now();
    let status = eventually(PATIENCE, "the process to stop", || child.try_wait().unwrap());
    let said = said(folder);
    say(&format!("{moment:?}: stopped after {:?}", signalled.elapsed()));
    assert_eq!(status.code(), Some(0), "{moment:?}: {said}");
    assert!(said.contains("received SIGTERM"), "{moment:?}: {said}");
    assert!(!said.contains("level=error"), "{moment:?}: {said}");
    !said.contains("listening")
}

/// Makes a log that takes seconds to apply: what it adds up to.
fn make_long_log(folder: &Path) -> (String, String) {
    let server = Server::gate_in(folder, FLAGS);
    let body: String = (0..3000).map(|n| format!("a{{x=\"{n}\"}} {n}\n")).collect();
    for n in 0..100 {
        let answer = server.send("PUT", &format!("/metrics/job/j/n/{n}"), &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    pushed(&server)
}

/// Leaves the log alone to tell the state.
fn forget_state(folder: &Path) {
    let data = folder.join("data");
    // A start that was stopped early has made none of it.
    drop(std::fs::remove_dir_all(data.join("state")));
    drop(std::fs::remove_file(data.join("state-mark")));
    drop(std::fs::remove_file(data.join("state.opening")));
}

fn start(folder: &Path) -> Child {
    let mut command = gate_command();
    command.arg("--web.listen-address=127.0.0.1:0").args(FLAGS).current_dir(folder);
    command.arg(format!("--storage.path={}", folder.join("data").display()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(folder.join("said")).unwrap());
    command.spawn().unwrap()
}

fn said(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("said")).unwrap()
}

fn has_come_to(moment: Moment, child: &Child, folder: &Path) -> bool {
    match moment {
        Moment::Reading => {
            let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", child.id())) else {
                return false;
            };
            let lock = folder.join("data/LOCK");
            // Files come and go meanwhile.
            open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path == lock))
        }
        Moment::Applying => said(folder).contains("recovered the state"),
    }
}
