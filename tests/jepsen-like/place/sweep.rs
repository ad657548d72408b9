//! Removes what runs leave in the kernel: namespaces, bridges, rules, mounts, control groups and
//! processes. Everything carries the process id of its run in its name, so it is told whose it is.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::tools;

/// In the environment of every process that a run starts.
pub(crate) const MARK: &str = "QUORUMGATE_TRIAL";
/// The controllers that runs use.
pub(crate) const CONTROLLERS: [&str; 3] = ["cpu", "memory", "blkio"];

/// What a run calls its things.
pub(crate) fn run_name(pid: u32) -> String {
    format!("qg{pid}")
}

/// The folder of a run's disks and control files.
pub(crate) fn work_folder(pid: u32) -> PathBuf {
    tools::workshop().join(format!("work-{pid}"))
}

/// Cleans up after this process once it is gone, however it went.
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn start() -> Guard {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["guard", &std::process::id().to_string()]);
        // In a group of its own, so that Ctrl-C does not end it as well.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        Guard(command.spawn().unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

/// What the guard does: waits until nobody holds the other end of its input any more.
pub(crate) fn guard(pid: u32) {
    let mut nothing = Vec::new();
    drop(std::io::stdin().read_to_end(&mut nothing));
    sweep(pid);
}

/// Removes what dead runs have left.
pub(crate) fn sweep_leftovers() {
    let mut found: Vec<u32> = Vec::new();
    let listed = tools::run("ip", &["-o", "link"]).unwrap_or_default()
        + &tools::run("ip", &["netns", "list"]).unwrap_or_default();
    for word in listed.split([' ', ':', '@', '-', '\n']) {
        let digits = word.strip_prefix("qg").map(|rest| rest.trim_end_matches('b'));
        found.extend(digits.and_then(|digits| digits.parse::<u32>().ok()));
    }
    for entry in std::fs::read_dir(tools::workshop()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        found.extend(name.strip_prefix("work-").and_then(|pid| pid.parse::<u32>().ok()));
    }
    found.sort_unstable();
    found.dedup();
    for pid in found {
        if !Path::new(&format!("/proc/{pid}")).exists() {
            tools::say(&format!("removing what an earlier run left ({pid})"));
            sweep(pid);
        }
    }
}

/// Removes everything of one run.
pub(crate) fn sweep(pid: u32) {
    let folder = work_folder(pid);
    let below = |path: &str| Path::new(path).starts_with(&folder);
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts: Vec<&str> =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|m| below(m)).collect();
    for mount in &mounts {
        // Fails unless it is frozen; a process that waits for it could not be killed.
        let _thawed = tools::run("fsfreeze", &["-u", mount]);
    }
    tools::signal("KILL", &processes_of(pid));
    for mount in mounts {
        let _unmounted = tools::run("umount", &["-l", mount]);
    }
    remove_network(&run_name(pid));
    for controller in CONTROLLERS {
        remove_groups(&Path::new("/sys/fs/cgroup").join(controller), &run_name(pid));
    }
    drop(std::fs::remove_dir_all(folder));
}

/// The processes that carry a run's mark.
fn processes_of(pid: u32) -> Vec<u32> {
    let mark = format!("{MARK}={pid}");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
    let marked = pids.filter(|pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    });
    marked.collect()
}

/// Removes the namespaces, the bridge and the rules of a run, as far as they are there.
pub(crate) fn remove_network(run: &str) {
    // A namespace that is deleted goes away some time later, a link at once.
    let links = tools::run("ip", &["-o", "link"]).unwrap_or_default();
    let names = links.lines().filter_map(|line| line.split(": ").nth(1)?.split('@').next());
    let port = format!("{run}v");
    for link in names.filter(|name| name.starts_with(&port)) {
        let _gone = tools::run("ip", &["link", "del", link]);
    }
    let spaces = tools::run("ip", &["netns", "list"]).unwrap_or_default();
    let ours = |space: &&str| space.strip_prefix(run).is_some_and(|rest| rest.starts_with('-'));
    for space in spaces.lines().filter_map(|line| line.split(' ').next()).filter(ours) {
        let _gone = tools::run("ip", &["netns", "del", space]);
    }
    let _gone = tools::run("ip", &["link", "del", &format!("{run}b")]);
    let _gone = tools::run("nft", &["delete", "table", "bridge", run]);
}

fn remove_groups(controller: &Path, run: &str) {
    for entry in std::fs::read_dir(controller).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(run).is_some_and(|rest| rest.starts_with('-')) {
            drop(std::fs::remove_dir(entry.path()));
        }
    }
}
