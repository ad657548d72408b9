//! Random sequences of changes over few names, so that they get into each other's way.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{RULES, id, key};
use crate::clock::UnixNanos;
use crate::group::{Batch, Change, GroupingKey, Mutation, PushMode, StateLimits, prepare_push};
use crate::pb::client::{
    Bucket, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary,
    Untyped,
};

fn pick<T: Clone + std::fmt::Debug + 'static>(from: &'static [T]) -> impl Strategy<Value = T> {
    (0..from.len()).prop_map(|i| from[i].clone())
}

pub(crate) fn grouping_key() -> impl Strategy<Value = GroupingKey> {
    pick(&[
        "a",
        "b",
        "c",
        "a/instance=",
        "a/instance=x",
        "b/z=1",
        "b/z=2",
        "c/instance=x/z=1",
        "a-b/ü=é",
        "b/quantile=0.5",
        "c/le=1",
        "a/__x=1",
    ])
    .prop_map(key)
}

fn label() -> impl Strategy<Value = LabelPair> {
    let name = pick(&["k", "l", "k", "l", "job", "instance", "z", "a.b", "a-b", "__r", "quantile"]);
    (name, pick(&["", "1", "x", "\"\\\n"])).prop_map(|(name, value)| LabelPair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    })
}

fn metric(kind: MetricType) -> impl Strategy<Value = Metric> {
    let timestamp = prop_oneof![60 => Just(None), 1 => Just(Some(5))];
    (vec(label(), 0..3), 0..1000_u32, timestamp, prop::bool::weighted(0.99)).prop_map(
        move |(label, number, timestamp_ms, right_kind)| {
            let value = f64::from(number) / 8.0;
            let mut metric = Metric { label, timestamp_ms, ..Metric::default() };
            match if right_kind { kind } else { MetricType::Untyped } {
                MetricType::Counter => {
                    metric.counter.get_or_insert_default().value = Some(value);
                }
                MetricType::Gauge => metric.gauge = Some(Gauge { value: Some(value) }),
                MetricType::Untyped => metric.untyped = Some(Untyped { value: Some(value) }),
                MetricType::Summary => {
                    let quantile = Quantile { quantile: Some(0.5), value: Some(value) };
                    let summary = Summary { quantile: vec![quantile], ..Summary::default() };
                    metric.summary =
                        Some(Summary { sample_count: Some(u64::from(number)), ..summary }.into());
                }
                MetricType::Histogram | MetricType::GaugeHistogram => {
                    let bucket = Bucket {
                        upper_bound: Some(1.0),
                        cumulative_count: Some(u64::from(number)),
                        ..Bucket::default()
                    };
                    let histogram = Histogram { bucket: vec![bucket], ..Histogram::default() };
                    metric.histogram = Some(
                        Histogram { sample_count: Some(u64::from(number)), ..histogram }.into(),
                    );
                }
            }
            metric
        },
    )
}

fn family() -> impl Strategy<Value = MetricFamily> {
    let name = pick(&[
        "m",
        "m",
        "n",
        "o",
        "p",
        "m_count",
        "m_sum",
        "m_bucket",
        "n_count",
        "foo.bar",
        "push_time_seconds",
        "q0",
        "q1",
        "q2",
        "q3",
        "q4",
        "q5",
    ]);
    let kind = pick(&[
        MetricType::Untyped,
        MetricType::Untyped,
        MetricType::Untyped,
        MetricType::Untyped,
        MetricType::Gauge,
        MetricType::Counter,
        MetricType::Summary,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
    ]);
    let help = pick(&[None, Some("help"), Some("other\nhelp")]);
    let size = prop_oneof![20 => 0..5_usize, 1 => 60..120_usize];
    (name, kind, help, size).prop_flat_map(|(name, mut kind, help, size)| {
        // Text shows gauge histograms as histograms, and yet, as upstream has it, they do not
        // collide with other names: readers that are strict about it cannot read that back.
        if kind == MetricType::GaugeHistogram && !name.starts_with('q') {
            kind = MetricType::Histogram;
        }
        // Many metrics need labels that tell them apart.
        vec(metric(kind), size).prop_map(move |mut metric| {
            if metric.len() > 5 {
                for (number, metric) in metric.iter_mut().enumerate() {
                    metric.timestamp_ms = None;
                    metric.label = vec![LabelPair {
                        name: Some("number".to_owned()),
                        value: Some(number.to_string().repeat(20)),
                    }];
                }
            }
            MetricFamily {
                name: Some(name.to_owned()),
                help: help.map(str::to_owned),
                r#type: Some(kind.into()),
                metric,
            }
        })
    })
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let mode = pick(&[PushMode::Replace, PushMode::Merge, PushMode::Merge]);
    let push = (grouping_key(), mode, vec(family(), 0..4))
        .prop_map(|(key, mode, families)| prepare_push(key, mode, families, &RULES));
    prop_oneof![
        30 => push,
        3 => grouping_key().prop_map(|key| Change::Delete { key }),
        1 => Just(Change::Wipe),
    ]
}

/// Batches whose request ids now and then come twice, and whose clock now and then goes back.
pub(crate) fn batches(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Batch>> {
    let mutation =
        (0..200_u64, change()).prop_map(|(number, change)| Mutation { id: id(number), change });
    let limit = || pick(&[0, 0, 0, 0, 3, 20]);
    let limits = (limit(), limit(), pick(&[0, 0, 0, 0, 2000, 8000]))
        .prop_map(|(groups, series, bytes)| StateLimits { groups, series, bytes });
    let batch = (-1_i64..5, limits, vec(mutation, 0..5));
    vec(batch, len).prop_map(|batches| {
        let mut at = 1_700_000_000_000_000_000;
        let batch = |(step, limits, mutations)| {
            at += step * 300_000_000;
            Batch { at: UnixNanos(at), limits, mutations }
        };
        batches.into_iter().map(batch).collect()
    })
}
