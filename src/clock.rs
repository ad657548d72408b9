//! Wall-clock time: the only place that reads it.
//!
//! Time enters the replicated state at the proposal, as a value in the log entry; applying an entry
//! never asks a clock. Timers and deadlines use the monotonic clock of the runtime instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// Seconds since the Unix epoch as Prometheus shows them, rounded to the nearest double.
    #[expect(clippy::cast_precision_loss, reason = "the exposition's unit is a double of seconds")]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time from `earlier` to this; none if the clock went backwards in between.
    pub fn since(self, earlier: UnixNanos) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Tells the wall-clock time.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that tests set by hand.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of wall-clock time")]
    pub fn now(&self) -> UnixNanos {
        match self {
            Clock::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                UnixNanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
            }
            Clock::Manual(nanos) => UnixNanos(nanos.load(Ordering::Relaxed)),
        }
    }
}
