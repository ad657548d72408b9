//! The process's own metrics: what is recorded, and how it becomes metric families.
//!
//! Counters and histograms are atomics; the two summaries hold a short lock. Everything that can be
//! read elsewhere (the state's size, the process's memory) is read when it is asked for.

mod histogram;
mod labels;
mod process;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use histogram::Histogram;
use labels::Method;
pub(crate) use labels::{Handler, Refusal};
use summary::Summary;
pub use table::own_families;

use crate::pb::client::MetricFamily;

/// Figures about the replicated state and the disk, taken by the replica at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct StateGauges {
    /// Index of the last log entry applied.
    pub(crate) applied_index: u64,
    /// The current Raft term.
    pub(crate) term: u64,
    /// Times that another leader was seen since the start.
    pub(crate) leader_changes: u64,
    /// Whether this replica leads.
    pub(crate) is_leader: bool,
    /// Whether a leader is known.
    pub(crate) has_leader: bool,
    /// Members of the cluster.
    pub(crate) members: u64,
    /// Those of them that vote.
    pub(crate) voters: u64,
    /// Voters that this replica reaches, itself included.
    pub(crate) voters_reachable: u64,
    /// How old the applied state can be at most; none when that cannot be told.
    pub(crate) staleness: Option<Duration>,
    /// Groups stored.
    pub(crate) groups: u64,
    /// Series stored, those of the push times included.
    pub(crate) series: u64,
    /// Distinct metric family names stored.
    pub(crate) families: u64,
    /// Bytes that the groups take in memory.
    pub(crate) state_bytes: u64,
    /// Bytes of rendered expositions kept for the next scrape.
    pub(crate) cache_bytes: u64,
    /// Bytes of the Raft log on disk.
    pub(crate) log_bytes: u64,
    /// Entries of the Raft log that are not purged.
    pub(crate) log_entries: u64,
    /// Time since the newest snapshot was finished; none when there is none.
    pub(crate) snapshot_age: Option<Duration>,
    /// Bytes of the newest snapshot; none when there is none.
    pub(crate) snapshot_last_bytes: Option<u64>,
    /// Free bytes on the data's file system; none when that is not known.
    pub(crate) disk_free_bytes: Option<u64>,
    /// Whether the state database takes writes.
    pub(crate) state_db_up: bool,
}

/// The process's own metrics. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// A new key takes the write lock once; from then on readers add to its counter.
    requests: RwLock<BTreeMap<RequestKey, AtomicU64>>,
    pushes: [PushSummaries; PUSH_METHODS.len()],
    in_flight: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    log_append_entries: Histogram,
    proposal_mutations: Histogram,
    log_fsync: Histogram,
    proposal: Histogram,
    apply: Histogram,
    read_index: Histogram,
    scrape: Histogram,
}

/// Status, handler and method of an answered request, in the order of their label names.
type RequestKey = (u16, Handler, Method);

/// The methods that push, in the order of their label values.
const PUSH_METHODS: [Method; 2] = [Method::Post, Method::Put];

#[derive(Debug)]
struct PushSummaries {
    size_bytes: Mutex<Summary>,
    duration_seconds: Mutex<Summary>,
}

impl Metrics {
    /// A set of metrics in which nothing has happened yet.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let summaries = || PushSummaries {
            size_bytes: Mutex::new(Summary::new(now)),
            duration_seconds: Mutex::new(Summary::new(now)),
        };
        Metrics {
            inner: Arc::new(Inner {
                requests: RwLock::default(),
                pushes: [summaries(), summaries()],
                in_flight: AtomicU64::new(0),
                refused: Refusal::ALL.map(|_| AtomicU64::new(0)),
                log_append_entries: Histogram::of_counts(),
                proposal_mutations: Histogram::of_counts(),
                log_fsync: Histogram::of_durations(),
                proposal: Histogram::of_durations(),
                apply: Histogram::of_durations(),
                read_index: Histogram::of_durations(),
                scrape: Histogram::of_durations(),
            }),
        }
    }

    /// Counts an answered request. Scrapes, redirects and requests without a route do not count.
    pub(crate) fn observe_request(&self, handler: Handler, method: &str, status: u16) {
        let key = (status, handler, Method::of(method));
        let requests = &self.inner.requests;
        let known = requests.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = known.get(&key) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        drop(known);
        let mut all = requests.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(key).or_default().fetch_add(1, Ordering::Relaxed);
    }

    /// Records an answered push: its approximate size on the wire and the time it took.
    pub(crate) fn observe_push(&self, method: &str, size_bytes: u64, took: Duration) {
        let method = Method::of(method);
        let summaries = PUSH_METHODS.iter().zip(&self.inner.pushes);
        let Some((_, summaries)) = summaries.into_iter().find(|(of, _)| **of == method) else {
            return;
        };
        let now = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "no push has 2^53 bytes")]
        let size = size_bytes as f64;
        lock(&summaries.size_bytes).observe(size, now);
        lock(&summaries.duration_seconds).observe(took.as_secs_f64(), now);
    }

    /// Counts a request as being served for as long as the guard lives.
    pub(crate) fn request_in_flight(&self) -> InFlight {
        self.inner.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(&self.inner))
    }

    /// Counts a refused request or connection.
    pub(crate) fn observe_refusal(&self, reason: Refusal) {
        let counters = Refusal::ALL.iter().zip(&self.inner.refused);
        for (_, count) in counters.filter(|(of, _)| **of == reason) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records how many entries one append brought to the Raft log.
    pub(crate) fn observe_log_append(&self, entries: usize) {
        self.inner.log_append_entries.observe(entries as u64);
    }

    /// Records how long the Raft log's fsync took.
    pub(crate) fn observe_log_fsync(&self, took: Duration) {
        self.inner.log_fsync.observe_duration(took);
    }

    /// Records how many mutations share one log entry.
    pub(crate) fn observe_batch(&self, mutations: usize) {
        self.inner.proposal_mutations.observe(mutations as u64);
    }

    /// Records the time from handing in a mutation until its outcome is known.
    pub(crate) fn observe_proposal(&self, took: Duration) {
        self.inner.proposal.observe_duration(took);
    }

    /// Records how long one log entry took to apply.
    pub(crate) fn observe_apply(&self, took: Duration) {
        self.inner.apply.observe_duration(took);
    }

    /// Records how long a linearizable read waited until it could be served.
    pub(crate) fn observe_read_index(&self, took: Duration) {
        self.inner.read_index.observe_duration(took);
    }

    /// Records how long it took to answer a scrape.
    pub(crate) fn observe_scrape(&self, took: Duration) {
        self.inner.scrape.observe_duration(took);
    }

    /// All families that have series now, sorted by name; series in the order of an exposition.
    pub(crate) fn gather(&self, state: &StateGauges) -> Vec<MetricFamily> {
        table::gather(&table::Source {
            inner: &self.inner,
            state,
            process: &process::Sample::take(),
            now: Instant::now(),
        })
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Inner>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock(summary: &Mutex<Summary>) -> std::sync::MutexGuard<'_, Summary> {
    summary.lock().unwrap_or_else(PoisonError::into_inner)
}
