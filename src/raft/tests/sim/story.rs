//! The account of a run: what was done to the replicas, and what they said of it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;

/// Notes what was done.
pub(super) fn tell(what: impl fmt::Display) {
    tracing::info!("## {what}");
}

/// The lines so far.
#[derive(Clone, Default)]
pub(super) struct Story(Arc<Mutex<Vec<u8>>>);

impl Story {
    /// From now on what is logged on this thread is a part of it.
    pub(super) fn begin(&self) -> DefaultGuard {
        let ours: FilterFn = filter_fn(|about| {
            about.target().starts_with("quorumgate") && *about.level() <= tracing::Level::INFO
        });
        let (lines, begun) = (self.clone(), Instant::now());
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_level(false)
            .with_timer(Elapsed(begun))
            .with_writer(move || lines.clone())
            .with_filter(ours);
        tracing::subscriber::set_default(tracing_subscriber::registry().with(layer))
    }

    pub(super) fn lines(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Story {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Elapsed(Instant);

impl FormatTime for Elapsed {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{:>6} ms", self.0.elapsed().as_millis())
    }
}
