//! Damage to the files of a replica that does not run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::tools::Random;

/// Which files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    Log,
    /// The newest entries of the log, which a replica that lags does not have.
    LogEnd,
    State,
    Snapshots,
}

/// What is done to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Harm {
    /// One bit is another one.
    BitFlip,
    /// A page of 4 KiB holds zeroes.
    ZeroedPage,
    /// Up to 4 KiB of the end are missing.
    CutTail,
}

/// So much of the log is its end.
const END_BYTES: u64 = 16 << 10;

/// Damages one file of the data; which and where. `None`: there is nothing to damage.
pub(crate) fn harm(data: &Path, part: Part, harm: Harm, draw: u64) -> Option<String> {
    let folder = data.join(match part {
        Part::Log | Part::LogEnd => "raft-log",
        Part::State => "state",
        Part::Snapshots => "snapshots",
    });
    let mut random = Random::new(draw);
    let mut files = files_below(&folder);
    files.sort();
    if part == Part::LogEnd {
        files.retain(|file| file.extension().is_some_and(|ending| ending == "raftlog"));
        files.drain(..files.len().saturating_sub(1));
    }
    // Files are made longer than what they hold: damage where nothing is proves nothing.
    let files: Vec<(PathBuf, u64)> = files.iter().map(|file| (file.clone(), used(file))).collect();
    let total: u64 = files.iter().map(|(_, used)| used).sum();
    if total == 0 {
        return None;
    }
    let from = if part == Part::LogEnd { total.saturating_sub(END_BYTES) } else { 0 };
    // Any byte from there on is as likely as any other, in whichever file.
    let mut at = random.between(from, total);
    let (file, used) = files.into_iter().find(|(_, used)| {
        let here = at < *used;
        at -= if here { 0 } else { *used };
        here
    })?;
    let before = std::fs::read(&file).ok()?;
    let mut bytes = before.clone();
    let (at, used) = (usize::try_from(at).ok()?, usize::try_from(used).ok()?);
    match harm {
        Harm::BitFlip => bytes[at] ^= 1 << (random.next() % 8),
        Harm::ZeroedPage => {
            let page = at / 4096 * 4096;
            let end = (page + 4096).min(bytes.len());
            bytes[page..end].fill(0);
        }
        Harm::CutTail => {
            let cut = usize::try_from(random.between(1, 4096)).ok()?;
            bytes.truncate(used.saturating_sub(cut));
        }
    }
    if bytes == before {
        return None;
    }
    std::fs::write(&file, bytes).ok()?;
    let name = file.strip_prefix(data).unwrap_or(&file).display().to_string();
    Some(format!("{harm:?} in {name} near byte {at} of {used}"))
}

/// Bytes up to the last that is not zero.
fn used(file: &Path) -> u64 {
    let bytes = std::fs::read(file).unwrap_or_default();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
