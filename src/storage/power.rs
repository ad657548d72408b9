//! Power cuts for the simulator: what a disk holds that has forgotten what was not synced.
//!
//! Files are real ones in a folder in memory. What is written and not synced is noted on the thread
//! that does it, with what was there before. A cut copies the folder to another one and takes back
//! some or all of it there: nothing, everything, all after some moment, or any 512 bytes by
//! themselves, which tears a write. What goes on in the old folder afterwards is of no account.
//!
//! More forgiving than a disk: removals, new folders and new files of the log are durable at once,
//! and a rename keeps its place among the writes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::testing::{Rng, copy_dir};

const SECTOR_BYTES: usize = 512;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It is killed: the system keeps all that was written.
    Killed,
    /// All that was not synced is gone.
    LosesAll,
    /// What was written after some moment is gone.
    LosesLast,
    /// Any part of what was not synced is gone.
    Tears,
}

impl Cut {
    pub(crate) const ALL: [Cut; 4] = [Cut::Killed, Cut::LosesAll, Cut::LosesLast, Cut::Tears];
}

/// Something that is not durable yet.
#[derive(Debug, Clone)]
enum Unsynced {
    Wrote { path: PathBuf, offset: u64, len: usize, old: Vec<u8> },
    Renamed { from: PathBuf, to: PathBuf, replaced: Option<Vec<u8>> },
}

#[derive(Debug, Default)]
struct Disk {
    unsynced: Vec<Unsynced>,
    armed: Option<Armed>,
    /// Whether what was armed has happened.
    gone: bool,
}

#[derive(Debug)]
struct Armed {
    operations: u64,
    cut: Cut,
    seed: u64,
    to: PathBuf,
}

thread_local! {
    /// By folder; files elsewhere are not watched.
    static DISKS: RefCell<BTreeMap<PathBuf, Disk>> = const { RefCell::new(BTreeMap::new()) };
}

/// Watches a folder from now on.
pub(crate) fn watch(root: &Path) {
    DISKS.with_borrow_mut(|disks| disks.insert(root.to_path_buf(), Disk::default()));
}

/// Watches it no longer.
pub(crate) fn forget(root: &Path) {
    DISKS.with_borrow_mut(|disks| disks.remove(root));
}

/// Cuts the power now; the folder `to` has what is left.
pub(crate) fn cut(root: &Path, to: &Path, cut: Cut, seed: u64) {
    DISKS.with_borrow_mut(|disks| {
        if let Some(disk) = disks.get_mut(root) {
            disk.cut(root, to, cut, seed);
        }
    });
}

/// Cuts the power after so many more operations on the disk.
pub(crate) fn arm(root: &Path, to: &Path, cut: Cut, seed: u64, operations: u64) {
    let armed = Armed { operations, cut, seed, to: to.to_path_buf() };
    DISKS.with_borrow_mut(|disks| {
        if let Some(disk) = disks.get_mut(root) {
            disk.armed = Some(armed);
        }
    });
}

/// Cuts nothing that was armed.
pub(crate) fn disarm(root: &Path) {
    DISKS.with_borrow_mut(|disks| {
        if let Some(disk) = disks.get_mut(root) {
            disk.armed = None;
        }
    });
}

/// Whether the power was cut.
pub(crate) fn is_gone(root: &Path) -> bool {
    DISKS.with_borrow(|disks| disks.get(root).is_none_or(|disk| disk.gone))
}

/// Flips a bit or spoils a page of one of the files below; tells which.
pub(crate) fn spoil(root: &Path, seed: u64) -> Option<String> {
    let mut rng = Rng(seed);
    let mut files = super::testing::files(root);
    files.retain(|file| fs::metadata(file).is_ok_and(|file| file.len() > 0));
    let chosen = rng.below(files.len().max(1) as u64);
    let file = files.get(usize::try_from(chosen).ok()?)?;
    Some(super::testing::spoil(file, &mut rng))
}

/// A part of a file is about to be overwritten.
pub(super) fn write(
    path: &Path,
    offset: u64,
    len: usize,
    old: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let mut result = Ok(());
    with_disk(path, |disk| match old() {
        Ok(old) => {
            let path = path.to_path_buf();
            disk.unsynced.push(Unsynced::Wrote { path, offset, len, old });
        }
        Err(e) => result = Err(e),
    });
    result
}

/// A file or the names in a folder are about to be durable.
pub(super) fn sync(path: &Path) {
    with_disk(path, |disk| {
        let mut left: Vec<Unsynced> = Vec::new();
        for unsynced in disk.unsynced.drain(..) {
            match unsynced {
                Unsynced::Renamed { from, to, .. } if to.parent() == Some(path) => {
                    // The name lasts from now on, whatever becomes of the content.
                    for before in &mut left {
                        before.follow(&from, &to);
                    }
                }
                other => left.push(other),
            }
        }
        left.retain(|unsynced| !matches!(unsynced, Unsynced::Wrote { path: p, .. } if p == path));
        disk.unsynced = left;
    });
}

/// A file is about to get another name.
pub(super) fn rename(from: &Path, to: &Path) {
    with_disk(to, |disk| {
        let (from, replaced) = (from.to_path_buf(), fs::read(to).ok());
        disk.unsynced.push(Unsynced::Renamed { from, to: to.to_path_buf(), replaced });
    });
}

/// Counts an operation, which may be the one before which the power is cut.
fn with_disk(path: &Path, note: impl FnOnce(&mut Disk)) {
    DISKS.with_borrow_mut(|disks| {
        let Some((root, disk)) = disks.iter_mut().find(|(root, _)| path.starts_with(root)) else {
            return;
        };
        if disk.gone {
            return;
        }
        if let Some(armed) = &mut disk.armed {
            if armed.operations == 0 {
                let (cut, seed, to) = (armed.cut, armed.seed, armed.to.clone());
                return disk.cut(root, &to, cut, seed);
            }
            armed.operations -= 1;
        }
        note(disk);
    });
}

impl Disk {
    fn cut(&mut self, root: &Path, to: &Path, cut: Cut, seed: u64) {
        if self.gone {
            return;
        }
        self.gone = true;
        copy_dir(root, to);
        let mut rng = Rng(seed);
        let count = self.unsynced.len() as u64;
        let kept = match cut {
            Cut::Killed => return,
            Cut::LosesAll => 0,
            Cut::LosesLast => rng.below(count + 1),
            Cut::Tears => count,
        };
        let mut moments: BTreeMap<(PathBuf, usize), u64> = BTreeMap::new();
        let mut unsynced = self.unsynced.clone();
        while let Some(last) = unsynced.pop() {
            let lost = unsynced.len() as u64 >= kept;
            match last {
                Unsynced::Wrote { path, offset, len, old } => {
                    let (path, number) = (moved(&path, root, to), unsynced.len() as u64);
                    take_back(&path, offset, len, &old, |sector| {
                        // A sector is as it was at some moment, never a mix of two.
                        let moment = moments.entry((path.clone(), sector));
                        let moment = *moment.or_insert_with(|| rng.below(count + 1));
                        lost || (cut == Cut::Tears && number >= moment)
                    });
                }
                Unsynced::Renamed { from, to: new, replaced } => {
                    if lost || (cut == Cut::Tears && rng.below(2) == 0) {
                        let (from, new) = (moved(&from, root, to), moved(&new, root, to));
                        // What is not there was removed meanwhile.
                        drop(fs::rename(&new, &from));
                        if let Some(replaced) = replaced {
                            fs::write(&new, replaced).unwrap();
                        }
                    } else {
                        for before in &mut unsynced {
                            before.follow(&from, &new);
                        }
                    }
                }
            }
        }
    }
}

impl Unsynced {
    /// What was written to a file is in the file that it has become.
    fn follow(&mut self, from: &Path, to: &Path) {
        if let Unsynced::Wrote { path, .. } = self
            && let Ok(below) = path.strip_prefix(from)
        {
            *path = to.components().chain(below.components()).collect();
        }
    }
}

fn moved(path: &Path, root: &Path, to: &Path) -> PathBuf {
    to.join(path.strip_prefix(root).unwrap())
}

/// Puts back what was there before, sector by sector where `lost` says so. What was beyond the end is
/// empty then, as in a file whose space was reserved.
fn take_back(
    path: &Path,
    offset: u64,
    len: usize,
    old: &[u8],
    mut lost: impl FnMut(usize) -> bool,
) {
    let Ok(mut content) = fs::read(path) else { return };
    let offset = usize::try_from(offset).unwrap();
    let end = (offset + len).min(content.len());
    let mut at = offset;
    while at < end {
        let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        if lost(at / SECTOR_BYTES) {
            for (place, byte) in content[at..next].iter_mut().enumerate() {
                *byte = old.get(at - offset + place).copied().unwrap_or(0);
            }
        }
        at = next;
    }
    fs::write(path, content).unwrap();
}

#[cfg(test)]
mod tests {
    use super::super::{fsutil, testing};
    use super::*;

    #[test]
    fn what_was_not_synced_is_gone_and_nothing_else() {
        let dir = testing::scratch();
        let (disk, left) = (dir.path().join("disk"), dir.path().join("left"));
        fs::create_dir(&disk).unwrap();
        watch(&disk);
        fsutil::replace_file(&disk.join("kept"), b"old").unwrap();
        let temporary = disk.join("new.tmp");
        fsutil::writing(&temporary, 0, 3, || Ok(Vec::new())).unwrap();
        fs::write(&temporary, b"new").unwrap();
        fsutil::rename(&temporary, &disk.join("kept")).unwrap();
        cut(&disk, &left, Cut::LosesAll, 1);
        assert!(is_gone(&disk));
        assert_eq!(fs::read(left.join("kept")).unwrap(), b"old");
        forget(&disk);
    }

    #[test]
    fn an_armed_disk_stops_between_two_operations() {
        let dir = testing::scratch();
        for operations in 0..4 {
            let disk = dir.path().join(format!("disk{operations}"));
            let left = dir.path().join(format!("left{operations}"));
            fs::create_dir(&disk).unwrap();
            watch(&disk);
            arm(&disk, &left, Cut::LosesAll, 1, operations);
            fsutil::replace_file(&disk.join("f"), b"content").unwrap();
            // Write, sync, rename, sync of the folder: only the last makes it last.
            cut(&disk, &left, Cut::LosesAll, 1);
            assert!(!left.join("f").exists(), "{operations}");
            forget(&disk);
        }
    }
}
