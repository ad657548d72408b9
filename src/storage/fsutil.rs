//! The few file-system operations that durability rests on.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

#[cfg(test)]
use super::power;

/// Makes the names in a folder durable: without it a power cut can forget a new or renamed file.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    synced(dir, || File::open(dir)?.sync_all())
}

/// Makes a file or the names in a folder durable. Simulated disks have to know.
pub(crate) fn synced(path: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    power::sync(path);
    sync()
}

/// Tells simulated disks that a part of a file, or all of a new one, is about to be overwritten; `old`
/// is what is there.
pub(crate) fn writing(
    path: &Path,
    offset: u64,
    len: usize,
    old: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    power::write(path, offset, len, old)
}

/// Renames a file; durable once the folder is.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    power::rename(from, to);
    fs::rename(from, to)
}

/// Outside of tests no disk is simulated.
#[cfg(not(test))]
mod power {
    use std::io;
    use std::path::Path;

    pub(super) const fn sync(_: &Path) {}

    pub(super) const fn rename(_: &Path, _: &Path) {}

    #[expect(clippy::unnecessary_wraps, reason = "a simulated disk reads what is there")]
    pub(super) fn write<T>(_: &Path, _: u64, _: usize, _old: T) -> io::Result<()> {
        Ok(())
    }
}

/// Creates a folder, and its parents, durably.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    sync_dir(dir)?;
    sync_dir(parent.unwrap_or_else(|| Path::new(".")))
}

/// Writes a file so that after a crash there is either the old content or the new, never a mix.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    writing(&temporary, 0, content.len(), || Ok(Vec::new()))?;
    file.write_all(content)?;
    synced(&temporary, || file.sync_all())?;
    drop(file);
    rename(&temporary, path)?;
    sync_dir(path.parent().unwrap_or_else(|| Path::new(".")))
}

/// Bytes that an unprivileged process can still write to the file system that holds `path`.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes that the files below `path` occupy on disk. Files that vanish meanwhile count nothing.
pub(crate) fn bytes_on_disk(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => match bytes_on_disk(&entry.path()) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                bytes => total += bytes.unwrap_or(0),
            },
            Ok(meta) => total += meta.blocks().saturating_mul(512),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(total)
}

/// Whether a folder is there and holds anything.
pub(super) fn has_entries(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().transpose()?.is_some()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_leaves_the_new_content_and_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("a/b");
        create_dir(&nested).unwrap();
        create_dir(&nested).unwrap();
        let file = nested.join("f");
        replace_file(&file, b"one").unwrap();
        replace_file(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(&nested).unwrap().count(), 1);
    }

    #[test]
    fn free_and_used_bytes_are_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert!(!has_entries(dir.path()).unwrap());
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), vec![1; 100_000]).unwrap();
        assert!(bytes_on_disk(dir.path()).unwrap() >= 100_000);
        assert!(has_entries(dir.path()).unwrap());
        assert!(!has_entries(&dir.path().join("none")).unwrap());
    }
}
