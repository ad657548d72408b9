//! What the tests of this layer share: reproducible chance, crash images and damage.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder for one test. In memory where possible: these tests sync thousands of times, and what
/// they check does not depend on the device.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// A small reproducible generator (splitmix64).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Copies a folder as a crash would leave it: with whatever the files hold at this moment.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Spoils one file in one of the ways of disks; tells how.
pub(super) fn spoil(file: &Path, rng: &mut Rng) -> String {
    let mut content = fs::read(file).unwrap();
    let len = content.len() as u64;
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    if len == 0 {
        fs::remove_file(file).unwrap();
        return format!("{name}: removed");
    }
    let at = rng.below(len);
    let how = match rng.below(10) {
        0..=4 => {
            content[usize::try_from(at).unwrap()] ^= 1 << rng.below(8);
            format!("bit flipped at {at}")
        }
        5 | 6 => {
            let start = usize::try_from(at & !4095).unwrap();
            let end = (start + 4096).min(content.len());
            content[start..end].fill(0);
            format!("page zeroed at {start}")
        }
        7 | 8 => {
            content.truncate(usize::try_from(at).unwrap());
            format!("cut at {at}")
        }
        _ => {
            fs::remove_file(file).unwrap();
            return format!("{name}: removed");
        }
    };
    fs::write(file, content).unwrap();
    format!("{name} of {len} bytes: {how}")
}

/// The files below a folder, in the order of their names.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.file_name() != "LOCK" {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
