//! Whether the simulator bites: with each deliberate bug that lives at its level it has to fail.

use std::process::Command;

use crate::trials::Bug;

const TEST: &str = "raft::tests::sim::whatever_chance_has_the_promises_hold";
/// Schedules after which a bug counts as not noticed.
const SCHEDULES_MAX: u64 = 3000;

const BUGS: &[Bug] = &[
    Bug::LocalRead,
    Bug::AckBeforeFsync,
    Bug::BareSledFlush,
    Bug::VoteNotStored,
    Bug::NoDedupe,
    Bug::ApplyLocalTime,
    Bug::SnapshotForgets,
    Bug::LeaseRead,
    Bug::WipedNodeVotes,
    Bug::PurgeBeforeSnapshot,
];

#[test]
#[expect(clippy::print_stderr, reason = "how fast each was noticed is the result")]
fn each_deliberate_bug_is_noticed() {
    let mut unnoticed = Vec::new();
    for bug in BUGS {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env("QUORUMGATE_BUG", bug.name())
            .env("SIM_SEEDS", SCHEDULES_MAX.to_string())
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        let lines = || said.lines();
        let when = lines().rev().find(|line| line.starts_with("after "));
        let why = lines().skip_while(|line| *line != "--- broken:").nth(1);
        match (when, why) {
            (Some(when), Some(why)) => eprintln!("{}: {when}: {why}", bug.name()),
            _ => unnoticed.push(bug.name()),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
}
