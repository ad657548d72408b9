//! Protobuf text: metrics as the text encodings of a scrape and the texts of refusals show them.
//!
//! Go varies the blanks of this form from build to build, so that nobody relies on them. Ours are
//! fixed: one blank in scrapes, two between the fields in refusals.

use prost_types::Timestamp;

use crate::exposition::float::{write_float_signed_zero, write_integer, write_signed_integer};
use crate::exposition::name::Escaping;
use crate::pb::client::{
    Bucket, BucketSpan, Exemplar, Histogram, LabelPair, Metric, MetricType, Summary,
};

/// How the fields of a message are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One line per field.
    Multiline,
    /// One line per family, a blank between the fields.
    Compact,
    /// One line, two blanks between the fields: what upstream's refusals look like.
    Wide,
}

/// What is said of a family besides its metrics.
#[derive(Debug, Clone, Copy)]
pub struct FamilyHeader<'a> {
    /// The family's name, not escaped.
    pub name: &'a str,
    /// Its help; empty means none.
    pub help: &'a str,
    /// Its kind.
    pub kind: MetricType,
}

/// Writes what comes before the metrics of a family. The caller writes these, and the line break
/// that ends the family.
pub fn write_header(
    out: &mut Vec<u8>,
    layout: Layout,
    header: FamilyHeader<'_>,
    escaping: Escaping,
) {
    let mut writer = Writer::new(out, layout, escaping);
    writer.text("name", &escaping.escape(header.name));
    if !header.help.is_empty() {
        writer.text("help", header.help);
    }
    writer.word("type", header.kind.as_str_name());
}

/// Writes one stored metric of the family whose header was written before.
pub fn write_metric(out: &mut Vec<u8>, layout: Layout, metric: &Metric, escaping: Escaping) {
    let mut writer = Writer { is_first: false, ..Writer::new(out, layout, escaping) };
    writer.message("metric", |writer| writer.metric(metric));
}

/// Shows a metric in a refusal: `{ label:{name:"job"  value:"j"}  untyped:{value:2}}`.
pub fn dump(metric: &Metric) -> String {
    let mut out = b"{ ".to_vec();
    Writer::new(&mut out, Layout::Wide, Escaping::AllowUtf8).metric(metric);
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    layout: Layout,
    escaping: Escaping,
    depth: usize,
    /// Whether no field of the current message has been written.
    is_first: bool,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>, layout: Layout, escaping: Escaping) -> Self {
        Writer { out, layout, escaping, depth: 0, is_first: true }
    }

    fn begin(&mut self, field: &str) {
        let separator: &[u8] = match self.layout {
            Layout::Multiline => {
                self.indent();
                b""
            }
            _ if self.is_first => b"",
            Layout::Compact => b" ",
            Layout::Wide => b"  ",
        };
        self.out.extend_from_slice(separator);
        self.out.extend_from_slice(field.as_bytes());
        self.out.push(b':');
        if self.layout == Layout::Multiline {
            self.out.push(b' ');
        }
        self.is_first = false;
    }

    fn end(&mut self) {
        if self.layout == Layout::Multiline {
            self.out.push(b'\n');
        }
    }

    fn indent(&mut self) {
        self.out.extend(std::iter::repeat_n(b' ', 2 * self.depth));
    }

    fn message(&mut self, field: &str, write: impl FnOnce(&mut Writer<'_>)) {
        self.begin(field);
        self.out.push(b'{');
        let opened_at = self.out.len();
        self.end();
        let content_at = self.out.len();
        let (layout, escaping, depth) = (self.layout, self.escaping, self.depth + 1);
        write(&mut Writer { out: &mut *self.out, layout, escaping, depth, is_first: true });
        if self.out.len() == content_at {
            self.out.truncate(opened_at);
        } else if self.layout == Layout::Multiline {
            self.indent();
        }
        self.out.push(b'}');
        self.end();
    }

    fn word(&mut self, field: &str, word: &str) {
        self.begin(field);
        self.out.extend_from_slice(word.as_bytes());
        self.end();
    }

    fn text(&mut self, field: &str, text: &str) {
        self.begin(field);
        write_string(self.out, text);
        self.end();
    }

    fn double(&mut self, field: &str, value: Option<f64>) {
        let Some(value) = value else { return };
        self.begin(field);
        if value.is_nan() {
            self.out.extend_from_slice(b"nan");
        } else if value.is_infinite() {
            self.out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
        } else {
            write_float_signed_zero(self.out, value);
        }
        self.end();
    }

    fn unsigned(&mut self, field: &str, value: Option<u64>) {
        let Some(value) = value else { return };
        self.begin(field);
        write_integer(self.out, value);
        self.end();
    }

    fn signed(&mut self, field: &str, value: Option<i64>) {
        let Some(value) = value else { return };
        self.begin(field);
        write_signed_integer(self.out, value);
        self.end();
    }

    // The fields of each message stand in the order of the upstream definition, as Go prints them.

    fn metric(&mut self, metric: &Metric) {
        for label in &metric.label {
            let escaping = self.escaping;
            self.message("label", |writer| writer.label(label, escaping));
        }
        if let Some(gauge) = &metric.gauge {
            self.message("gauge", |writer| writer.double("value", gauge.value));
        }
        if let Some(counter) = &metric.counter {
            self.message("counter", |writer| {
                writer.double("value", counter.value);
                if let Some(exemplar) = counter.exemplar.as_ref() {
                    writer.message("exemplar", |writer| writer.exemplar(exemplar));
                }
                writer.time("created_timestamp", counter.created_timestamp.as_ref());
            });
        }
        if let Some(summary) = &metric.summary {
            self.message("summary", |writer| writer.summary(summary));
        }
        if let Some(untyped) = &metric.untyped {
            self.message("untyped", |writer| writer.double("value", untyped.value));
        }
        if let Some(histogram) = &metric.histogram {
            self.message("histogram", |writer| writer.histogram(histogram));
        }
        self.signed("timestamp_ms", metric.timestamp_ms);
    }

    fn label(&mut self, label: &LabelPair, escaping: Escaping) {
        if let Some(name) = &label.name {
            self.text("name", &escaping.escape_label(name));
        }
        if let Some(value) = &label.value {
            self.text("value", value);
        }
    }

    fn summary(&mut self, summary: &Summary) {
        self.unsigned("sample_count", summary.sample_count);
        self.double("sample_sum", summary.sample_sum);
        for quantile in &summary.quantile {
            self.message("quantile", |writer| {
                writer.double("quantile", quantile.quantile);
                writer.double("value", quantile.value);
            });
        }
        self.time("created_timestamp", summary.created_timestamp.as_ref());
    }

    fn histogram(&mut self, histogram: &Histogram) {
        self.unsigned("sample_count", histogram.sample_count);
        self.double("sample_count_float", histogram.sample_count_float);
        self.double("sample_sum", histogram.sample_sum);
        for bucket in &histogram.bucket {
            self.message("bucket", |writer| writer.bucket(bucket));
        }
        self.time("created_timestamp", histogram.created_timestamp.as_ref());
        self.signed("schema", histogram.schema.map(i64::from));
        self.double("zero_threshold", histogram.zero_threshold);
        self.unsigned("zero_count", histogram.zero_count);
        self.double("zero_count_float", histogram.zero_count_float);
        self.spans("negative_span", &histogram.negative_span);
        histogram.negative_delta.iter().for_each(|d| self.signed("negative_delta", Some(*d)));
        histogram.negative_count.iter().for_each(|c| self.double("negative_count", Some(*c)));
        self.spans("positive_span", &histogram.positive_span);
        histogram.positive_delta.iter().for_each(|d| self.signed("positive_delta", Some(*d)));
        histogram.positive_count.iter().for_each(|c| self.double("positive_count", Some(*c)));
        for exemplar in &histogram.exemplars {
            self.message("exemplars", |writer| writer.exemplar(exemplar));
        }
    }

    fn bucket(&mut self, bucket: &Bucket) {
        self.unsigned("cumulative_count", bucket.cumulative_count);
        self.double("cumulative_count_float", bucket.cumulative_count_float);
        self.double("upper_bound", bucket.upper_bound);
        if let Some(exemplar) = bucket.exemplar.as_ref() {
            self.message("exemplar", |writer| writer.exemplar(exemplar));
        }
    }

    fn spans(&mut self, field: &str, spans: &[BucketSpan]) {
        for span in spans {
            self.message(field, |writer| {
                writer.signed("offset", span.offset.map(i64::from));
                writer.unsigned("length", span.length.map(u64::from));
            });
        }
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        for label in &exemplar.label {
            self.message("label", |writer| writer.label(label, Escaping::AllowUtf8));
        }
        self.double("value", exemplar.value);
        self.time("timestamp", exemplar.timestamp.as_ref());
    }

    fn time(&mut self, field: &str, time: Option<&Timestamp>) {
        let Some(time) = time else { return };
        self.message(field, |writer| {
            // Zero is the same as absent in these two.
            writer.signed("seconds", Some(time.seconds).filter(|seconds| *seconds != 0));
            writer.signed("nanos", Some(i64::from(time.nanos)).filter(|nanos| *nanos != 0));
        });
    }
}

/// Writes a quoted string: control characters escaped, other text as it is.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', u8::try_from(character).unwrap_or(b'?')]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..=' ' if character != ' ' => write_hex(out, "\\x", u32::from(character), 2),
            '\x7f' => write_hex(out, "\\x", u32::from(character), 2),
            '\u{80}'..='\u{9f}' => write_hex(out, "\\u", u32::from(character), 4),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn write_hex(out: &mut Vec<u8>, prefix: &str, code: u32, digits: usize) {
    out.extend_from_slice(format!("{prefix}{code:0digits$x}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::testing::{label, metric_of};
    use crate::pb::client::Quantile;

    fn family(layout: Layout, header: FamilyHeader<'_>, metrics: &[Metric]) -> String {
        let mut out = Vec::new();
        write_header(&mut out, layout, header, Escaping::Underscores);
        for metric in metrics {
            write_metric(&mut out, layout, metric, Escaping::Underscores);
        }
        out.push(b'\n');
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_metric_in_a_refusal() {
        let pairs = [("instance", ""), ("job", "j")];
        assert_eq!(
            dump(&metric_of(MetricType::Untyped, &pairs, 2.0)),
            r#"{ label:{name:"instance"  value:""}  label:{name:"job"  value:"j"}  untyped:{value:2}}"#
        );
        assert_eq!(dump(&Metric::default()), "{ }");
        let mut metric = Metric { timestamp_ms: Some(-3), ..Metric::default() };
        *metric.summary.get_or_insert_default() = Summary {
            sample_count: Some(1),
            quantile: vec![Quantile { quantile: Some(f64::NAN), value: Some(-0.0) }],
            ..Summary::default()
        }
        .into();
        assert_eq!(
            dump(&metric),
            "{ summary:{sample_count:1  quantile:{quantile:nan  value:-0}}  timestamp_ms:-3}"
        );
    }

    #[test]
    fn families() {
        let header = FamilyHeader { name: "a.b", help: "say \"é\"", kind: MetricType::Gauge };
        let metrics = [
            metric_of(MetricType::Gauge, &[("x.y", "\n\x01\x7f\u{85}")], 1e6),
            Metric { gauge: Some(crate::pb::client::Gauge::default()), ..Metric::default() },
        ];
        assert_eq!(
            family(Layout::Multiline, header, &metrics),
            r#"name: "a_b"
help: "say \"é\""
type: GAUGE
metric: {
  label: {
    name: "x_y"
    value: "\n\x01\x7f\u0085"
  }
  gauge: {
    value: 1e+06
  }
}
metric: {
  gauge: {}
}

"#
        );
        assert_eq!(
            family(Layout::Compact, header, &metrics),
            "name:\"a_b\" help:\"say \\\"é\\\"\" type:GAUGE \
             metric:{label:{name:\"x_y\" value:\"\\n\\x01\\x7f\\u0085\"} gauge:{value:1e+06}} \
             metric:{gauge:{}}\n"
        );
        let header = FamilyHeader { name: "a", help: "", kind: MetricType::GaugeHistogram };
        assert_eq!(family(Layout::Compact, header, &[]), "name:\"a\" type:GAUGE_HISTOGRAM\n");
    }

    #[test]
    fn histograms_in_the_order_of_the_definition() {
        let exemplar = Exemplar {
            label: vec![label("t.i", "v")],
            value: Some(f64::INFINITY),
            timestamp: Some(Timestamp { seconds: 5, nanos: 0 }),
        };
        let mut metric = Metric::default();
        let mut bucket =
            Bucket { cumulative_count: Some(3), upper_bound: Some(1.0), ..Bucket::default() };
        *bucket.exemplar.get_or_insert_default() = exemplar.clone().into();
        *metric.histogram.get_or_insert_default() = Histogram {
            sample_count: Some(7),
            sample_sum: Some(f64::NEG_INFINITY),
            bucket: vec![bucket],
            created_timestamp: Some(Timestamp { seconds: 0, nanos: 7 }),
            schema: Some(-4),
            zero_count: Some(2),
            negative_span: vec![BucketSpan { offset: Some(-1), length: Some(2) }],
            negative_delta: vec![1, -1],
            positive_count: vec![0.5],
            exemplars: vec![exemplar],
            ..Histogram::default()
        }
        .into();
        let shown = r#"exemplar:{label:{name:"t.i" value:"v"} value:inf timestamp:{seconds:5}}"#;
        let header = FamilyHeader { name: "h", help: "", kind: MetricType::Histogram };
        assert_eq!(
            family(Layout::Compact, header, &[metric]),
            format!(
                "name:\"h\" type:HISTOGRAM metric:{{histogram:{{sample_count:7 sample_sum:-inf \
                 bucket:{{cumulative_count:3 upper_bound:1 {shown}}} created_timestamp:{{nanos:7}} \
                 schema:-4 zero_count:2 negative_span:{{offset:-1 length:2}} negative_delta:1 \
                 negative_delta:-1 positive_count:0.5 exemplars:{}}}}}\n",
                shown.trim_start_matches("exemplar:")
            )
        );
    }
}
