use proptest::prelude::*;

use super::*;
use crate::exposition::testing::{arb_metric, labels, metric_of};
use crate::pb::client::{Bucket, Gauge, Histogram, LabelPair, MetricFamily, Quantile, Summary};

fn only(metrics: &[u8]) -> MetricRef<'_> {
    let mut iter = MetricsIter::new(metrics);
    let metric = iter.next().unwrap();
    assert!(iter.is_at_end());
    metric
}

#[test]
fn the_stored_form_is_the_tail_of_an_encoded_family() {
    let metrics = vec![
        metric_of(MetricType::Gauge, &[("a", "b")], 1.5),
        metric_of(MetricType::Gauge, &[], -0.0),
    ];
    let family = MetricFamily { metric: metrics.clone(), ..MetricFamily::default() };
    assert_eq!(encode_metrics(&metrics), family.encode_to_vec());
    assert_eq!(encode_metrics(&[]), b"");
}

#[test]
fn labels_values_and_time_stamps() {
    let mut metric = metric_of(MetricType::Counter, &[("job", "j"), ("instance", "")], 3.0);
    metric.timestamp_ms = Some(-5);
    let stored = encode_metrics(&[metric.clone()]);
    let read = only(&stored);
    assert_eq!(read.labels().collect::<Vec<_>>(), [("job", "j"), ("instance", "")]);
    assert!(matches!(read.value(MetricType::Counter), Some(ValueRef::Number(3.0))));
    assert!(read.value(MetricType::Gauge).is_none());
    assert_eq!(read.timestamp_ms(), Some(-5));
    assert_eq!(read.decode(), Some(metric));
    assert_eq!(read.encoded(), stored);
    assert_eq!(MetricRef::from_body(read.body()).timestamp_ms(), Some(-5));
}

#[test]
fn a_missing_number_is_zero() {
    let metric = Metric { gauge: Some(Gauge::default()), ..Metric::default() };
    let stored = encode_metrics(&[metric]);
    assert!(matches!(only(&stored).value(MetricType::Gauge), Some(ValueRef::Number(0.0))));
}

#[test]
fn summaries() {
    let mut metric = Metric::default();
    *metric.summary.get_or_insert_default() = Summary {
        sample_count: Some(7),
        sample_sum: Some(2.5),
        quantile: vec![
            Quantile { quantile: Some(0.5), value: Some(1.0) },
            Quantile { quantile: Some(0.9), value: None },
        ],
        ..Summary::default()
    }
    .into();
    let stored = encode_metrics(&[metric]);
    let Some(ValueRef::Summary(summary)) = only(&stored).value(MetricType::Summary) else {
        panic!("no summary");
    };
    assert_eq!((summary.count(), summary.sum()), (7, 2.5));
    assert_eq!(summary.quantiles().collect::<Vec<_>>(), [(0.5, 1.0), (0.9, 0.0)]);
}

#[test]
fn histograms() {
    let mut metric = Metric::default();
    *metric.histogram.get_or_insert_default() = Histogram {
        sample_count: Some(7),
        sample_count_float: Some(0.0),
        bucket: vec![
            Bucket { upper_bound: Some(1.0), cumulative_count: Some(3), ..Bucket::default() },
            Bucket {
                upper_bound: Some(2.0),
                cumulative_count: Some(3),
                cumulative_count_float: Some(3.5),
                ..Bucket::default()
            },
        ],
        ..Histogram::default()
    }
    .into();
    for kind in [MetricType::Histogram, MetricType::GaugeHistogram] {
        let stored = encode_metrics(std::slice::from_ref(&metric));
        let Some(ValueRef::Histogram(histogram)) = only(&stored).value(kind) else {
            panic!("no histogram");
        };
        assert_eq!(histogram.count(), Count::Integer(7));
        assert!(histogram.sum().abs() < f64::MIN_POSITIVE);
        assert!(!histogram.has_spans());
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets, [(1.0, Count::Integer(3)), (2.0, Count::Float(3.5))]);
    }
}

#[test]
fn damaged_bytes_end_the_iteration() {
    let stored = encode_metrics(&[
        metric_of(MetricType::Gauge, &[("a", "b")], 1.0),
        metric_of(MetricType::Gauge, &[("a", "c")], 2.0),
    ]);
    for cut in 0..stored.len() {
        let mut iter = MetricsIter::new(&stored[..cut]);
        let read = iter.by_ref().count();
        assert!(read < 2);
        assert_eq!(iter.is_at_end(), cut == 0 || cut == stored.len() / 2, "{cut}");
    }
    // A field that is not a metric; a group; an overlong varint; field number 0.
    for bytes in
        [&[0x08, 1][..], &[0x23], &[0x22, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0xff; 12], &[2, 0]]
    {
        let mut iter = MetricsIter::new(bytes);
        assert_eq!(iter.next(), None);
        assert!(!iter.is_at_end());
    }
}

#[test]
fn labels_that_are_not_text_end_the_iteration() {
    let mut metric = Metric { label: labels(&[("a", "b")]), ..Metric::default() };
    metric.label.push(LabelPair::default());
    let mut stored = encode_metrics(&[metric]);
    assert_eq!(only(&stored).labels().collect::<Vec<_>>(), [("a", "b"), ("", "")]);
    let at = stored.iter().position(|byte| *byte == b'b').unwrap();
    stored[at] = 0xff;
    assert_eq!(only(&stored).labels().next(), None);
}

proptest! {
    #[test]
    fn reads_what_prost_reads(metrics in proptest::collection::vec(arb_metric(), 0..5)) {
        let stored = encode_metrics(&metrics);
        let family = MetricFamily::decode(&stored[..]).unwrap();
        // A NaN is not equal to itself, hence the comparison of encoded forms.
        prop_assert_eq!(&encode_metrics(&family.metric), &stored);
        let mut iter = MetricsIter::new(&stored);
        let mut concatenated = Vec::new();
        for metric in &metrics {
            let read = iter.next().unwrap();
            concatenated.extend_from_slice(read.encoded());
            let labels: Vec<_> = metric.label.iter().map(|l| (l.name(), l.value())).collect();
            prop_assert_eq!(read.labels().collect::<Vec<_>>(), labels);
            prop_assert_eq!(read.timestamp_ms(), metric.timestamp_ms);
            prop_assert_eq!(read.decode().unwrap().encode_to_vec(), metric.encode_to_vec());
        }
        prop_assert!(iter.next().is_none() && iter.is_at_end());
        prop_assert_eq!(concatenated, stored);
    }

    #[test]
    fn never_panics(bytes: Vec<u8>) {
        for metric in MetricsIter::new(&bytes).chain([MetricRef::from_body(&bytes)]) {
            metric.labels().count();
            metric.timestamp_ms();
            for kind in 0..6 {
                match metric.value(MetricType::try_from(kind).unwrap()) {
                    Some(ValueRef::Summary(summary)) => {
                        summary.quantiles().count();
                    }
                    Some(ValueRef::Histogram(histogram)) => {
                        histogram.buckets().count();
                    }
                    Some(ValueRef::Number(_)) | None => {}
                }
            }
        }
    }
}
