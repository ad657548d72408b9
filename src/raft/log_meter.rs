//! Counts what the log has written since the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::telemetry::Metrics;

/// Bytes written to the log by this process.
#[derive(Debug, Default)]
pub(crate) struct LogMeter {
    bytes: AtomicU64,
}

impl LogMeter {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What the log calls after each fsync.
    pub(crate) fn observer(
        self: &Arc<Self>,
        metrics: &Metrics,
    ) -> Box<dyn Fn(Duration, usize, usize) + Send + Sync> {
        let (meter, metrics) = (Arc::clone(self), metrics.clone());
        Box::new(move |took, records, bytes| {
            meter.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            metrics.observe_log_fsync(took);
            if records > 0 {
                metrics.observe_log_append(records);
            }
        })
    }
}
