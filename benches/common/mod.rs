//! What the benchmarks share: how long to measure, what to push, how to report.

pub(crate) mod figure;
pub(crate) mod payload;
pub(crate) mod table;

use std::path::PathBuf;

/// Where data folders and reports are kept: below the target folder, on a real disk.
pub(crate) fn bench_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What follows `--name=` on the command line, each time.
pub(crate) fn values(name: &str) -> Vec<String> {
    let prefix = format!("--{name}=");
    std::env::args().filter_map(|arg| arg.strip_prefix(&prefix).map(str::to_owned)).collect()
}

/// How much time to spend. `--quick` shows that everything works; its figures mean little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Quick,
    Full,
}

impl Effort {
    /// What the command line asks for; nothing unless `cargo bench` is at the other end, so that
    /// `cargo test --all-targets` does not measure.
    pub(crate) fn from_args() -> Option<Effort> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        match (has("--bench"), has("--quick")) {
            (_, true) => Some(Effort::Quick),
            (true, false) => Some(Effort::Full),
            (false, false) => None,
        }
    }

    /// One of two settings.
    pub(crate) fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Effort::Quick => quick,
            Effort::Full => full,
        }
    }
}
