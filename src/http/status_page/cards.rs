//! One group as the page shows it.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::shown_time;
use crate::exposition::goquote::quote;
use crate::exposition::name::{Escaping, is_legacy_label_name, path_label_name};
use crate::exposition::wire::{Count, HistogramRef, MetricRef, MetricsIter, ValueRef};
use crate::group::{Group, GroupingKey, StoredFamily};
use crate::http::native::{self, Boundaries};
use crate::pb::client::MetricType;

const JOB: &str = "job";
/// What no escaped name of a label has.
const FOREIGN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_');

pub(super) struct GroupCard {
    pub(super) labels: Vec<String>,
    pub(super) failed: bool,
    pub(super) pushed: Cow<'static, str>,
    pub(super) push_failed: Cow<'static, str>,
    pub(super) delete_path: String,
    pub(super) families: Vec<FamilyTable>,
}

pub(super) struct FamilyTable {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: &'static str,
    pub(super) pushed: Cow<'static, str>,
    pub(super) rows: Vec<Row>,
    pub(super) hidden_rows: usize,
}

pub(super) struct Row {
    pub(super) labels: Vec<String>,
    /// One line for a number, several for what has parts.
    pub(super) value: Vec<String>,
}

/// Whether one of the labels contains the text, as it is or as it is shown.
pub(super) fn matches(key: &GroupingKey, filter: &str) -> bool {
    let found = |(name, value): (&str, &str)| {
        value.contains(filter) || shown_label(name, value).contains(filter)
    };
    filter.is_empty() || key.labels().any(found)
}

impl GroupCard {
    /// Shows at most `series_left` series, and takes from it what it shows.
    pub(super) fn of(group: &Group, series_left: &mut usize, utf8_names: bool) -> GroupCard {
        let key = group.key();
        let others = key.labels().filter(|(name, _)| *name != JOB);
        let labels = std::iter::once((JOB, key.job())).chain(others);
        GroupCard {
            labels: labels.map(|(name, value)| shown_label(name, value)).collect(),
            failed: !group.last_push_successful(),
            pushed: shown_time(group.push_time()),
            push_failed: shown_time(group.push_failure_time()),
            delete_path: delete_path(key, utf8_names),
            families: group.families().map(|family| FamilyTable::of(family, series_left)).collect(),
        }
    }
}

impl FamilyTable {
    fn of(family: &StoredFamily, series_left: &mut usize) -> FamilyTable {
        let kind = family.kind();
        let rows: Vec<Row> = MetricsIter::new(&family.metrics())
            .take(*series_left)
            .map(|metric| Row::of(metric, kind))
            .collect();
        *series_left -= rows.len();
        FamilyTable {
            name: family.name().to_owned(),
            help: family.help().to_owned(),
            kind: kind.as_str_name(),
            pushed: shown_time(Some(family.pushed_at())),
            hidden_rows: (family.series() as usize).saturating_sub(rows.len()),
            rows,
        }
    }
}

impl Row {
    fn of(metric: MetricRef<'_>, kind: MetricType) -> Row {
        let labels = metric.labels().map(|(name, value)| shown_label(name, value)).collect();
        let value = match metric.value(kind) {
            Some(ValueRef::Number(number)) => vec![shown_number(number)],
            Some(ValueRef::Summary(summary)) => {
                let quantiles = summary.quantiles().map(|(quantile, value)| {
                    format!("quantile {}: {}", shown_number(quantile), shown_number(value))
                });
                let totals = [
                    format!("count: {}", summary.count()),
                    format!("sum: {}", shown_number(summary.sum())),
                ];
                quantiles.chain(totals).collect()
            }
            Some(ValueRef::Histogram(histogram)) => histogram_lines(metric, histogram),
            None => Vec::new(),
        };
        Row { labels, value }
    }
}

fn histogram_lines(metric: MetricRef<'_>, histogram: HistogramRef<'_>) -> Vec<String> {
    let mut lines: Vec<String> = if histogram.has_spans() {
        let decoded = metric.decode().and_then(|metric| metric.histogram).unwrap_or_default();
        native::buckets(&decoded).iter().map(native_line).collect()
    } else {
        let line =
            |(bound, count)| format!("\u{2264} {}: {}", shown_number(bound), shown_count(count));
        histogram.buckets().map(line).collect()
    };
    lines.push(format!("count: {}", shown_count(histogram.count())));
    lines.push(format!("sum: {}", shown_number(histogram.sum())));
    lines
}

fn native_line(bucket: &native::NativeBucket) -> String {
    let (open, close) = match bucket.boundaries {
        Boundaries::Upper => ('(', ']'),
        Boundaries::Lower => ('[', ')'),
        Boundaries::Both => ('[', ']'),
    };
    let (lower, upper) = (shown_number(bucket.lower), shown_number(bucket.upper));
    format!("{open}{lower}, {upper}{close}: {}", shown_count(bucket.count))
}

fn shown_label(name: &str, value: &str) -> String {
    let value = quote(value.as_bytes());
    if is_legacy_label_name(name) {
        format!("{name}={value}")
    } else {
        format!("{}={value}", quote(name.as_bytes()))
    }
}

fn shown_count(count: Count) -> String {
    match count {
        Count::Integer(count) => count.to_string(),
        Count::Float(count) => shown_number(count),
    }
}

/// Without an exponent, for people.
fn shown_number(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    number.to_string()
}

/// Where to delete the group, relative to the page. Everything is encoded, and a `=` at the end lets
/// values be empty. Only with `utf8_names` are the names of labels unescaped when they arrive.
fn delete_path(key: &GroupingKey, utf8_names: bool) -> String {
    let encoded = |value: &str| URL_SAFE_NO_PAD.encode(value);
    let mut path = format!("metrics/job@base64/{}=", encoded(key.job()));
    for (name, value) in key.labels().filter(|(name, _)| *name != JOB) {
        let name =
            if utf8_names { path_label_name(name) } else { Escaping::Values.escape_label(name) };
        let name = utf8_percent_encode(&name, FOREIGN);
        // Writing to a String cannot fail.
        let _ = write!(path, "/{name}@base64/{}=", encoded(value));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_numbers_without_exponents() {
        for (number, expected) in [
            (0.0, "0"),
            (1e21, "1000000000000000000000"),
            (1.25e-6, "0.00000125"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(shown_number(number), expected);
        }
    }

    #[test]
    fn finds_groups_by_the_text_of_labels() {
        let key = key(&[("job", "backup"), ("zone.x", "a b")]);
        for (filter, expected) in
            [("", true), ("back", true), ("job=\"b", true), ("zone.x", true), ("nope", false)]
        {
            assert_eq!(matches(&key, filter), expected, "{filter}");
        }
    }

    #[test]
    fn names_groups_in_paths() {
        for (labels, utf8_names, expected) in [
            (&[("job", "foo")][..], true, "metrics/job@base64/Zm9v="),
            (&[("job", "a/b"), ("x", "")], true, "metrics/job@base64/YS9i=/x@base64/="),
            (&[("job", "a"), ("é", "/")], true, "metrics/job@base64/YQ=/U___e9_@base64/Lw="),
            // Upstream's escaping cannot hold this character, so it goes as it is.
            (
                &[("job", "a"), ("\u{100000}?", "/")],
                true,
                "metrics/job@base64/YQ=/%F4%80%80%80%3F@base64/Lw=",
            ),
            // Without the second escaping this would be the path of the group {job="a",x.y="/"}.
            (
                &[("job", "a"), ("U__x_2e_y", "/")],
                true,
                "metrics/job@base64/YQ=/U__U____x__2e__y@base64/Lw=",
            ),
            (
                &[("job", "a"), ("U__x_2e_y", "/")],
                false,
                "metrics/job@base64/YQ=/U__x_2e_y@base64/Lw=",
            ),
        ] {
            assert_eq!(delete_path(&key(labels), utf8_names), expected);
        }
    }

    fn key(labels: &[(&str, &str)]) -> GroupingKey {
        GroupingKey::new(labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }
}
