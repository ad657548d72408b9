//! Builders and generators of families for the tests of this layer.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::pb::client::{
    Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, LabelPair, Metric, MetricFamily,
    MetricType, Quantile, Summary, Untyped,
};

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    pairs.iter().map(|(name, value)| label(name, value)).collect()
}

pub(crate) fn label(name: &str, value: &str) -> LabelPair {
    LabelPair { name: Some(name.to_owned()), value: Some(value.to_owned()) }
}

/// A counter, gauge or untyped metric.
pub(crate) fn metric_of(kind: MetricType, pairs: &[(&str, &str)], value: f64) -> Metric {
    let mut metric = Metric { label: labels(pairs), ..Metric::default() };
    set_number(&mut metric, kind, value);
    metric
}

fn set_number(metric: &mut Metric, kind: MetricType, value: f64) {
    match kind {
        MetricType::Counter => {
            *metric.counter.get_or_insert_default() =
                Counter { value: Some(value), ..Counter::default() };
        }
        MetricType::Gauge => metric.gauge = Some(Gauge { value: Some(value) }),
        _ => metric.untyped = Some(Untyped { value: Some(value) }),
    }
}

pub(crate) fn family_of(
    name: &str,
    help: Option<&str>,
    kind: MetricType,
    metric: Vec<Metric>,
) -> MetricFamily {
    MetricFamily {
        name: Some(name.to_owned()),
        help: help.map(str::to_owned),
        r#type: Some(kind.into()),
        metric,
    }
}

fn arb_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{0,8}",
        1 => vec(
            prop_oneof![Just('\\'), Just('"'), Just('\n'), Just('\r'), any::<char>()], 0..6,
        ).prop_map(|chars| chars.into_iter().collect::<String>()),
    ]
}

fn arb_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-1000_i32..1000).prop_map(f64::from),
        any::<u64>().prop_map(f64::from_bits),
        Just(f64::INFINITY),
        Just(0.0),
    ]
}

prop_compose! {
    fn arb_label()(name in arb_text(), value in arb_text()) -> LabelPair {
        label(&name, &value)
    }
}

prop_compose! {
    fn arb_exemplar()(label in vec(arb_label(), 0..2), value in option::of(arb_float())) -> Exemplar {
        Exemplar { label, value, timestamp: None }
    }
}

prop_compose! {
    fn arb_bucket()(
        cumulative_count: Option<u64>,
        cumulative_count_float in option::of(arb_float()),
        upper_bound in option::of(arb_float()),
        exemplar in option::of(arb_exemplar()),
    ) -> Bucket {
        let mut bucket =
            Bucket { cumulative_count, cumulative_count_float, upper_bound, ..Bucket::default() };
        if let Some(exemplar) = exemplar {
            *bucket.exemplar.get_or_insert_default() = exemplar.into();
        }
        bucket
    }
}

prop_compose! {
    fn arb_histogram()(
        sample_count: Option<u64>,
        sample_sum in option::of(arb_float()),
        bucket in vec(arb_bucket(), 0..4),
        schema: Option<i32>,
        offset: i32,
        positive_delta: Vec<i64>,
    ) -> Histogram {
        let positive_span = vec![BucketSpan { offset: Some(offset), length: Some(1) }];
        Histogram {
            sample_count, sample_sum, bucket, schema, positive_span, positive_delta,
            ..Histogram::default()
        }
    }
}

prop_compose! {
    fn arb_summary()(
        sample_count: Option<u64>,
        sample_sum in option::of(arb_float()),
        quantiles in vec((arb_float(), arb_float()), 0..4),
    ) -> Summary {
        let quantile = quantiles
            .into_iter()
            .map(|(quantile, value)| Quantile { quantile: Some(quantile), value: Some(value) })
            .collect();
        Summary { sample_count, sample_sum, quantile, ..Summary::default() }
    }
}

prop_compose! {
    /// Any metric that protobuf can carry, sensible or not.
    pub(crate) fn arb_metric()(
        label in vec(arb_label(), 0..4),
        number in option::of((0..3_i32, arb_float())),
        summary in option::of(arb_summary()),
        histogram in option::of(arb_histogram()),
        timestamp_ms: Option<i64>,
    ) -> Metric {
        let mut metric = Metric { label, timestamp_ms, ..Metric::default() };
        if let Some((kind, value)) = number {
            let kinds = [MetricType::Counter, MetricType::Gauge, MetricType::Untyped];
            set_number(&mut metric, kinds[usize::try_from(kind).unwrap()], value);
        }
        if let Some(summary) = summary {
            *metric.summary.get_or_insert_default() = summary.into();
        }
        if let Some(histogram) = histogram {
            *metric.histogram.get_or_insert_default() = histogram.into();
        }
        metric
    }
}

fn arb_bound() -> impl Strategy<Value = f64> {
    arb_float().prop_filter("a bound that is no number has no bucket", |bound| !bound.is_nan())
}

prop_compose! {
    /// Labels that a text push can carry: sound names, each once.
    fn arb_pushable_labels()(
        pairs in proptest::collection::btree_map("[a-ce-k]{1,4}|[.é\"\\\\]{1,3}", arb_text(), 0..4),
    ) -> Vec<LabelPair> {
        pairs.iter().map(|(name, value)| label(name, value)).collect()
    }
}

fn plain_nan(value: f64) -> f64 {
    // Text has one NaN and one zero.
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn arb_pushable_value(kind: MetricType) -> BoxedStrategy<Metric> {
    let bounds = vec((arb_bound(), arb_float()), 0..4);
    match kind {
        MetricType::Summary => (0..1_u64 << 53, arb_float(), bounds)
            .prop_map(|(count, sum, quantiles)| {
                let mut metric = Metric::default();
                let quantile = quantiles
                    .into_iter()
                    .map(|(quantile, value)| Quantile {
                        quantile: Some(plain_nan(quantile)),
                        value: Some(plain_nan(value)),
                    })
                    .collect();
                *metric.summary.get_or_insert_default() = Summary {
                    sample_count: Some(count),
                    sample_sum: Some(plain_nan(sum)),
                    quantile,
                    ..Summary::default()
                }
                .into();
                metric
            })
            .boxed(),
        MetricType::Histogram => {
            (0..1_u64 << 53, arb_float(), vec((arb_bound(), 0..1_u64 << 53), 0..4))
                .prop_map(|(count, sum, buckets)| {
                    let mut metric = Metric::default();
                    // Rendering adds the infinite bucket, so it is there from the start.
                    let bucket = buckets
                        .into_iter()
                        .chain([(f64::INFINITY, count)])
                        .map(|(bound, count)| Bucket {
                            upper_bound: Some(plain_nan(bound)),
                            cumulative_count: Some(count),
                            ..Bucket::default()
                        })
                        .collect();
                    *metric.histogram.get_or_insert_default() = Histogram {
                        sample_count: Some(count),
                        sample_sum: Some(plain_nan(sum)),
                        bucket,
                        ..Histogram::default()
                    }
                    .into();
                    metric
                })
                .boxed()
        }
        _ => arb_float()
            .prop_map(move |value| {
                let mut metric = Metric::default();
                set_number(&mut metric, kind, plain_nan(value));
                metric
            })
            .boxed(),
    }
}

/// A family, but for its name, that survives being rendered as text and parsed again.
pub(crate) fn arb_pushable_family() -> impl Strategy<Value = MetricFamily> {
    let kinds = [
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Untyped,
        MetricType::Summary,
        MetricType::Histogram,
    ];
    // HELP loses leading blanks.
    let help =
        arb_text().prop_filter("text", |help| !help.is_empty() && !help.starts_with([' ', '\t']));
    (proptest::sample::select(kinds.to_vec()), option::of(help)).prop_flat_map(|(kind, help)| {
        let labels = proptest::collection::btree_set(
            arb_pushable_labels().prop_map(|labels| {
                labels.into_iter().map(|l| (l.name.unwrap(), l.value.unwrap())).collect::<Vec<_>>()
            }),
            1..4,
        );
        (labels, vec(arb_pushable_value(kind), 4)).prop_map(move |(labels, metrics)| {
            let metric = labels
                .into_iter()
                .zip(metrics)
                .map(|(labels, metric)| Metric {
                    label: labels.iter().map(|(name, value)| label(name, value)).collect(),
                    ..metric
                })
                .collect();
            family_of("", help.as_deref(), kind, metric)
        })
    })
}
