use super::*;
use crate::exposition::testing::{family_of, labels, metric_of};
use crate::exposition::wire::encode_metrics;
use crate::pb::client::{Bucket, BucketSpan, Histogram, Metric, MetricFamily, Quantile, Summary};

fn render(family: &MetricFamily, escaping: Escaping) -> String {
    let mut out = Vec::new();
    write_header(&mut out, family.name(), family.help(), family.r#type(), escaping);
    let metrics = encode_metrics(&family.metric);
    write_samples(&mut out, family.name(), family.r#type(), &metrics, escaping);
    String::from_utf8(out).unwrap()
}

fn check(family: &MetricFamily, expected: &str) {
    assert_eq!(render(family, Escaping::Underscores), expected);
}

fn summary_of(pairs: &[(&str, &str)], summary: Summary) -> Metric {
    let mut metric = Metric { label: labels(pairs), ..Metric::default() };
    *metric.summary.get_or_insert_default() = summary.into();
    metric
}

fn histogram_of(pairs: &[(&str, &str)], histogram: Histogram) -> Metric {
    let mut metric = Metric { label: labels(pairs), ..Metric::default() };
    *metric.histogram.get_or_insert_default() = histogram.into();
    metric
}

fn bucket(upper_bound: f64, count: u64) -> Bucket {
    Bucket { upper_bound: Some(upper_bound), cumulative_count: Some(count), ..Bucket::default() }
}

#[test]
fn numbers() {
    let metrics = |kind| {
        vec![
            metric_of(kind, &[("instance", ""), ("job", "j")], 1_000_000.0),
            metric_of(kind, &[], -0.0),
        ]
    };
    for (kind, word) in [
        (MetricType::Counter, "counter"),
        (MetricType::Gauge, "gauge"),
        (MetricType::Untyped, "untyped"),
    ] {
        let text = format!("# TYPE a {word}\na{{instance=\"\",job=\"j\"}} 1e+06\na 0\n");
        check(&family_of("a", None, kind, metrics(kind)), &text);
        // Empty help is no help.
        check(&family_of("a", Some(""), kind, metrics(kind)), &text);
    }
}

#[test]
fn a_colon_is_foreign_to_labels_only() {
    let metric = metric_of(MetricType::Gauge, &[("x:y", "1"), (":", "2")], 1.0);
    let family = family_of("a:b", None, MetricType::Gauge, vec![metric]);
    for (escaping, labels) in [
        (Escaping::AllowUtf8, r#"{"x:y"="1",":"="2"}"#),
        (Escaping::Underscores, r#"{x_y="1",_="2"}"#),
        (Escaping::Values, r#"{U__x_3a_y="1",U___3a_="2"}"#),
    ] {
        let expected = format!("# TYPE a:b gauge\na:b{labels} 1\n");
        assert_eq!(render(&family, escaping), expected);
    }
}

#[test]
fn escapes_in_help_and_label_values() {
    let metric = metric_of(MetricType::Gauge, &[("k", "a\\b\"c\nd\té")], 1.0);
    check(
        &family_of("a", Some("x\\y\"z\nw\té"), MetricType::Gauge, vec![metric]),
        "# HELP a x\\\\y\"z\\nw\té\n# TYPE a gauge\na{k=\"a\\\\b\\\"c\\nd\té\"} 1\n",
    );
}

#[test]
fn time_stamps_are_shown() {
    let mut metric = metric_of(MetricType::Gauge, &[], 1.0);
    metric.timestamp_ms = Some(-12);
    check(&family_of("a", None, MetricType::Gauge, vec![metric]), "# TYPE a gauge\na 1 -12\n");
}

#[test]
fn summaries() {
    let full = Summary {
        sample_count: Some(u64::MAX - 3),
        sample_sum: Some(f64::NAN),
        quantile: vec![
            Quantile { quantile: Some(0.99), value: Some(f64::INFINITY) },
            Quantile { quantile: Some(0.5), value: Some(f64::NAN) },
        ],
        ..Summary::default()
    };
    let metrics = vec![summary_of(&[("k", "v")], full), summary_of(&[], Summary::default())];
    check(
        &family_of("s", None, MetricType::Summary, metrics),
        "# TYPE s summary\n\
         s{k=\"v\",quantile=\"0.99\"} +Inf\n\
         s{k=\"v\",quantile=\"0.5\"} NaN\n\
         s_sum{k=\"v\"} NaN\n\
         s_count{k=\"v\"} 1.8446744073709552e+19\n\
         s_sum 0\n\
         s_count 0\n",
    );
}

#[test]
fn histograms() {
    let histogram = |bucket| Histogram {
        sample_count: Some(3),
        sample_sum: Some(4.5),
        bucket,
        ..Histogram::default()
    };
    let metrics = vec![
        histogram_of(&[("k", "v")], histogram(vec![bucket(2.5, 2), bucket(1e21, 3)])),
        histogram_of(&[], histogram(vec![bucket(f64::INFINITY, 4), bucket(1.0, 1)])),
    ];
    let text = "# TYPE h histogram\n\
         h_bucket{k=\"v\",le=\"2.5\"} 2\n\
         h_bucket{k=\"v\",le=\"1e+21\"} 3\n\
         h_bucket{k=\"v\",le=\"+Inf\"} 3\n\
         h_sum{k=\"v\"} 4.5\n\
         h_count{k=\"v\"} 3\n\
         h_bucket{le=\"+Inf\"} 4\n\
         h_bucket{le=\"1\"} 1\n\
         h_sum 4.5\n\
         h_count 3\n";
    check(&family_of("h", None, MetricType::Histogram, metrics.clone()), text);
    check(&family_of("h", None, MetricType::GaugeHistogram, metrics), text);
}

#[test]
fn float_and_native_histograms() {
    let float = Histogram {
        sample_count_float: Some(2.5),
        bucket: vec![Bucket {
            upper_bound: Some(1.0),
            cumulative_count_float: Some(0.5),
            ..Bucket::default()
        }],
        ..Histogram::default()
    };
    let native = Histogram {
        sample_count: Some(9),
        sample_sum: Some(1.0),
        schema: Some(3),
        positive_span: vec![BucketSpan { offset: Some(0), length: Some(1) }],
        positive_delta: vec![9],
        ..Histogram::default()
    };
    check(
        &family_of(
            "h",
            None,
            MetricType::Histogram,
            vec![histogram_of(&[], float), histogram_of(&[], native)],
        ),
        "# TYPE h histogram\n\
         h_bucket{le=\"1\"} 0.5\n\
         h_bucket{le=\"+Inf\"} 2.5\n\
         h_sum 0\n\
         h_count 2.5\n\
         h_bucket{le=\"+Inf\"} 9\n\
         h_sum 1\n\
         h_count 9\n",
    );
}

#[test]
fn names_outside_the_alphabet() {
    let metric = metric_of(MetricType::Gauge, &[("instance", ""), ("job", "j"), ("x.y", "z")], 1.0);
    let family = family_of("foo.bar", Some("h"), MetricType::Gauge, vec![metric]);
    for (escaping, text) in [
        (
            Escaping::AllowUtf8,
            "# HELP \"foo.bar\" h\n# TYPE \"foo.bar\" gauge\n\
             {\"foo.bar\",instance=\"\",job=\"j\",\"x.y\"=\"z\"} 1\n",
        ),
        (
            Escaping::Underscores,
            "# HELP foo_bar h\n# TYPE foo_bar gauge\nfoo_bar{instance=\"\",job=\"j\",x_y=\"z\"} 1\n",
        ),
        (
            Escaping::Dots,
            "# HELP foo_dot_bar h\n# TYPE foo_dot_bar gauge\n\
             foo_dot_bar{instance=\"\",job=\"j\",x_dot_y=\"z\"} 1\n",
        ),
        (
            Escaping::Values,
            "# HELP U__foo_2e_bar h\n# TYPE U__foo_2e_bar gauge\n\
             U__foo_2e_bar{instance=\"\",job=\"j\",U__x_2e_y=\"z\"} 1\n",
        ),
    ] {
        assert_eq!(render(&family, escaping), text);
    }
}

#[test]
fn quoted_names_take_their_suffix_inside_the_quotes() {
    let family = family_of(
        "a\"b",
        None,
        MetricType::Summary,
        vec![summary_of(
            &[],
            Summary {
                quantile: vec![Quantile { quantile: Some(0.5), value: Some(1.0) }],
                ..Summary::default()
            },
        )],
    );
    assert_eq!(
        render(&family, Escaping::AllowUtf8),
        "# TYPE \"a\\\"b\" summary\n\
         {\"a\\\"b\",quantile=\"0.5\"} 1\n\
         {\"a\\\"b_sum\"} 0\n\
         {\"a\\\"b_count\"} 0\n",
    );
}

#[test]
fn a_metric_of_another_kind_has_no_line() {
    let metrics =
        vec![metric_of(MetricType::Gauge, &[], 1.0), metric_of(MetricType::Counter, &[], 2.0)];
    check(&family_of("a", None, MetricType::Counter, metrics), "# TYPE a counter\na 2\n");
}
