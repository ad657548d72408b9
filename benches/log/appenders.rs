//! Appenders that each wait for one entry to be durable before they append the next.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorumgate::bench::Log;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::ENTRY_BYTES;

/// One repetition with some number of appenders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    /// Entries that one sync confirmed, on average.
    pub(crate) group: f64,
}

/// Lets that many appenders append to a new log for that long.
pub(crate) fn run(path: &Path, appenders: usize, duration: Duration) -> Load {
    let syncs = Arc::new(AtomicUsize::new(0));
    let count = syncs.clone();
    let on_sync = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let log = Arc::new(Log::create(path, Box::new(on_sync)).unwrap());
    syncs.store(0, Ordering::Relaxed);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let begun = Instant::now();
    let mut latencies = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..appenders {
            tasks.spawn(append_until(log.clone(), begun + duration));
        }
        tasks.join_all().await.concat()
    });
    let seconds = begun.elapsed().as_secs_f64();
    drop(runtime);
    drop(log);
    std::fs::remove_dir_all(path).unwrap();
    latencies.sort_by(f64::total_cmp);
    Load {
        per_second: latencies.len() as f64 / seconds,
        p50_ms: latencies[latencies.len() / 2] * 1e3,
        group: latencies.len() as f64 / syncs.load(Ordering::Relaxed) as f64,
    }
}

/// The latency in seconds of each entry.
async fn append_until(log: Arc<Log>, end: Instant) -> Vec<f64> {
    let entry = Bytes::from(vec![b'x'; ENTRY_BYTES]);
    let mut latencies = Vec::new();
    loop {
        let sent = Instant::now();
        let (told, durable) = oneshot::channel();
        log.append(entry.clone(), Box::new(|result| told.send(result).unwrap()));
        durable.await.unwrap().unwrap();
        latencies.push(sent.elapsed().as_secs_f64());
        if Instant::now() >= end {
            return latencies;
        }
    }
}
