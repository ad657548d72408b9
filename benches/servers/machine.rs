//! What the figures were measured on.

use std::fs::read_to_string;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Effort, bench_folder};

/// Machine, file system, programs: the peer's name and version.
pub(crate) fn describe(effort: Effort, peer: &str) -> Value {
    json!({
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().unwrap().get(),
        "memory": field("/proc/meminfo", "MemTotal"),
        "load": read_to_string("/proc/loadavg").unwrap().trim(),
        "kernel": read_to_string("/proc/sys/kernel/osrelease").unwrap().trim(),
        "file_system": file_system(&bench_folder()),
        "quorumgate": env!("CARGO_PKG_VERSION"),
        "beside": peer,
        "effort": format!("{effort:?}").to_lowercase(),
    })
}

/// The description on one line.
pub(crate) fn summary(about: &Value) -> String {
    let text =
        |name: &str| about[name].as_str().map_or_else(|| about[name].to_string(), str::to_owned);
    format!(
        "quorumgate {} beside {}; {}, {} cores, {}, Linux {}, data on {}, load {}; {} run",
        text("quorumgate"),
        text("beside"),
        text("cpu"),
        text("cores"),
        text("memory"),
        text("kernel"),
        text("file_system"),
        text("load"),
        text("effort"),
    )
}

fn field(file: &str, name: &str) -> String {
    let text = read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
    value.unwrap_or("unknown").to_owned()
}

/// The type of the file system that holds `folder`.
fn file_system(folder: &Path) -> String {
    let mounts = read_to_string("/proc/mounts").unwrap();
    let folder = folder.canonicalize().unwrap();
    let holding = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (point, kind) = (words.next()?, words.next()?);
        folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    holding.max().map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}
