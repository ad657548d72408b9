//! One stored metric as the API shows it.

use std::collections::BTreeMap;

use super::gojson::JsonWriter;
use super::native::{self, NativeBucket};
use crate::exposition::float;
use crate::exposition::wire::{Count, HistogramRef, MetricRef, SummaryRef, ValueRef};
use crate::pb::client::MetricType;

/// Writes the metric as an object; its keys are sorted, as Go sorts those of maps.
pub(super) fn write_metric(json: &mut JsonWriter, metric: MetricRef<'_>, kind: MetricType) {
    json.begin_object();
    match (metric.value(kind), kind) {
        // Upstream does not show what is in a gauge histogram.
        (_, MetricType::GaugeHistogram) | (None, _) => write_number(json, metric, 0.0),
        (Some(ValueRef::Number(value)), _) => write_number(json, metric, value),
        (Some(ValueRef::Summary(summary)), _) => write_summary(json, metric, summary),
        (Some(ValueRef::Histogram(histogram)), _) => write_histogram(json, metric, histogram),
    }
    json.end_object();
}

fn write_labels(json: &mut JsonWriter, metric: MetricRef<'_>) {
    json.key("labels");
    json.strings(metric.labels());
}

fn write_number(json: &mut JsonWriter, metric: MetricRef<'_>, value: f64) {
    write_labels(json, metric);
    json.key("value");
    json.quoted_float(value);
}

fn write_summary(json: &mut JsonWriter, metric: MetricRef<'_>, summary: SummaryRef<'_>) {
    json.key("count");
    json.quoted_integer(summary.count());
    write_labels(json, metric);
    json.key("quantiles");
    let quantiles: BTreeMap<String, f64> =
        summary.quantiles().map(|(quantile, value)| (shown(quantile), value)).collect();
    json.begin_object();
    for (quantile, value) in quantiles {
        json.key(&quantile);
        json.quoted_float(value);
    }
    json.end_object();
    json.key("sum");
    json.quoted_float(summary.sum());
}

fn write_histogram(json: &mut JsonWriter, metric: MetricRef<'_>, histogram: HistogramRef<'_>) {
    json.key("buckets");
    if histogram.has_spans() {
        let decoded = metric.decode().and_then(|metric| metric.histogram).unwrap_or_default();
        json.begin_array();
        for bucket in native::buckets(&decoded) {
            write_native_bucket(json, &bucket);
        }
        json.end_array();
    } else {
        let buckets: BTreeMap<String, Count> =
            histogram.buckets().map(|(bound, count)| (shown(bound), count)).collect();
        json.begin_object();
        for (bound, count) in buckets {
            json.key(&bound);
            write_count(json, count);
        }
        json.end_object();
    }
    json.key("count");
    write_count(json, histogram.count());
    write_labels(json, metric);
    json.key("sum");
    json.quoted_float(histogram.sum());
}

fn write_native_bucket(json: &mut JsonWriter, bucket: &NativeBucket) {
    json.begin_array();
    json.integer(bucket.boundaries.rule());
    json.quoted_float(bucket.lower);
    json.quoted_float(bucket.upper);
    write_count(json, bucket.count);
    json.end_array();
}

fn write_count(json: &mut JsonWriter, count: Count) {
    match count {
        Count::Integer(count) => json.quoted_integer(count),
        Count::Float(count) => json.quoted_float(count),
    }
}

fn shown(value: f64) -> String {
    let mut text = Vec::new();
    float::write_float_signed_zero(&mut text, value);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::wire::{MetricsIter, encode_metrics};
    use crate::pb::client::{
        Bucket, BucketSpan, Counter, Gauge, Histogram, LabelPair, Metric, Quantile, Summary,
        Untyped,
    };

    fn check(metric: &Metric, kind: MetricType, expected: &str) {
        let label = vec![LabelPair { name: Some("job".into()), value: Some("<j>".into()) }];
        let stored = encode_metrics(&[Metric { label, ..metric.clone() }]);
        let mut json = JsonWriter::default();
        write_metric(&mut json, MetricsIter::new(&stored).next().unwrap(), kind);
        let text = String::from_utf8(json.finish().concat()).unwrap();
        assert_eq!(text, expected);
    }

    #[test]
    fn shows_numbers() {
        let labels = r#""labels":{"job":"\u003cj\u003e"}"#;
        let gauge = |value| Metric { gauge: Some(Gauge { value }), ..Metric::default() };
        for (value, shown) in [
            (Some(5.0), "5"),
            (Some(1e6), "1e+06"),
            (Some(-0.0), "-0"),
            (Some(f64::NAN), "NaN"),
            (Some(f64::NEG_INFINITY), "-Inf"),
            (None, "0"),
        ] {
            let expected = format!(r#"{{{labels},"value":"{shown}"}}"#);
            check(&gauge(value), MetricType::Gauge, &expected);
        }
        let counter = Counter { value: Some(1.5), ..Counter::default() };
        let counter = Metric { counter: Some(counter), ..Metric::default() };
        check(&counter, MetricType::Counter, &format!(r#"{{{labels},"value":"1.5"}}"#));
        let untyped = Metric { untyped: Some(Untyped { value: Some(2.0) }), ..Metric::default() };
        check(&untyped, MetricType::Untyped, &format!(r#"{{{labels},"value":"2"}}"#));
        check(&Metric::default(), MetricType::Gauge, &format!(r#"{{{labels},"value":"0"}}"#));
        let histogram = Some(Histogram { sample_count: Some(3), ..Histogram::default() });
        let histogram = Metric { histogram: histogram.map(Box::new), ..Metric::default() };
        check(&histogram, MetricType::GaugeHistogram, &format!(r#"{{{labels},"value":"0"}}"#));
    }

    #[test]
    fn shows_summaries() {
        let quantile = |quantile, value| Quantile { quantile: Some(quantile), value: Some(value) };
        let summary = Summary {
            sample_count: Some(1_000_000),
            sample_sum: Some(123_456_789.0),
            quantile: vec![quantile(0.99, f64::INFINITY), quantile(0.5, 1.0), quantile(0.5, 2.0)],
            ..Summary::default()
        };
        check(
            &Metric { summary: Some(summary.into()), ..Metric::default() },
            MetricType::Summary,
            r#"{"count":"1000000","labels":{"job":"\u003cj\u003e"},"quantiles":{"0.5":"2","0.99":"+Inf"},"sum":"1.23456789e+08"}"#,
        );
        check(
            &Metric { summary: Some(Summary::default().into()), ..Metric::default() },
            MetricType::Summary,
            r#"{"count":"0","labels":{"job":"\u003cj\u003e"},"quantiles":{},"sum":"0"}"#,
        );
    }

    #[test]
    fn shows_histograms() {
        let bucket = |bound, count| Bucket {
            upper_bound: Some(bound),
            cumulative_count: Some(count),
            ..Bucket::default()
        };
        let histogram = Histogram {
            sample_count: Some(3),
            sample_sum: Some(4.5),
            bucket: vec![bucket(1.0, 1), bucket(2.5, 2), bucket(1e21, 3), bucket(f64::INFINITY, 3)],
            ..Histogram::default()
        };
        check(
            &Metric { histogram: Some(histogram.clone().into()), ..Metric::default() },
            MetricType::Histogram,
            r#"{"buckets":{"+Inf":"3","1":"1","1e+21":"3","2.5":"2"},"count":"3","labels":{"job":"\u003cj\u003e"},"sum":"4.5"}"#,
        );
        let native = Histogram {
            schema: Some(3),
            positive_span: vec![BucketSpan { offset: Some(1), length: Some(1) }],
            positive_delta: vec![2],
            ..histogram
        };
        check(
            &Metric { histogram: Some(native.into()), ..Metric::default() },
            MetricType::Histogram,
            r#"{"buckets":[[0,"1","1.0905077326652577","2"]],"count":"3","labels":{"job":"\u003cj\u003e"},"sum":"4.5"}"#,
        );
        let empty = Histogram { schema: Some(3), ..Histogram::default() };
        check(
            &Metric { histogram: Some(empty.into()), ..Metric::default() },
            MetricType::Histogram,
            r#"{"buckets":{},"count":"0","labels":{"job":"\u003cj\u003e"},"sum":"0"}"#,
        );
    }
}
