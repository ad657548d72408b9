//! A small file system of its own on a loop device, whose power can be cut.

use std::path::{Path, PathBuf};

use super::tool::{first_of, is_root, run};

const SIZE: &str = "1G";
/// `EXT4_IOC_SHUTDOWN` with the flag NOLOGFLUSH: the journal is aborted without being written, which is
/// what a disk holds after a power failure, given that it keeps what it was told to flush.
const CUT: [(&str, &str); 2] = [
    (
        "perl",
        "open(my $f, '<', $ARGV[0]) or die \"$!\\n\"; \
         my $flag = pack('I', 2); ioctl($f, 0x8004587d, $flag) or die \"$!\\n\";",
    ),
    (
        "python3",
        "import fcntl,os,struct,sys\n\
         f=os.open(sys.argv[1],os.O_RDONLY)\n\
         fcntl.ioctl(f,0x8004587d,struct.pack('I',2))",
    ),
];

/// A mounted ext4 file system in an image file; unmounted on drop.
pub(super) struct Volume {
    folder: PathBuf,
}

impl Volume {
    /// Whether this machine allows it.
    pub(super) fn possible() -> Result<(), String> {
        is_root()?;
        first_of(&["perl", "python3"]).ok_or("needs perl or python3")?;
        let folder = std::env::temp_dir().join(format!("quorumgate-drill-{}", std::process::id()));
        let made = std::fs::create_dir_all(&folder).map_err(|err| err.to_string());
        let tried = made.and_then(|()| Volume::new(&folder)).map(drop);
        // It is in the folder for temporary files anyway.
        drop(std::fs::remove_dir_all(&folder));
        tried
    }

    /// A file system in that folder.
    pub(super) fn new(folder: &Path) -> Result<Volume, String> {
        let volume = Volume { folder: folder.to_owned() };
        std::fs::create_dir_all(volume.mount_point()).map_err(|err| err.to_string())?;
        let image = volume.image();
        run("truncate", &["-s", SIZE, &image])?;
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &image])?;
        volume.mount()?;
        Ok(volume)
    }

    fn image(&self) -> String {
        self.folder.join("image").display().to_string()
    }

    pub(super) fn mount_point(&self) -> PathBuf {
        self.folder.join("disk")
    }

    fn mounted_at(&self) -> String {
        self.mount_point().display().to_string()
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", &self.image(), &self.mounted_at()])
    }

    /// Loses everything that was not synced; the file system is unusable until `power_on`.
    pub(super) fn cut_power(&self) -> Result<(), String> {
        let interpreters = CUT.map(|(program, _)| program);
        let found = first_of(&interpreters).ok_or("needs perl or python3")?;
        let script = CUT.iter().find(|(program, _)| *program == found).map_or("", |(_, s)| s);
        let flag = if found == "perl" { "-e" } else { "-c" };
        run(found, &[flag, script, &self.mounted_at()])
    }

    /// Mounts the file system again, replaying its journal.
    pub(super) fn power_on(&self) -> Result<(), String> {
        run("umount", &[&self.mounted_at()])?;
        self.mount()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily, so that nothing keeps the mount. It may not be mounted.
        drop(run("umount", &["-l", &self.mounted_at()]));
    }
}
