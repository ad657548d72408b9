//! The buckets of native histograms, written out for people: they are stored as runs of
//! differences over an exponential scale.

use crate::exposition::wire::Count;
use crate::pb::client::{BucketSpan, Histogram};

/// The scales that the format defines: 2^(2^-schema) is the ratio of neighbouring bounds.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// Which of its bounds a bucket includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundaries {
    /// The upper one.
    Upper,
    /// The lower one.
    Lower,
    /// Both.
    Both,
}

impl Boundaries {
    /// The number that the API gives for it.
    pub(super) fn rule(self) -> u64 {
        match self {
            Boundaries::Upper => 0,
            Boundaries::Lower => 1,
            Boundaries::Both => 3,
        }
    }
}

/// A bucket that has counted something.
#[derive(Debug, PartialEq)]
pub(super) struct NativeBucket {
    pub(super) boundaries: Boundaries,
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) count: Count,
}

/// The populated buckets from the lowest to the highest. None if the schema is unknown.
pub(super) fn buckets(histogram: &Histogram) -> Vec<NativeBucket> {
    let schema = histogram.schema();
    if !SCHEMAS.contains(&schema) {
        return Vec::new();
    }
    let negative =
        populated(&histogram.negative_span, &histogram.negative_delta, &histogram.negative_count);
    let positive =
        populated(&histogram.positive_span, &histogram.positive_delta, &histogram.positive_count);
    let negative = negative.into_iter().rev().map(|(index, count)| NativeBucket {
        boundaries: Boundaries::Lower,
        lower: -bound(index, schema),
        upper: -bound(index.saturating_sub(1), schema),
        count,
    });
    let positive = positive.into_iter().map(|(index, count)| NativeBucket {
        boundaries: Boundaries::Upper,
        lower: bound(index.saturating_sub(1), schema),
        upper: bound(index, schema),
        count,
    });
    negative.chain(zero_bucket(histogram)).chain(positive).collect()
}

fn zero_bucket(histogram: &Histogram) -> Option<NativeBucket> {
    let count = match histogram.zero_count_float() {
        0.0 => Count::Integer(histogram.zero_count()),
        count => Count::Float(count),
    };
    let threshold = histogram.zero_threshold();
    (count != Count::Integer(0)).then_some(NativeBucket {
        boundaries: Boundaries::Both,
        lower: -threshold,
        upper: threshold,
        count,
    })
}

/// Indexes and counts of the buckets that have counted something. Work is bounded by the counts
/// that are there, whatever lengths the spans claim.
fn populated(spans: &[BucketSpan], deltas: &[i64], floats: &[f64]) -> Vec<(i32, Count)> {
    let running = deltas.iter().scan(0_i64, |sum, delta| {
        *sum = sum.saturating_add(*delta);
        Some(Count::Integer(u64::try_from(*sum).unwrap_or_default()))
    });
    let counts = running.chain(floats.iter().map(|&count| Count::Float(count)));
    indexes(spans)
        .zip(counts)
        .filter(|(_, count)| !matches!(count, Count::Integer(0) | Count::Float(0.0)))
        .collect()
}

fn indexes(spans: &[BucketSpan]) -> impl Iterator<Item = i32> {
    let mut next = 0_i32;
    spans.iter().flat_map(move |span| {
        let first = next.saturating_add(span.offset());
        next = first.saturating_add_unsigned(span.length());
        first..next
    })
}

/// The upper bound of the bucket with this index on the positive side.
fn bound(index: i32, schema: i32) -> f64 {
    let bound = if schema <= 0 {
        power_of_two(index.saturating_mul(1 << -schema))
    } else {
        let per_octave = 1 << schema;
        let octave = index.div_euclid(per_octave);
        let step = f64::from(index.rem_euclid(per_octave)) / f64::from(per_octave);
        step.exp2() * power_of_two(octave)
    };
    // The last bucket ends with the largest number there is.
    if bound == f64::INFINITY { f64::MAX } else { bound }
}

fn power_of_two(exponent: i32) -> f64 {
    // In two steps, so that the smallest subnormal numbers come out exactly.
    let half = exponent.clamp(-3000, 3000) / 2;
    2_f64.powi(half) * 2_f64.powi(exponent.clamp(-3000, 3000) - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(spans: &[(i32, u32)]) -> Vec<BucketSpan> {
        let span = |&(offset, length)| BucketSpan { offset: Some(offset), length: Some(length) };
        spans.iter().map(span).collect()
    }

    fn shown(histogram: &Histogram) -> Vec<(u64, f64, f64, f64)> {
        let show = |bucket: NativeBucket| {
            (bucket.boundaries.rule(), bucket.lower, bucket.upper, bucket.count.as_f64())
        };
        buckets(histogram).into_iter().map(show).collect()
    }

    #[test]
    fn lists_populated_buckets_from_low_to_high() {
        let histogram = Histogram {
            schema: Some(0),
            zero_threshold: Some(0.5),
            zero_count: Some(2),
            negative_span: spans(&[(0, 2)]),
            negative_delta: vec![1, 1],
            positive_span: spans(&[(1, 2), (1, 2)]),
            positive_delta: vec![3, -3, 1, 0],
            ..Histogram::default()
        };
        assert_eq!(
            shown(&histogram),
            [
                (1, -2.0, -1.0, 2.0),
                (1, -1.0, -0.5, 1.0),
                (3, -0.5, 0.5, 2.0),
                (0, 1.0, 2.0, 3.0),
                (0, 8.0, 16.0, 1.0),
                (0, 16.0, 32.0, 1.0),
            ]
        );
    }

    #[test]
    fn shows_float_counts() {
        let histogram = Histogram {
            schema: Some(-1),
            zero_count_float: Some(0.5),
            positive_span: spans(&[(-1, 3)]),
            positive_count: vec![1.5, 0.0, 2.5],
            ..Histogram::default()
        };
        assert_eq!(
            shown(&histogram),
            [(3, -0.0, 0.0, 0.5), (0, 0.0625, 0.25, 1.5), (0, 1.0, 4.0, 2.5)]
        );
    }

    #[test]
    fn knows_the_bounds() {
        for (index, schema, expected) in [
            (0, 0, 1.0),
            (1, 3, 1.090_507_732_665_257_7),
            (8, 3, 2.0),
            (-8, 3, 0.5),
            (-1, 1, std::f64::consts::FRAC_1_SQRT_2),
            (1, -4, 65536.0),
            (-68, -4, 0.0),
            (-1074, 0, 5e-324),
            (1023, 0, 2_f64.powi(1023)),
            (1024, 0, f64::MAX),
            (i32::MAX, 8, f64::MAX),
            (i32::MIN, -4, 0.0),
        ] {
            assert_eq!(bound(index, schema).to_bits(), f64::to_bits(expected), "{index} {schema}");
        }
    }

    #[test]
    fn is_total() {
        let absurd = Histogram {
            schema: Some(8),
            negative_span: spans(&[(i32::MIN, u32::MAX), (-5, u32::MAX)]),
            negative_delta: vec![i64::MAX, i64::MAX, i64::MIN, 7],
            positive_span: spans(&[(i32::MAX, u32::MAX)]),
            positive_count: vec![f64::NAN, f64::INFINITY],
            ..Histogram::default()
        };
        assert!(buckets(&absurd).len() <= 6);
        assert_eq!(buckets(&Histogram { schema: Some(9), ..absurd }), []);
    }
}
