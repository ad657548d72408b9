//! What the integration tests share: real processes, a raw HTTP client, and the machinery of the
//! comparison with the original (cases as data, bodies, normal forms).
//!
//! Nothing here knows what quorumgate should answer; that is for the tests and their data.

pub(crate) mod body;
pub(crate) mod cases;
pub(crate) mod cluster;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod links;
pub(crate) mod normal;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod proto;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder that `scripts/install-test-deps` fills.
pub(crate) fn deps() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    root().join(target).join("test-deps")
}

/// A program that a test needs. Absent, it fails the test in CI; elsewhere the caller skips what
/// needs it, and says so here.
pub(crate) fn dependency(path: &str) -> Option<PathBuf> {
    let full = deps().join(path);
    if full.exists() {
        return Some(full);
    }
    let missing = format!("{} is missing: run scripts/install-test-deps", full.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
    say(&format!("SKIPPED: {missing}"));
    None
}

/// Speaks to whoever runs the tests, also when the test passes and its output is kept back.
pub(crate) fn say(line: &str) {
    // Nobody may be listening any more; that is no reason to fail.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Copies a folder with all that is in it, as a backup of the disk would.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Polls until `probe` yields something, and fails with what it waited for once `limit` has passed.
pub(crate) fn eventually<T>(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
