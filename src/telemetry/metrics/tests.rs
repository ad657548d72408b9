use std::collections::BTreeSet;

use super::*;
use crate::pb::client::{Metric, MetricType};

fn state() -> StateGauges {
    StateGauges {
        applied_index: 7,
        term: 2,
        snapshot_age: Some(Duration::from_millis(1500)),
        snapshot_last_bytes: Some(99),
        staleness: Some(Duration::from_millis(50)),
        disk_free_bytes: Some(1 << 40),
        state_db_up: true,
        ..StateGauges::default()
    }
}

/// Metrics in which everything has happened at least once.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    for status in [400, 200, 202] {
        for method in ["PUT", "POST", "BREW", "GET"] {
            for handler in Handler::ALL.into_iter().rev() {
                metrics.observe_request(handler, method, status);
            }
        }
    }
    metrics.observe_push("PUT", 135, Duration::from_millis(1));
    metrics.observe_push("POST", 10, Duration::from_millis(2));
    metrics.observe_push("BREW", 10, Duration::from_millis(2));
    metrics.observe_refusal(Refusal::DiskFull);
    metrics.observe_log_append(3);
    metrics.observe_batch(64);
    for observe in [
        Metrics::observe_log_fsync,
        Metrics::observe_proposal,
        Metrics::observe_apply,
        Metrics::observe_read_index,
        Metrics::observe_scrape,
    ] {
        observe(&metrics, Duration::from_micros(700));
    }
    metrics
}

fn family<'a>(families: &'a [MetricFamily], name: &str) -> &'a MetricFamily {
    families.iter().find(|family| family.name() == name).unwrap_or_else(|| panic!("no {name}"))
}

fn labels(metric: &Metric) -> Vec<(&str, &str)> {
    metric.label.iter().map(|label| (label.name(), label.value())).collect()
}

#[test]
fn the_table_is_sorted_and_describes_itself() {
    let table = own_families();
    assert!(table.is_sorted_by(|a, b| a.0 < b.0), "sorted, each name once");
    for (name, kind) in table {
        let prefixes = ["process_", "pushgateway_", "quorumgate_"];
        assert!(prefixes.iter().any(|prefix| name.starts_with(prefix)), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == MetricType::Counter, "{name}");
    }
    for family in busy().gather(&state()) {
        let (name, help) = (family.name(), family.help().to_lowercase());
        assert!(help.ends_with('.'), "{name}: {help}");
        for unit in ["seconds", "bytes"] {
            let told = help.contains(unit) || name.starts_with("pushgateway_http_push_");
            assert!(!name.contains(unit) || told, "{name}: {help}");
        }
    }
}

#[test]
fn gathers_sorted_and_well_formed_families() {
    let families = busy().gather(&state());
    let gathered: Vec<_> = families.iter().map(|f| (f.name(), f.r#type())).collect();
    if cfg!(target_os = "linux") {
        assert_eq!(gathered, own_families());
    }
    for family in &families {
        let name = family.name();
        let values: Vec<Vec<&str>> = family
            .metric
            .iter()
            .map(|metric| labels(metric).into_iter().map(|(_, value)| value).collect())
            .collect();
        assert!(values.is_sorted_by(|a, b| a < b), "{name}: {values:?}");
        for metric in &family.metric {
            assert!(labels(metric).is_sorted_by(|a, b| a.0 < b.0), "{name}");
            let kinds = [
                (MetricType::Counter, metric.counter.is_some()),
                (MetricType::Gauge, metric.gauge.is_some()),
                (MetricType::Histogram, metric.histogram.is_some()),
                (MetricType::Summary, metric.summary.is_some()),
            ];
            for (kind, present) in kinds {
                assert_eq!(present, kind == family.r#type(), "{name}");
            }
        }
    }
}

#[test]
fn what_has_not_happened_or_is_not_known_is_left_out() {
    let families = Metrics::new().gather(&StateGauges::default());
    let names: BTreeSet<_> = families.iter().map(MetricFamily::name).collect();
    for absent in [
        "pushgateway_http_push_duration_seconds",
        "pushgateway_http_push_size_bytes",
        "pushgateway_http_requests_total",
        "quorumgate_snapshot_age_seconds",
        "quorumgate_snapshot_last_bytes",
        "quorumgate_disk_free_bytes",
    ] {
        assert!(!names.contains(absent), "{absent}");
    }
    assert!(names.contains("pushgateway_build_info"));
    assert!(names.contains("quorumgate_applied_index"));
}

#[test]
fn counts_requests_under_a_bounded_set_of_labels() {
    let metrics = Metrics::new();
    for method in ["PUT", "PUT", "put", "BREW", "PROPFIND"] {
        metrics.clone().observe_request(Handler::Push, method, 200);
    }
    let families = metrics.gather(&state());
    let requests = &family(&families, "pushgateway_http_requests_total").metric;
    let shown: Vec<_> =
        requests.iter().map(|m| (labels(m), m.counter.as_ref().unwrap().value())).collect();
    let series = |method| vec![("code", "200"), ("handler", "push"), ("method", method)];
    assert_eq!(shown, [(series("put"), 2.0), (series("unknown"), 3.0)]);
}

#[test]
fn shows_pushes_by_method() {
    let families = busy().gather(&state());
    let sizes = &family(&families, "pushgateway_http_push_size_bytes").metric;
    assert_eq!(labels(&sizes[0]), [("method", "post")]);
    assert_eq!(labels(&sizes[1]), [("method", "put")]);
    let put = sizes[1].summary.as_ref().unwrap();
    assert_eq!((put.sample_count(), put.sample_sum()), (1, 135.0));
    assert!(put.quantile.iter().all(|q| (q.value() - 135.0).abs() < f64::EPSILON));
}

#[test]
fn requests_in_flight_end_with_their_guard() {
    let metrics = Metrics::new();
    let in_flight = |metrics: &Metrics| {
        let families = metrics.gather(&state());
        let family = family(&families, "quorumgate_http_requests_in_flight");
        family.metric[0].gauge.unwrap().value()
    };
    let first = metrics.request_in_flight();
    let second = metrics.request_in_flight();
    assert!((in_flight(&metrics) - 2.0).abs() < f64::EPSILON);
    drop((first, second));
    assert!(in_flight(&metrics).abs() < f64::EPSILON);
}

#[test]
fn label_values_stand_in_the_order_of_their_names() {
    assert!(Handler::ALL.is_sorted() && Handler::ALL.map(Handler::name).is_sorted());
    assert!(Refusal::ALL.is_sorted() && Refusal::ALL.map(Refusal::name).is_sorted());
    let methods = ["DELETE", "GET", "OPTIONS", "POST", "PUT", "TRACE"].map(Method::of);
    assert!(methods.is_sorted() && methods.map(Method::name).is_sorted());
    assert!(PUSH_METHODS.map(Method::name).is_sorted());
}
