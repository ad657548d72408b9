//! Where a replica keeps its data: a file system of its own on a loop device where that can be had,
//! else a plain folder.

pub(crate) mod damage;
pub(crate) mod shim;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::tools;

/// Large enough for what a run stores; what is not written takes no space.
const MEBIBYTES: u32 = 1024;
const FILLER: &str = "filler";

/// The disk of one replica.
pub(crate) struct Disk {
    folder: PathBuf,
    image: Option<PathBuf>,
    frozen: bool,
}

impl Disk {
    /// A new disk at `folder`, on a file system of its own if `mounted`.
    pub(crate) fn new(folder: &Path, mounted: bool) -> Result<Disk, String> {
        std::fs::create_dir_all(folder).map_err(|err| err.to_string())?;
        let image = mounted.then(|| folder.with_extension("img"));
        let disk = Disk { folder: folder.to_owned(), image, frozen: false };
        if let Some(image) = &disk.image {
            let image = image.display().to_string();
            tools::run("truncate", &["-s", &format!("{MEBIBYTES}M"), &image])?;
            // No reserved blocks: else root could go on writing to a file system that is full.
            tools::run("mkfs.ext4", &["-q", "-F", "-m", "0", &image])?;
            disk.mount()?;
        }
        Ok(disk)
    }

    /// Whether file systems can be mounted here.
    pub(crate) fn can_mount() -> Result<(), String> {
        static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
        TRIED.get_or_init(Disk::try_mount).clone()
    }

    fn try_mount() -> Result<(), String> {
        if !tools::is_root() {
            return Err("root".to_owned());
        }
        for tool in ["mkfs.ext4", "mount", "python3"] {
            if !tools::installed(tool) {
                return Err(tool.to_owned());
            }
        }
        let trial = tools::workshop().join(format!("work-{}", std::process::id())).join("trial");
        let disk = Disk::new(&trial, true)?;
        drop(disk);
        Ok(())
    }

    /// The folder that `--storage.path` names.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A file beside the data, on the same disk.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A place for a copy of the data, on another disk.
    pub(crate) fn elsewhere(&self) -> PathBuf {
        self.folder.with_extension("copy")
    }

    /// Deletes what replicas that began anew have left for inspection, if space becomes short.
    pub(crate) fn tidy(&self) {
        let half = u64::from(MEBIBYTES) << 19;
        if self.image.is_none() || self.free_bytes() > half {
            return;
        }
        for entry in std::fs::read_dir(self.data()).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("set-aside-") || name.starts_with("state.damaged-") {
                drop(std::fs::remove_dir_all(entry.path()));
            }
        }
    }

    fn mount(&self) -> Result<(), String> {
        let Some(image) = &self.image else { return Ok(()) };
        let (image, folder) = (image.display().to_string(), self.folder.display().to_string());
        tools::run("mount", &["-o", "loop", &image, &folder]).map(drop)
    }

    /// `major:minor` of the loop device.
    pub(crate) fn device(&self) -> Option<String> {
        let device = std::fs::metadata(&self.folder).ok()?.dev();
        Some(format!("{}:{}", device >> 8, device & 0xff))
    }

    /// Mounts the file system again after a power cut, replaying its journal.
    pub(crate) fn power_on(&self) -> Result<(), String> {
        let folder = self.folder.display().to_string();
        // The kernel may still be closing the files of the process that has just ended.
        let unmounted = tools::eventually(std::time::Duration::from_secs(10), || {
            tools::run("umount", &[&folder]).ok()
        });
        unmounted.ok_or_else(|| format!("{folder} stays mounted"))?;
        self.mount()
    }

    /// Takes all the space that is left.
    pub(crate) fn fill(&self) -> Result<(), String> {
        let filler = self.folder.join(FILLER);
        let stat = rustix::fs::statvfs(&self.folder).map_err(|err| err.to_string())?;
        let mut left = stat.f_bavail * stat.f_frsize;
        let name = filler.display().to_string();
        // Its own bookkeeping takes space as well, so the last of it is found by trying.
        while left >= 4096 {
            if tools::run("fallocate", &["-l", &left.to_string(), &name]).is_ok() {
                break;
            }
            left -= (left / 64).max(4096);
        }
        Ok(())
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.folder).map_or(0, |stat| stat.f_bavail * stat.f_frsize)
    }

    pub(crate) fn unfill(&self) {
        // Not there if it could not be made.
        drop(std::fs::remove_file(self.folder.join(FILLER)));
    }

    /// Makes every write wait until `unfreeze`.
    pub(crate) fn freeze(&mut self) -> Result<(), String> {
        tools::run("fsfreeze", &["-f", &self.folder.display().to_string()])?;
        self.frozen = true;
        Ok(())
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen
    }

    pub(crate) fn unfreeze(&mut self) {
        if std::mem::take(&mut self.frozen) {
            let _thawed = tools::run("fsfreeze", &["-u", &self.folder.display().to_string()]);
        }
    }

    /// Throws the data away, and leaves the disk.
    pub(crate) fn wipe(&self) -> Result<(), String> {
        let data = self.data();
        if !data.exists() {
            return Ok(());
        }
        std::fs::remove_dir_all(data).map_err(|err| err.to_string())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unfreeze();
        if let Some(image) = &self.image {
            // Lazily, so that a process that is just ending does not keep the mount.
            let _unmounted = tools::run("umount", &["-l", &self.folder.display().to_string()]);
            drop(std::fs::remove_file(image));
        }
    }
}

/// Cuts the power of several disks at once: what was not synced is lost.
pub(crate) fn cut_power(disks: &[&Disk]) -> Result<(), String> {
    let script = tools::root().join("tests/it/durability/power_cut.py");
    let mut args = vec![script.display().to_string()];
    args.extend(disks.iter().map(|disk| disk.folder.display().to_string()));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    tools::run("python3", &args).map(drop)
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    tools::run("cp", &["-a", &from, &to]).map(drop)
}
