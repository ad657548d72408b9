//! One replica: its process, its disk, and what it said.

pub(crate) mod http;
pub(crate) mod status;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::disk::Disk;
use crate::tools;

/// Whatever keeps a replica from running: the number of a step of the schedule, or of nobody's.
pub(crate) type Holder = usize;

pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) disk: Disk,
    child: Option<Child>,
    log: PathBuf,
    /// Who wants it not to run.
    pub(crate) down: BTreeSet<Holder>,
    /// Who wants it not to move.
    pub(crate) paused: BTreeSet<Holder>,
    /// Added to its environment at each start.
    pub(crate) environment: Vec<(String, String)>,
    /// Started in place of the binary under test.
    pub(crate) program: Option<PathBuf>,
    /// How often it was started.
    pub(crate) starts: usize,
}

impl Replica {
    pub(crate) fn new(name: &str, disk: Disk, logs: &Path) -> Replica {
        Replica {
            name: name.to_owned(),
            disk,
            child: None,
            log: logs.join(format!("{name}.log")),
            down: BTreeSet::new(),
            paused: BTreeSet::new(),
            environment: Vec::new(),
            program: None,
            starts: 0,
        }
    }

    /// Starts its process, which must not run.
    pub(crate) fn start(&mut self, mut command: Command) -> std::io::Result<()> {
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        self.starts += 1;
        writeln!(log, "--- start {}", self.starts)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.spawn()?);
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The file that its process was started from.
    pub(crate) fn executable(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/exe", self.pid()?)).ok()
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// How the process has ended, if it has done so by itself since this was asked last.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    /// Ends the process the hard way; whether there was one that this ended.
    pub(crate) fn kill(&mut self) -> bool {
        let Some(mut child) = self.child.take() else { return false };
        // A process that waits for a frozen disk cannot be killed.
        self.disk.unfreeze();
        drop(child.kill());
        child.wait().is_ok_and(|status| status.signal() == Some(9))
    }

    /// Asks the process to stop and waits for it; `None`: it does not.
    pub(crate) fn stop(&mut self, limit: Duration) -> Option<ExitStatus> {
        let pid = self.pid()?;
        tools::signal("TERM", &[pid]);
        let status = tools::eventually(limit, || self.child.as_mut()?.try_wait().ok()?);
        if status.is_some() {
            self.child = None;
        }
        status
    }

    /// The state that the kernel shows: `T` is stopped.
    pub(crate) fn kernel_state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?)).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// All that it has said.
    pub(crate) fn said(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// A remark of the harness in its log.
    pub(crate) fn note(&self, text: &str) {
        if let Ok(mut log) = File::options().append(true).open(&self.log) {
            drop(writeln!(log, "--- {text}"));
        }
    }

    /// Resident bytes, open files and threads, if it runs.
    pub(crate) fn resources(&self) -> Option<(u64, u64, u64)> {
        let pid = self.pid()?;
        let memory = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let pages: u64 = memory.split(' ').nth(1)?.parse().ok()?;
        let entries = |folder: &str| {
            Some(std::fs::read_dir(format!("/proc/{pid}/{folder}")).ok()?.count() as u64)
        };
        Some((pages * 4096, entries("fd")?, entries("task")?))
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}
