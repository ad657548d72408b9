//! Renders stored families as text.
//!
//! One family is a header and its samples; the caller decides which families, and sorts.

use std::ops::Range;

use crate::exposition::float::{write_float, write_signed_integer};
use crate::exposition::name::{Escaping, is_legacy_label_name, is_legacy_metric_name};
use crate::exposition::wire::{HistogramRef, MetricRef, MetricsIter, SummaryRef, ValueRef};
use crate::pb::client::MetricType;

/// Writes the `# HELP` line, if there is help, and the `# TYPE` line.
pub fn write_header(
    out: &mut Vec<u8>,
    name: &str,
    help: &str,
    kind: MetricType,
    escaping: Escaping,
) {
    if !help.is_empty() {
        out.extend_from_slice(b"# HELP ");
        write_family_name(out, name, escaping);
        out.push(b' ');
        write_escaped_help(out, help);
        out.push(b'\n');
    }
    out.extend_from_slice(b"# TYPE ");
    write_family_name(out, name, escaping);
    out.push(b' ');
    out.extend_from_slice(kind_word(kind).as_bytes());
    out.push(b'\n');
}

/// The word of a `# TYPE` line. Classic text has none for gauge histograms: they show as histograms.
pub fn kind_word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Summary => "summary",
        MetricType::Untyped => "untyped",
        MetricType::Histogram | MetricType::GaugeHistogram => "histogram",
    }
}

/// Writes the sample lines of stored metrics (see [`crate::exposition::wire`]) in stored order.
///
/// A metric without a value of the family's kind has no line.
pub fn write_samples(
    out: &mut Vec<u8>,
    name: &str,
    kind: MetricType,
    metrics: &[u8],
    escaping: Escaping,
) {
    let name = escaping.escape(name);
    let quoted = !is_legacy_metric_name(&name);
    for metric in MetricsIter::new(metrics) {
        let (value, timestamp_ms) = metric.value_and_timestamp(kind);
        let Some(value) = value else { continue };
        let mut lines = Lines {
            out: &mut *out,
            name: &name,
            quoted,
            metric,
            escaping,
            timestamp_ms,
            labels: None,
        };
        match value {
            ValueRef::Number(number) => lines.write("", None, number),
            ValueRef::Summary(summary) => lines.write_summary(summary),
            ValueRef::Histogram(histogram) => lines.write_histogram(histogram),
        }
    }
}

/// Writes the lines of one metric.
struct Lines<'a> {
    out: &'a mut Vec<u8>,
    name: &'a str,
    /// Whether the name must stand in quotes inside the braces.
    quoted: bool,
    metric: MetricRef<'a>,
    escaping: Escaping,
    timestamp_ms: Option<i64>,
    /// Where in `out` the labels of this metric already stand, so that further lines copy them.
    labels: Option<Range<usize>>,
}

impl Lines<'_> {
    fn write_summary(&mut self, summary: SummaryRef<'_>) {
        for (quantile, value) in summary.quantiles() {
            self.write("", Some(("quantile", quantile)), value);
        }
        self.write("_sum", None, summary.sum());
        #[expect(clippy::cast_precision_loss, reason = "the exposition knows only doubles")]
        self.write("_count", None, summary.count() as f64);
    }

    fn write_histogram(&mut self, histogram: HistogramRef<'_>) {
        let count = histogram.count().as_f64();
        let mut infinity_seen = false;
        for (bound, cumulative) in histogram.buckets() {
            self.write("_bucket", Some(("le", bound)), cumulative.as_f64());
            infinity_seen |= bound == f64::INFINITY;
        }
        if !infinity_seen {
            self.write("_bucket", Some(("le", f64::INFINITY)), count);
        }
        self.write("_sum", None, histogram.sum());
        self.write("_count", None, count);
    }

    /// Writes one line; `bound` is the label that only this line has.
    fn write(&mut self, suffix: &str, bound: Option<(&str, f64)>, value: f64) {
        let mut separator = b'{';
        if self.quoted {
            self.out.extend_from_slice(b"{\"");
            write_escaped_value(self.out, self.name);
            self.out.extend_from_slice(suffix.as_bytes());
            self.out.push(b'"');
            separator = b',';
        } else {
            self.out.extend_from_slice(self.name.as_bytes());
            self.out.extend_from_slice(suffix.as_bytes());
        }
        if self.write_labels(separator) {
            separator = b',';
        }
        if let Some((label, bound)) = bound {
            self.out.push(separator);
            self.out.extend_from_slice(label.as_bytes());
            self.out.extend_from_slice(b"=\"");
            write_float(self.out, bound);
            self.out.push(b'"');
            separator = b',';
        }
        self.out.extend_from_slice(if separator == b',' { b"} " } else { b" " });
        write_float(self.out, value);
        if let Some(timestamp_ms) = self.timestamp_ms {
            self.out.push(b' ');
            write_signed_integer(self.out, timestamp_ms);
        }
        self.out.push(b'\n');
    }

    /// Writes the metric's own labels behind a separator; tells whether there are any.
    fn write_labels(&mut self, separator: u8) -> bool {
        if let Some(labels) = self.labels.clone() {
            if labels.is_empty() {
                return false;
            }
            self.out.push(separator);
            self.out.extend_from_within(labels);
            return true;
        }
        let start = self.out.len();
        let mut next = separator;
        for (name, value) in self.metric.labels() {
            self.out.push(next);
            if is_legacy_label_name(name) {
                self.out.extend_from_slice(name.as_bytes());
            } else {
                let name = self.escaping.escape_label(name);
                write_name(self.out, &name, is_legacy_label_name(&name));
            }
            self.out.extend_from_slice(b"=\"");
            write_escaped_value(self.out, value);
            self.out.push(b'"');
            next = b',';
        }
        // The separator in front may be another one on the next line.
        let end = self.out.len();
        self.labels = Some((start + 1).min(end)..end);
        end > start
    }
}

/// Writes the name of a family, in quotes if it is outside the legacy alphabet even when escaped.
fn write_family_name(out: &mut Vec<u8>, name: &str, escaping: Escaping) {
    let name = escaping.escape(name);
    write_name(out, &name, is_legacy_metric_name(&name));
}

fn write_name(out: &mut Vec<u8>, name: &str, is_legacy: bool) {
    if is_legacy {
        out.extend_from_slice(name.as_bytes());
    } else {
        out.push(b'"');
        write_escaped_value(out, name);
        out.push(b'"');
    }
}

/// Writes a label value or quoted name: backslash, quote and newline are escaped, nothing else.
fn write_escaped_value(out: &mut Vec<u8>, text: &str) {
    write_escaped(out, text, |rest| memchr::memchr3(b'\\', b'"', b'\n', rest));
}

fn write_escaped_help(out: &mut Vec<u8>, text: &str) {
    write_escaped(out, text, |rest| memchr::memchr2(b'\\', b'\n', rest));
}

fn write_escaped(out: &mut Vec<u8>, text: &str, find: impl Fn(&[u8]) -> Option<usize>) {
    let mut rest = text.as_bytes();
    while let Some((plain, [special, after @ ..])) =
        find(rest).and_then(|at| rest.split_at_checked(at))
    {
        out.extend_from_slice(plain);
        out.push(b'\\');
        out.push(if *special == b'\n' { b'n' } else { *special });
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests;
