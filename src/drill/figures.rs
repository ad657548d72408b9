//! Gaps and percentiles. Pure.

use std::time::Duration;

/// A time without a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Gap {
    pub(super) fn length(self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// The longest time without a success between the beginning of the load and its end that lasted at
/// `fault` or began later.
pub(super) fn longest_gap(
    successes: impl Iterator<Item = Duration>,
    fault: Duration,
    end: Duration,
) -> Gap {
    let mut times: Vec<Duration> = successes.filter(|at| *at < end).collect();
    times.push(end);
    times.sort_unstable();
    let mut longest = Gap { from: fault, to: fault };
    let mut before = Duration::ZERO;
    for at in times {
        let gap = Gap { from: before, to: at };
        if at > fault && gap.length() > longest.length() {
            longest = gap;
        }
        before = at;
    }
    longest
}

/// How long something took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Latency {
    pub(super) count: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

impl Latency {
    /// Of all these; `None` of nothing.
    pub(super) fn of(times: impl Iterator<Item = Duration>) -> Option<Latency> {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        Some(Latency {
            count: times.len(),
            p50: percentile(&times, 50)?,
            p99: percentile(&times, 99)?,
            max: *times.last()?,
        })
    }
}

/// The percentile of sorted times by the nearest rank.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// The median of anything: the lower of the two in the middle.
pub(super) fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    percentile(&times, 50)
}

/// Milliseconds, as figures are shown and written.
pub(super) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
