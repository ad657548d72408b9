//! What the process tells about itself: logs, build information, its own metrics.
//!
//! Promises: recording costs no more than an atomic addition or a short lock, never waits for a
//! reader, and takes only labels from closed sets, so that no client can grow it. Must never do:
//! decide anything, or touch the replicated state.

mod build_info;
mod log;
mod metrics;
mod panic;

pub use build_info::BuildInfo;
pub use log::{LogConfig, LogFormat, LogLevel, init};
pub use metrics::own_families;
pub(crate) use metrics::{Handler, Metrics, Refusal, StateGauges};
pub use panic::install_panic_hook;
