//! A disk that does not answer any more: who is told to stop gives up in time, and says so.

use std::time::{Duration, Instant};

use super::disk::Disk;
use super::load::Book;
use super::{FLAGS, check, push_some, skip};
use crate::harness::process::{PATIENCE, Server};
use crate::harness::{eventually, say};

/// The sum of all waits: for requests (here 1 s), Raft (5 s), the state database (10 s), the log
/// (5 s) and what still runs after that (5 s); and as much again for a busy machine.
const BOUND: Duration = Duration::from_secs(52);

#[test]
fn a_disk_that_does_not_answer_does_not_hold_up_the_stop() {
    let Some(disk) = Disk::new(192) else {
        return skip("root and loop mounts");
    };
    let flags = [FLAGS, &["--limits.shutdown-timeout=1s"]].concat();
    let mut server = Server::gate_in(&disk.mount_point(), &flags);
    let load = push_some(&server, Book::default(), 50);
    let frozen = disk.freeze();
    eventually(PATIENCE, "the log thread to be stuck with a push", || {
        (thread_state(&server, "raft-log") == 'D').then_some(())
    });
    server.signal("TERM");
    let signalled = Instant::now();
    // The thread that writes cannot be ended, not even by the kernel, so that the process is not
    // gone; but the rest of it is.
    eventually(BOUND, "the process to give up", || {
        (thread_state(&server, "quorumgate") == 'Z').then_some(())
    });
    say(&format!("a disk that does not answer: gave up after {:?}", signalled.elapsed()));
    let said = server.stderr();
    // Raft has something to say of the requests that were given up.
    let mut errors = said.lines().filter(|line| line.contains("level=error"));
    let last = errors.next_back().unwrap_or_default();
    for part in ["quorumgate cannot go on", "the disk does not answer", "start again"] {
        assert!(last.contains(part), "{said}");
    }

    drop(frozen);
    assert_eq!(server.wait().code(), Some(1), "{}", server.stderr());
    let book = load.finish();
    let server = Server::gate_in(&disk.mount_point(), FLAGS);
    check(&server, &book);
}

/// What the kernel says that a thread does: `D` while it waits for the disk, `Z` once it has ended. The
/// main thread has the program's name.
fn thread_state(server: &Server, name: &str) -> char {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let mut stats = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).ok()?;
        // The name stands in parentheses and may hold anything.
        let (head, rest) = stat.rsplit_once(") ").unwrap();
        (head.rsplit_once('(').unwrap().1 == name).then(|| rest.chars().next().unwrap())
    });
    stats.next().unwrap()
}
