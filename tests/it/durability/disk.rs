//! A small file system of its own on a loop device, whose power can be cut and which can be filled.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::say;

/// A mounted ext4 file system in an image file; unmounted when dropped.
pub(crate) struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// A file system of `mebibytes`; `None`, said loudly, where the machine does not allow mounts.
    pub(crate) fn new(mebibytes: u32) -> Option<Disk> {
        let disk = Disk { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        std::fs::create_dir(disk.mount_point()).unwrap();
        run("truncate", &["-s", &format!("{mebibytes}M"), &disk.image()])?;
        // No reserved blocks: else root could go on writing to a file system that is full.
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &disk.image()])?;
        disk.mount()?;
        Some(disk)
    }

    fn image(&self) -> String {
        self.folder.path().join("image").display().to_string()
    }

    pub(crate) fn mount_point(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    fn mount(&self) -> Option<()> {
        let mount_point = self.mount_point().display().to_string();
        run("mount", &["-o", "loop", &self.image(), &mount_point])
    }

    /// Loses everything that was not synced; the file system is unusable until `power_on`.
    pub(crate) fn cut_power(&self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/durability/power_cut.py");
        let mount_point = self.mount_point().display().to_string();
        run("python3", &[&script.display().to_string(), &mount_point]).unwrap();
    }

    /// Makes the disk one that does not answer, until what is returned is dropped.
    pub(crate) fn freeze(&self) -> Frozen {
        let frozen = Frozen { mount_point: self.mount_point().display().to_string() };
        run("fsfreeze", &["--freeze", &frozen.mount_point]).unwrap();
        frozen
    }

    /// Mounts the file system again, replaying its journal.
    pub(crate) fn power_on(&self) {
        run("umount", &[&self.mount_point().display().to_string()]).unwrap();
        self.mount().unwrap();
    }
}

/// A file system on which every write waits.
pub(crate) struct Frozen {
    mount_point: String,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        run("fsfreeze", &["--unfreeze", &self.mount_point]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mount_point = self.mount_point().display().to_string();
        // Lazily, so that a process that a failed test left behind does not keep the mount.
        let _best_effort = Command::new("umount").args(["-l", &mount_point]).output();
    }
}

/// Runs a tool; on failure says so, with what it printed.
fn run(tool: &str, args: &[&str]) -> Option<()> {
    let output: std::io::Result<Output> = Command::new(tool).args(args).output();
    match output {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            say(&format!("{tool} {args:?}: {}", said.trim()));
            None
        }
        Err(err) => {
            say(&format!("{tool}: {err}"));
            None
        }
    }
}
