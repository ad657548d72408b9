//! What a replica uses returns to what it used before the faults.

use super::case::Case;
use super::{Finding, Usage};

pub(super) const NAME: &str = "resources";

/// Allocators keep some memory, caches fill, and the load itself leaves groups behind.
const RSS_FACTOR: u64 = 2;
const RSS_MORE: u64 = 96 << 20;
/// Connections of a scrape or a peer that come and go.
const FDS_MORE: u64 = 24;
/// Threads for blocking work live for some seconds.
const THREADS_MORE: u64 = 24;
/// Segments wait for their purge.
const LOG_MORE: u64 = 256 << 20;

pub(super) fn check(case: &Case<'_>) -> Finding {
    if case.evidence.resources.is_empty() {
        return Finding::Skipped("not measured".to_owned());
    }
    for used in &case.evidence.resources {
        let most = allowed(used.before);
        let now = used.after;
        let pairs = [
            ("bytes of memory", now.rss_bytes, most.rss_bytes),
            ("descriptors", now.fds, most.fds),
            ("threads", now.threads, most.threads),
            ("bytes of log", now.log_bytes, most.log_bytes),
        ];
        if let Some((what, now, most)) = pairs.into_iter().find(|(_, now, most)| now > most) {
            let name = &used.replica;
            return Finding::Fail(format!("{name} has {now} {what}, more than {most}"));
        }
    }
    Finding::Pass
}

fn allowed(before: Usage) -> Usage {
    Usage {
        rss_bytes: before.rss_bytes * RSS_FACTOR + RSS_MORE,
        fds: before.fds + FDS_MORE,
        threads: before.threads + THREADS_MORE,
        log_bytes: before.log_bytes + LOG_MORE,
    }
}
