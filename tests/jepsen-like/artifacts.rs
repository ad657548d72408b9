//! What a run leaves behind when it has failed.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::places;
use crate::schedule::Schedule;
use crate::tools;

/// The folder of a run: new, and empty.
pub(crate) fn folder(schedule: &Schedule) -> PathBuf {
    let Schedule { nemesis, workload, seed, .. } = schedule;
    let stem = format!("{nemesis}-{workload}-{seed}");
    let folders = tools::workshop().join("runs");
    let names = (0..).map(|n| if n == 0 { stem.clone() } else { format!("{stem}-{n}") });
    let mut free = names.map(|name| folders.join(name)).filter(|folder| !folder.exists());
    let folder = free.next().unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Keeps a copy of a replica's data.
pub(crate) fn keep_data(data: &Path, name: &str, folder: &Path) {
    let kept = folder.join("data");
    if data.exists() && std::fs::create_dir_all(&kept).is_ok() {
        let _said = disk::copy(data, &kept.join(name)).map_err(|why| tools::say(&why));
    }
}

/// The commands that look at it again.
pub(crate) fn how_to_go_on(schedule: &Schedule, folder: &Path) -> String {
    let folder = folder.strip_prefix(tools::root()).unwrap_or(folder).display();
    let profile = if cfg!(debug_assertions) { "" } else { "--release " };
    let features = if places::KNOWN { "--features trials " } else { "" };
    let command = format!("cargo test {profile}{features}--test jepsen-like --");
    format!(
        "  kept: {folder} (seed {})\n  \
         judge it again:       {command} check --history {folder}\n  \
         do the same again:    {command} replay --schedule {folder}/schedule.json",
        schedule.seed
    )
}
