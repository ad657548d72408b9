//! A summary with quantiles over a sliding window of about ten minutes.
//!
//! The window is cut into slices that are forgotten one after the other. A slice counts observations
//! in buckets that are 1/32 of a power of two wide and keeps the latest value of each, so that a
//! quantile is always a value that occurred, at most about 3 % away from the exact one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::pb::client;

const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];
const SLICES: usize = 5;
const SLICE: Duration = Duration::from_mins(2);

/// Count, sum and recent quantiles of what was observed.
#[derive(Debug)]
pub(super) struct Summary {
    count: u64,
    sum: f64,
    /// A ring; `current` takes new observations, the others grow older towards its right.
    slices: [Buckets; SLICES],
    current: usize,
    current_since: Instant,
}

/// Observations by bucket: how many, and the latest.
type Buckets = BTreeMap<u16, (u64, f64)>;

impl Summary {
    pub(super) fn new(now: Instant) -> Self {
        Summary { count: 0, sum: 0.0, slices: Default::default(), current: 0, current_since: now }
    }

    /// Adds a value, which must not be negative.
    pub(super) fn observe(&mut self, value: f64, now: Instant) {
        self.forget(now);
        self.count += 1;
        self.sum += value;
        if let Some(slice) = self.slices.get_mut(self.current) {
            let (count, latest) = slice.entry(bucket_of(value)).or_default();
            *count += 1;
            *latest = value;
        }
    }

    /// The summary as it is shown; nothing, if nothing was ever observed.
    pub(super) fn sample(&mut self, now: Instant) -> Option<client::Summary> {
        self.forget(now);
        (self.count > 0).then(|| client::Summary {
            sample_count: Some(self.count),
            sample_sum: Some(self.sum),
            quantile: self.quantiles(),
            ..client::Summary::default()
        })
    }

    /// Empties the slices whose time is over.
    fn forget(&mut self, now: Instant) {
        let mut steps = 0;
        while now.saturating_duration_since(self.current_since) >= SLICE {
            if steps == SLICES {
                // Everything is forgotten; what is left is to catch up with the time.
                self.current_since = now;
                return;
            }
            steps += 1;
            self.current_since += SLICE;
            self.current = (self.current + 1) % SLICES;
            if let Some(slice) = self.slices.get_mut(self.current) {
                slice.clear();
            }
        }
    }

    fn quantiles(&self) -> Vec<client::Quantile> {
        let mut window = Buckets::new();
        for (bucket, (count, latest)) in self.slices.iter().flatten() {
            let (sum, value) = window.entry(*bucket).or_default();
            *sum += count;
            *value = *latest;
        }
        let total: u64 = window.values().map(|(count, _)| count).sum();
        QUANTILES
            .into_iter()
            .map(|quantile| client::Quantile {
                quantile: Some(quantile),
                value: Some(value_at(&window, rank(quantile, total)).unwrap_or(f64::NAN)),
            })
            .collect()
    }
}

/// The first so many bits of a double that is not negative grow with it: exponent and five digits.
fn bucket_of(value: f64) -> u16 {
    u16::try_from(value.to_bits() >> 47).unwrap_or(u16::MAX)
}

/// The place of a quantile among `total` values, counted from one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "totals are far below 2^53, and the product is not negative"
)]
fn rank(quantile: f64, total: u64) -> u64 {
    (quantile * total as f64).ceil() as u64
}

fn value_at(window: &Buckets, rank: u64) -> Option<f64> {
    let mut seen = 0;
    window.values().find_map(|(count, value)| {
        seen += count;
        (seen >= rank).then_some(*value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(summary: &mut Summary, now: Instant) -> [f64; 3] {
        let sample = summary.sample(now).unwrap();
        let quantiles: Vec<f64> = sample.quantile.iter().map(client::Quantile::quantile).collect();
        assert_eq!(quantiles, QUANTILES);
        let values: Vec<f64> = sample.quantile.iter().map(client::Quantile::value).collect();
        values.try_into().unwrap()
    }

    #[test]
    fn nothing_is_shown_before_the_first_value() {
        let now = Instant::now();
        let mut summary = Summary::new(now);
        assert_eq!(summary.sample(now), None);
        summary.observe(135.0, now);
        assert_eq!(values(&mut summary, now).map(f64::to_bits), [135.0_f64.to_bits(); 3]);
    }

    #[test]
    fn quantiles_are_close_and_have_occurred() {
        let now = Instant::now();
        for scale in [1e-6, 0.001, 1.0, 1e6] {
            let mut summary = Summary::new(now);
            // A permutation of 1..=10007 (a prime), so that the order does not help.
            for i in 1..=10_007_u32 {
                summary.observe(f64::from(i * 5003 % 10_007 + 1) * scale, now);
            }
            let found = values(&mut summary, now);
            for (value, quantile) in found.into_iter().zip(QUANTILES) {
                let exact = (quantile * 10_007.0).ceil() * scale;
                assert!((value / exact - 1.0).abs() < 0.032, "{value} for {exact}");
            }
            let sample = summary.sample(now).unwrap();
            assert_eq!(sample.sample_count(), 10_007);
            let sum = 10_007.0 * 10_008.0 / 2.0 * scale;
            assert!((sample.sample_sum() / sum - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_window_slides() {
        let start = Instant::now();
        let mut summary = Summary::new(start);
        summary.observe(1.0, start);
        let at = |minutes| start + Duration::from_mins(minutes);
        summary.observe(100.0, at(5));
        assert_eq!(values(&mut summary, at(9))[0].to_bits(), 1.0_f64.to_bits());
        assert_eq!(values(&mut summary, at(10))[0].to_bits(), 100.0_f64.to_bits());
        assert!(values(&mut summary, at(16)).iter().all(|value| value.is_nan()));
        let sample = summary.sample(at(600)).unwrap();
        assert_eq!((sample.sample_count(), sample.sample_sum()), (2, 101.0));
        summary.observe(7.0, at(601));
        assert_eq!(values(&mut summary, at(602))[2].to_bits(), 7.0_f64.to_bits());
    }

    #[test]
    fn buckets_keep_the_order_of_values() {
        let table = [0.0, 1e-300, 1e-9, 0.5, 1.0, 1.04, 2.0, 1e18, f64::MAX, f64::INFINITY];
        assert!(table.map(bucket_of).is_sorted());
        assert!(bucket_of(1.0) < bucket_of(1.04));
        assert_eq!(bucket_of(-1.0), u16::MAX);
    }
}
