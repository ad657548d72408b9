use super::*;
use crate::exposition::wire::MetricsIter;
use crate::exposition::{ParseRules, text::parse::parse_text};
use crate::limits::Limits;
use crate::pb::client::{Counter, Gauge, Histogram, Summary, Untyped};

const OWN: &[(&str, MetricType)] = &[
    ("process_open_fds", MetricType::Gauge),
    ("pushgateway_http_push_size_bytes", MetricType::Summary),
];
const RULES: PushRules<'_> = PushRules { labels_max: 6, own: OWN };

fn key(labels: &[(&str, &str)]) -> GroupingKey {
    GroupingKey::new(labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
}

fn text(body: &str) -> Vec<MetricFamily> {
    parse_text(body.as_bytes(), &ParseRules::new(&Limits::default(), true)).unwrap()
}

fn family(name: &str, kind: MetricType, metric: Vec<Metric>) -> MetricFamily {
    MetricFamily { name: Some(name.into()), help: None, r#type: Some(kind.into()), metric }
}

fn untyped(labels: &[(&str, &str)], value: f64) -> Metric {
    let label = labels.iter().map(|(n, v)| label(n, v)).collect();
    Metric { label, untyped: Some(Untyped { value: Some(value) }), ..Metric::default() }
}

fn prepare(key: &GroupingKey, families: Vec<MetricFamily>) -> Result<Vec<PushedFamily>, String> {
    match prepare_push(key.clone(), PushMode::Merge, families, &RULES) {
        Change::Push { families, .. } => Ok(families),
        Change::FailedPush { reason, .. } => Err(reason),
        other => panic!("{other:?}"),
    }
}

/// The labels of each metric as they were stored, e.g. `instance="",job="j"`.
fn stored_labels(families: &[PushedFamily]) -> Vec<String> {
    let metrics = families.iter().flat_map(|f| MetricsIter::new(&f.metrics));
    let shown = metrics.map(|m| m.labels().map(|(n, v)| format!("{n}={v:?}")).collect::<Vec<_>>());
    shown.map(|labels| labels.join(",")).collect()
}

#[test]
fn grouping_labels_and_instance_are_set() {
    for (labels, body, expected) in [
        (
            &[("job", "j"), ("i", "1")][..],
            "a{job=\"zzz\",i=\"9\",k=\"v\"} 1\n",
            &[r#"i="1",instance="",job="j",k="v""#][..],
        ),
        (
            &[("job", "j")],
            "a{instance=\"h1\"} 1\na 2\n",
            &[r#"instance="",job="j""#, r#"instance="h1",job="j""#],
        ),
        (
            &[("job", "j"), ("instance", "g")],
            "a{instance=\"h1\"} 1\n",
            &[r#"instance="g",job="j""#],
        ),
        // Fewer labels first, then by values position by position; names only break ties.
        (
            &[("job", "j")],
            "a{y=\"10\"} 1\na{z=\"1\"} 1\na{aa=\"2\"} 1\na{z=\"1\",y=\"1\"} 1\na 1\na{y=\"1\"} 1\n",
            &[
                r#"instance="",job="j""#,
                r#"instance="",job="j",y="1""#,
                r#"instance="",job="j",z="1""#,
                r#"instance="",job="j",y="10""#,
                r#"aa="2",instance="",job="j""#,
                r#"instance="",job="j",y="1",z="1""#,
            ],
        ),
    ] {
        let families = prepare(&key(labels), text(body)).unwrap();
        assert_eq!(stored_labels(&families), expected, "{body}");
    }
}

#[test]
fn families_are_sorted_and_push_times_are_dropped() {
    let body = "# HELP b hb\n# TYPE b gauge\nb 1\npush_time_seconds 5\na 1\n\
                # TYPE push_failure_time_seconds counter\npush_failure_time_seconds 7\n";
    let families = prepare(&key(&[("job", "j")]), text(body)).unwrap();
    let shown: Vec<_> = families.iter().map(|f| (&*f.name, &*f.help, f.kind)).collect();
    assert_eq!(shown, [("a", "", MetricType::Untyped), ("b", "hb", MetricType::Gauge)]);
}

#[test]
fn of_families_with_the_same_name_the_last_one_counts() {
    let first = family("a", MetricType::Untyped, vec![untyped(&[], 1.0)]);
    let last = family("a", MetricType::Gauge, vec![]);
    let families = prepare(&key(&[("job", "j")]), vec![first, last]).unwrap();
    assert_eq!(families.len(), 1);
    assert_eq!((families[0].kind, families[0].metrics.len()), (MetricType::Gauge, 0));
}

#[test]
fn reasons() {
    let j = [("job", "j")];
    let dump = |rest: &str| format!(r#"{{ label:{{name:"instance"  value:""}}  {rest}"#);
    let job = r#"label:{name:"job"  value:"j"}"#;
    for (labels, families, expected) in [
        (&j[..], text("a 1 0\n"), "pushed metrics must not have timestamps".to_owned()),
        (&j, text("push_time_seconds 1 5\n"), "pushed metrics must not have timestamps".to_owned()),
        (
            &[("job", "j"), ("i", "1")],
            text("a{i=\"9\"} 1\na{i=\"8\"} 2\n"),
            r#"collected metric "a" { label:{name:"i"  value:"1"}  label:{name:"instance"  value:""}  label:{name:"job"  value:"j"}  untyped:{value:2}} was collected before with the same name and label values"#.to_owned(),
        ),
        (
            &j,
            text("a{__x=\"1\"} 1\n"),
            format!("collected metric \"a\" {} has a label with an invalid name: __x",
                r#"{ label:{name:"__x"  value:"1"}  label:{name:"instance"  value:""}  label:{name:"job"  value:"j"}  untyped:{value:1}}"#),
        ),
        (
            &j,
            vec![family("a", MetricType::Untyped, vec![untyped(&[("job", "1"), ("job", "2")], 1.0)])],
            format!("collected metric \"a\" {} has two or more labels with the same name: job",
                dump(r#"label:{name:"job"  value:"j"}  label:{name:"job"  value:"2"}  untyped:{value:1}}"#)),
        ),
        (
            &j,
            vec![family("a", MetricType::Untyped, vec![untyped(&[("", "1")], 1.0)])],
            r#"collected metric "a" { label:{name:""  value:"1"}  label:{name:"instance"  value:""}  label:{name:"job"  value:"j"}  untyped:{value:1}} has two or more labels with the same name: "#.to_owned(),
        ),
        (
            &j,
            vec![family("g", MetricType::Counter, vec![untyped(&[], 1.0)])],
            format!("collected metric \"g\" {} is not a COUNTER", dump(&format!("{job}  untyped:{{value:1}}}}"))),
        ),
        (
            &[("job", "j"), ("quantile", "1")],
            text("# TYPE s summary\ns_sum 1\n"),
            r#"collected metric "s" { label:{name:"instance"  value:""}  label:{name:"job"  value:"j"}  label:{name:"quantile"  value:"1"}  summary:{sample_sum:1}} must not have an explicit "quantile" label"#.to_owned(),
        ),
        (
            &j,
            text("process_open_fds 1\n"),
            "gathered metric family process_open_fds has type UNTYPED but should have GAUGE".to_owned(),
        ),
        (
            &j,
            text("pushgateway_http_push_size_bytes_count 1\n"),
            "collected metric named \"pushgateway_http_push_size_bytes_count\" collides with \
             previously collected summary named \"pushgateway_http_push_size_bytes\"".to_owned(),
        ),
    ] {
        assert_eq!(prepare(&key(labels), families.clone()), Err(expected), "{families:?}");
    }
}

#[test]
fn several_reasons_come_by_family_then_as_pushed() {
    let body = "b{__x=\"1\"} 1\na{__z=\"1\"} 1\na 1\na{__y=\"1\"} 1\n";
    let reason = prepare(&key(&[("job", "j")]), text(body)).unwrap_err();
    let ends: Vec<&str> = reason.lines().map(|l| l.rsplit(' ').next().unwrap()).collect();
    assert_eq!(ends, ["occurred:", "__z", "__y", "__x"]);
    assert!(reason.starts_with("3 error(s) occurred:\n* collected metric \"a\" {"));
}

#[test]
fn what_upstream_accepts_passes() {
    let j = key(&[("job", "j")]);
    for families in [
        text("# TYPE process_open_fds gauge\nprocess_open_fds 1\n"),
        text("a{x=\"\"} 1\na 1\n"),
        text("a{x=\"1\"} 1\na{y=\"1\"} 1\n"),
        text("# TYPE c counter\nc -1\n"),
        text("a{le=\"1\",quantile=\"0.5\"} 1\n"),
        vec![family("g", MetricType::Gauge, vec![])],
        vec![family(
            "g",
            MetricType::Gauge,
            vec![Metric { gauge: Some(Gauge::default()), ..Metric::default() }],
        )],
        vec![family("a-b", MetricType::Untyped, vec![untyped(&[("x-y", "1")], 1.0)])],
    ] {
        assert!(prepare(&j, families.clone()).is_ok(), "{families:?}");
    }
}

#[test]
fn what_would_break_a_scrape_is_refused() {
    let j = key(&[("job", "j")]);
    let bucket_bound = Metric {
        label: vec![label("le", "1")],
        histogram: Some(Histogram::default().into()),
        ..Metric::default()
    };
    for (families, end) in [
        (
            vec![family("h", MetricType::Histogram, vec![bucket_bound])],
            "must not have an explicit \"le\" label",
        ),
        (
            vec![family("a", MetricType::Untyped, vec![untyped(&[("x-y", ""), ("x.y", "")], 1.0)])],
            "has two or more labels with the same name when escaped with underscores: x_y",
        ),
        (
            vec![family("a", MetricType::GaugeHistogram, vec![untyped(&[], 1.0)])],
            "is not a GAUGE_HISTOGRAM",
        ),
        (
            text("a{b=\"\",c=\"\",d=\"\",e=\"\",f=\"\"} 1\n"),
            "has 7 labels, 6 are allowed (--limits.labels-per-series)",
        ),
    ] {
        let reason = prepare(&j, families).unwrap_err();
        assert!(reason.ends_with(end), "{reason}");
    }
}

#[test]
fn a_key_that_cannot_be_exposed_fails_even_without_families() {
    let reason = prepare(&key(&[("job", "j"), ("__name__", "x")]), vec![]).unwrap_err();
    assert_eq!(reason.matches("has a label with an invalid name: __name__").count(), 2, "{reason}");
    assert!(reason.contains("\"push_failure_time_seconds\""), "{reason}");
}

#[test]
fn values_of_other_types_are_dropped() {
    let metric = Metric {
        gauge: Some(Gauge { value: Some(1.0) }),
        untyped: Some(Untyped { value: Some(2.0) }),
        summary: Some(Summary::default().into()),
        ..Metric::default()
    };
    let mut metric = metric;
    metric.counter.get_or_insert_default().value =
        Counter { value: Some(3.0), ..Counter::default() }.value;
    let families =
        prepare(&key(&[("job", "j")]), vec![family("g", MetricType::Gauge, vec![metric])]).unwrap();
    let stored = MetricsIter::new(&families[0].metrics).next().unwrap().decode().unwrap();
    assert_eq!(stored.gauge, Some(Gauge { value: Some(1.0) }));
    assert!(stored.untyped.is_none() && stored.summary.is_none() && stored.counter.is_none());
}
