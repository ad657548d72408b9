//! A disk that fills up and is freed again: pushes are refused meanwhile, and nothing is lost.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::load::Book;
use super::{FLAGS, check, push_some, pushed, skip};
use crate::harness::eventually;
use crate::harness::process::{PATIENCE, Server};

#[test]
fn a_full_disk_refuses_pushes_until_it_is_freed() {
    let Some(disk) = Disk::new(192) else {
        return skip("root and loop mounts");
    };
    let server = Server::gate_in(&disk.mount_point(), FLAGS);
    let book = push_some(&server, Book::default(), 20).finish();

    let filler = disk.mount_point().join("filler");
    fill(&filler);
    let refusal = eventually(PATIENCE, "a refusal", || {
        let answer = server.send("PUT", "/metrics/job/one_too_many", "x 1\n");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refusal.status, 507, "{}", refusal.text());
    assert!(refusal.text().contains("--limits.disk-free-bytes"), "{}", refusal.text());
    check(&server, &book);
    let ready = server.send("GET", "/-/ready", "");
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(server.send("GET", "/-/healthy", "").status, 200);

    std::fs::remove_file(&filler).unwrap();
    eventually(PATIENCE, "pushes to be taken again", || {
        (server.send("PUT", "/metrics/job/again", "x 1\n").status == 200).then_some(())
    });
    let book = push_some(&server, book, 20).finish();
    check(&server, &book);
}

#[test]
fn a_disk_that_fills_up_under_load_loses_nothing() {
    let Some(disk) = Disk::new(192) else {
        return skip("root and loop mounts");
    };
    // Without the reserve, the log itself meets the end of the disk.
    let flags = ["--limits.disk-free-bytes=0", "--storage.snapshot-entries=300"];
    let mut server = Server::gate_in(&disk.mount_point(), &flags);
    let load = push_some(&server, Book::default(), 20);
    let filler = disk.mount_point().join("filler");
    fill(&filler);
    // Either it goes on in the space that it has, or it stops; it never promises what it can't keep.
    let before = load.acknowledged();
    eventually(PATIENCE, "the end of the disk, or more pushes", || {
        (server.has_stopped() || load.acknowledged() > before + 100).then_some(())
    });
    server.kill();
    let book = load.finish();
    std::fs::remove_file(&filler).unwrap();
    let server = Server::gate_in(&disk.mount_point(), FLAGS);
    check(&server, &book);
}

#[test]
fn a_push_that_would_use_up_the_reserve_is_refused() {
    let Some(disk) = Disk::new(192) else {
        return skip("root and loop mounts");
    };
    let folder = disk.mount_point();
    drop(Server::gate_in(&folder, FLAGS));
    let reserve = free_bytes(&folder) - 24 * MIB;
    let reserve = format!("--limits.disk-free-bytes={reserve}");
    let server = Server::gate_in(&folder, &[&reserve]);
    assert_eq!(server.send("PUT", "/metrics/job/small", "a 1\n").status, 200);
    let before = pushed(&server);

    let refusal = server.send("PUT", "/metrics/job/large", &incompressible(32));
    assert_eq!(refusal.status, 507, "{}", refusal.text());
    assert!(refusal.text().contains("--limits.disk-free-bytes"), "{}", refusal.text());
    assert_eq!(pushed(&server), before);
    // It was refused for its size: the disk has room, and a smaller one is taken.
    assert_eq!(server.send("GET", "/-/ready", "").status, 200);
    assert_eq!(server.send("PUT", "/metrics/job/large", &incompressible(2)).status, 200);
    let before = pushed(&server);
    drop(server);
    assert_eq!(pushed(&Server::gate_in(&folder, FLAGS)), before);
}

/// Each of them alone would fit; all together they would not.
#[test]
fn pushes_that_would_use_up_the_disk_together_are_refused() {
    let Some(disk) = Disk::new(192) else {
        return skip("root and loop mounts");
    };
    let folder = disk.mount_point();
    let mut server = Server::gate_in(&folder, FLAGS);
    fill_up_to(&folder, 32 * MIB);
    eventually(PATIENCE, "the space to be noticed", || {
        server.metric("quorumgate_disk_free_bytes").filter(|free| *free < 40e6)
    });
    let body = incompressible(8);
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let push = |n: usize| server.send("PUT", &format!("/metrics/job/j/n/{n}"), &body).status;
        let clients: Vec<_> = (0..12).map(|n| scope.spawn(move || push(n))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|status| [200, 507].contains(status)), "{answers:?}");
    assert!(answers.contains(&200) && answers.contains(&507), "{answers:?}");
    assert!(!server.has_stopped());
    let before = pushed(&server);
    for (n, status) in answers.iter().enumerate() {
        let series = format!("big{{instance=\"\",job=\"j\",n=\"{n}\",x=\"");
        assert_eq!(before.0.contains(&series), *status == 200, "push {n}");
    }
    server.kill();
    assert_eq!(pushed(&Server::gate_in(&folder, FLAGS)), before);
}

#[test]
fn a_snapshot_that_does_not_fit_waits_for_space() {
    let Some(disk) = Disk::new(192) else {
        return skip("root and loop mounts");
    };
    let folder = disk.mount_point();
    let mut server = Server::gate_in(&folder, &[FLAGS[1]]);
    // Of many groups: the state database rewrites large items more often than there is space for.
    let body = incompressible(1);
    for n in 0..16 {
        for m in 0..16 {
            let value = &body[n * 50_000 + m + 8..][..60_000];
            let push = format!("/metrics/job/large/n/{n}/m/{m}");
            let answer = server.send("PUT", &push, &format!("big{{x=\"{value}\"}} 1\n"));
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    // Stopped, so that the state database is not written while the disk fills up.
    server.signal("TERM");
    assert!(server.wait().success());
    let filler = fill_up_to(&folder, 24 * MIB);
    let server = Server::gate_in(&folder, &["--storage.snapshot-entries=300", FLAGS[1]]);
    eventually(PATIENCE, "the space to be noticed", || {
        server.metric("quorumgate_disk_free_bytes").filter(|free| *free < 30e6)
    });

    let push = |n: u32| {
        let answer = server.send("PUT", "/metrics/job/small", &format!("a {n}\n"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let held_back = "no disk space for a snapshot";
    (0..200).for_each(push);
    eventually(PATIENCE, "the snapshot to be held back", || {
        server.stderr().contains(held_back).then_some(())
    });
    (200..400).for_each(push);
    assert_eq!(server.metric("quorumgate_snapshot_last_bytes"), None);
    assert!(
        server.send("GET", "/metrics", "").text().contains("a{instance=\"\",job=\"small\"} 399\n")
    );
    assert_eq!(server.send("GET", "/-/ready", "").status, 200);

    std::fs::remove_file(filler).unwrap();
    let bytes =
        eventually(PATIENCE, "the snapshot", || server.metric("quorumgate_snapshot_last_bytes"));
    assert!(bytes > 15e6, "{bytes}");
    assert_eq!(server.stderr().matches(held_back).count(), 1, "{}", server.stderr());
    let before = pushed(&server);
    drop(server);
    assert_eq!(pushed(&Server::gate_in(&folder, FLAGS)), before);
}

/// Small changes beside large values: what the state database writes for them must leave the log
/// its reserve.
#[test]
fn the_state_database_leaves_the_log_its_reserve() {
    let Some(disk) = Disk::new(192) else {
        return skip("root and loop mounts");
    };
    let folder = disk.mount_point();
    let mut server = Server::gate_in(&folder, FLAGS);
    let large = server.send("PUT", "/metrics/job/large", &incompressible(16));
    assert_eq!(large.status, 200, "{}", large.text());
    server.signal("TERM");
    assert!(server.wait().success());
    let filler = fill_up_to(&folder, 24 * MIB);
    let server = Server::gate_in(&folder, FLAGS);
    eventually(PATIENCE, "the space to be noticed", || {
        server.metric("quorumgate_disk_free_bytes").filter(|free| *free < 30e6)
    });
    // Over several of its writes.
    let end = Instant::now() + Duration::from_secs(4);
    for n in 0.. {
        let answer = server.send("PUT", "/metrics/job/small", &format!("a {n}\n"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(free_bytes(&folder) >= 8 * MIB, "{} bytes are free", free_bytes(&folder));
        if Instant::now() > end {
            break;
        }
    }
    let before = pushed(&server);
    drop(server);
    std::fs::remove_file(filler).unwrap();
    assert_eq!(pushed(&Server::gate_in(&folder, FLAGS)), before);
}

pub(crate) const MIB: u64 = 1 << 20;

/// A push of so many mebibytes, which no compression makes smaller.
fn incompressible(mebibytes: usize) -> String {
    const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    let mut state = 1_u64;
    let mut character = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(ALPHABET[(state >> 58) as usize])
    };
    let mut value = || -> String { (0..1000 << 10).map(|_| character()).collect() };
    (0..mebibytes).map(|_| format!("big{{x=\"{}\"}} 1\n", value())).collect()
}

fn free_bytes(folder: &Path) -> u64 {
    let stat = rustix::fs::statvfs(folder).unwrap();
    stat.f_bavail * stat.f_frsize
}

/// Writes a file that leaves about so many bytes free.
pub(crate) fn fill_up_to(folder: &Path, left: u64) -> PathBuf {
    let filler = folder.join("filler");
    let mut file = File::create(&filler).unwrap();
    let block = vec![0x5a; 1 << 20];
    while free_bytes(folder) > left + MIB {
        file.write_all(&block).unwrap();
        // What is not written back yet does not count as used.
        file.sync_data().unwrap();
    }
    filler
}

/// Writes a file until the disk has no space left.
pub(crate) fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 1 << 12] {
        let block = vec![0x5a; size];
        while file.write_all(&block).is_ok() {}
    }
    // The write-back may fail as well; the space is taken all the same.
    drop(file.sync_all());
}
