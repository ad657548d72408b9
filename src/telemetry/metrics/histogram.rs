//! A histogram of whole numbers: one atomic addition for the bucket, one for the sum.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::pb::client;

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// From a memory access to the longest a request may take.
const DURATION_BOUNDS: &[u64] = &[
    10 * MICRO,
    25 * MICRO,
    50 * MICRO,
    100 * MICRO,
    250 * MICRO,
    500 * MICRO,
    MILLI,
    2_500 * MICRO,
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
    2_500 * MILLI,
    5 * SECOND,
    10 * SECOND,
];

const COUNT_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Counts observations in buckets.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Upper bounds, inclusive, ascending.
    bounds: &'static [u64],
    /// How many of the numbers observed make one of the unit that is shown.
    per_unit: u64,
    /// One count per bound, and one for what exceeds them all.
    counts: Box<[AtomicU64]>,
    /// Wraps after 2^64: 584 years of nanoseconds.
    sum: AtomicU64,
}

impl Histogram {
    /// Of durations, shown in seconds.
    pub(super) fn of_durations() -> Self {
        Self::new(DURATION_BOUNDS, SECOND)
    }

    /// Of small counts.
    pub(super) fn of_counts() -> Self {
        Self::new(COUNT_BOUNDS, 1)
    }

    fn new(bounds: &'static [u64], per_unit: u64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, per_unit, counts, sum: AtomicU64::new(0) }
    }

    pub(super) fn observe_duration(&self, took: Duration) {
        self.observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// The histogram as it is shown. The count is that of the buckets, so that the two always agree.
    pub(super) fn sample(&self) -> client::Histogram {
        let mut cumulative = 0;
        let mut bucket = Vec::with_capacity(self.counts.len());
        let bounds = self.bounds.iter().map(|bound| self.shown(*bound)).chain([f64::INFINITY]);
        for (count, upper_bound) in self.counts.iter().zip(bounds) {
            cumulative += count.load(Ordering::Relaxed);
            bucket.push(client::Bucket {
                cumulative_count: Some(cumulative),
                upper_bound: Some(upper_bound),
                ..client::Bucket::default()
            });
        }
        client::Histogram {
            sample_count: Some(cumulative),
            sample_sum: Some(self.shown(self.sum.load(Ordering::Relaxed))),
            bucket,
            ..client::Histogram::default()
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a double is what is shown")]
    fn shown(&self, value: u64) -> f64 {
        value as f64 / self.per_unit as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_and_including_the_bound() {
        let histogram = Histogram::of_counts();
        for value in [0, 1, 2, 3, 512, 513] {
            histogram.observe(value);
        }
        let sample = histogram.sample();
        let cumulative: Vec<_> =
            sample.bucket.iter().map(|b| (b.upper_bound(), b.cumulative_count())).collect();
        assert_eq!(cumulative[..3], [(1.0, 2), (2.0, 3), (4.0, 4)]);
        assert_eq!(cumulative[9..], [(512.0, 5), (f64::INFINITY, 6)]);
        assert_eq!((sample.sample_count(), sample.sample_sum()), (6, 1031.0));
    }

    #[test]
    fn durations_are_shown_in_seconds() {
        let histogram = Histogram::of_durations();
        histogram.observe_duration(Duration::from_micros(2500));
        histogram.observe_duration(Duration::from_hours(1));
        histogram.observe_duration(Duration::MAX);
        let sample = histogram.sample();
        let first = sample.bucket.iter().find(|b| b.cumulative_count() == 1).unwrap();
        assert_eq!(first.upper_bound().to_string(), "0.0025");
        assert_eq!(sample.sample_count(), 3);
        assert!(DURATION_BOUNDS.is_sorted() && COUNT_BOUNDS.is_sorted());
    }
}
