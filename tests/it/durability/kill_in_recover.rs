//! `kill -9` during `quorumgate recover`: the folder is what it was, or what it is to become, and the
//! command can be given again.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::process::{PATIENCE, Server, gate_command};
use crate::harness::{copy_folder, eventually, say};

/// Moments at which it is killed, from its beginning to its end.
const MOMENTS: u32 = 16;

fn recover(data: &Path) -> Command {
    let mut command = gate_command();
    command.args(["recover", "--force-new-cluster", "--storage.path"]).arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// What a replica that is started on a folder shows.
fn shown(folder: &Path) -> String {
    let server = Server::gate_in(folder, &[]);
    let probe = || (server.send("GET", "/-/ready", "").status == 200).then_some(());
    eventually(PATIENCE, "the recovered replica to be ready", probe);
    assert_eq!(server.send("PUT", "/metrics/job/after", "z 1\n").status, 200);
    assert_eq!(server.send("DELETE", "/metrics/job/after", "").status, 202);
    server.send("GET", "/metrics", "").text()
}

#[test]
fn a_recovery_that_is_killed_can_be_repeated() {
    let mut cluster = Cluster::of(THREE, &["--storage.snapshot-entries=20"]);
    for n in 0..60 {
        cluster.push(THREE[n % 3], &format!("job/j{n}"), &format!("m{{n=\"{n}\"}} {n}\n"));
    }
    cluster.agree(THREE);
    let before = cluster.scrape("g1");
    for name in THREE {
        cluster.kill(name);
    }
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let fresh = |name: &str| {
        let folder = place.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        copy_folder(&cluster.disk("g1"), &folder.join("data"));
        folder
    };

    let whole = fresh("whole");
    let begun = Instant::now();
    let output: Output = recover(&whole.join("data")).output().unwrap();
    let takes = begun.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shown(&whole), before);

    let mut killed = 0;
    for moment in 0..MOMENTS {
        let folder = fresh(&moment.to_string());
        let data = folder.join("data");
        let mut child = recover(&data).spawn().unwrap();
        std::thread::sleep(takes * moment / MOMENTS + Duration::from_millis(1));
        child.kill().unwrap();
        killed += u32::from(!child.wait().unwrap().success());
        // Whatever there is of it now, the same command brings it to its end.
        let again = recover(&data).output().unwrap();
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(again.status.success(), "killed at {moment} of {MOMENTS}: {said}");
        assert_eq!(shown(&folder), before, "killed at {moment} of {MOMENTS}");
    }
    say(&format!("recover was killed {killed} times before its end, which takes {takes:?}"));
}
