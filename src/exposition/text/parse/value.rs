//! How the number on a sample line enters its metric.

use super::lexer::Step;
use crate::exposition::goquote::quote;
use crate::pb::client::{Bucket, Counter, Gauge, Histogram, Metric, MetricType, Quantile, Untyped};

/// 2^64, the first double that is too large for a u64.
const U64_END: f64 = 18_446_744_073_709_551_616.0;

/// What the name of a sample line says about its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The value itself, a quantile or a bucket.
    Value,
    /// The `_count` of a summary or histogram.
    Count,
    /// The `_sum` of a summary or histogram.
    Sum,
}

/// The number on a sample line, and what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) role: Role,
    /// The number in the `quantile` or `le` label.
    pub(super) bound: Option<f64>,
}

/// Enters a number into a metric of the family `name`.
pub(super) fn set_value(
    metric: &mut Metric,
    kind: MetricType,
    number: Number,
    name: &str,
) -> Step<()> {
    let value = Some(number.value);
    match kind {
        MetricType::Counter => {
            *metric.counter.get_or_insert_default() = Counter { value, ..Counter::default() };
        }
        MetricType::Gauge => metric.gauge = Some(Gauge { value }),
        MetricType::Untyped => metric.untyped = Some(Untyped { value }),
        MetricType::Summary => {
            let summary = metric.summary.get_or_insert_default();
            match number.role {
                Role::Count => summary.sample_count = Some(summary_count(number.value)),
                Role::Sum => summary.sample_sum = value,
                Role::Value => {
                    let quantile =
                        number.bound.map(|bound| Quantile { quantile: Some(bound), value });
                    summary.quantile.extend(quantile);
                }
            }
        }
        MetricType::Histogram | MetricType::GaugeHistogram => {
            set_histogram(metric.histogram.get_or_insert_default(), number, name)?;
        }
    }
    Ok(())
}

fn set_histogram(histogram: &mut Histogram, number: Number, name: &str) -> Step<()> {
    match number.role {
        Role::Sum => histogram.sample_sum = Some(number.value),
        Role::Count => {
            let (integer, float) = histogram_count(number.value).ok_or_else(|| {
                format!("negative count for histogram {}", quote(name.as_bytes()))
            })?;
            (histogram.sample_count, histogram.sample_count_float) = (integer, float);
        }
        Role::Value => {
            let Some(bound) = number.bound else { return Ok(()) };
            let (cumulative_count, cumulative_count_float) = histogram_count(number.value)
                .ok_or_else(|| {
                    let name = quote(name.as_bytes());
                    format!("negative bucket population for histogram {name}")
                })?;
            histogram.bucket.push(Bucket {
                upper_bound: Some(bound),
                cumulative_count,
                cumulative_count_float,
                ..Bucket::default()
            });
        }
    }
    Ok(())
}

/// The count of a summary. Fractions are cut off and negative counts wrap, as upstream has it. What
/// upstream leaves to the processor is fixed here, so that all replicas agree: `NaN` is 0, and what
/// is out of range becomes the nearest number within.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "these casts saturate, which is what is wanted"
)]
fn summary_count(value: f64) -> u64 {
    if value < 0.0 { (value as i64).cast_unsigned() } else { value as u64 }
}

/// A count of a histogram, as an integer if it is one, else as a float. `None` if it is negative.
fn histogram_count(value: f64) -> Option<(Option<u64>, Option<f64>)> {
    if value < 0.0 {
        return None;
    }
    #[expect(clippy::float_cmp, reason = "exactness is the question")]
    let is_integer = value < U64_END && value.trunc() == value;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be an integer in range"
    )]
    let integer = is_integer.then_some(value as u64);
    Some((integer, (!is_integer).then_some(value)))
}

/// If one count of a histogram is a float, all of them become floats.
#[expect(clippy::cast_precision_loss, reason = "a float histogram holds doubles")]
pub(super) fn make_uniform(histogram: &mut Histogram) {
    let is_float = histogram.sample_count_float.is_some()
        || histogram.bucket.iter().any(|bucket| bucket.cumulative_count_float.is_some());
    if !is_float {
        return;
    }
    if let Some(count) = histogram.sample_count.take() {
        histogram.sample_count_float = Some(count as f64);
    }
    for bucket in &mut histogram.bucket {
        if let Some(count) = bucket.cumulative_count.take() {
            bucket.cumulative_count_float = Some(count as f64);
        }
    }
}
