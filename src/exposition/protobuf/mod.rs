//! Delimited protobuf: a stream of `MetricFamily` messages, each behind its length as a varint.
//!
//! Scrapes need no encoder of their own: a family's header is written here, and its stored metrics
//! (see [`crate::exposition::wire`]) follow as they are. Only where a name has to be escaped are the
//! metrics written anew.

mod parse;

use std::borrow::Cow;

use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

pub use self::parse::parse_protobuf;
use crate::exposition::name::{Escaping, is_legacy_label_name, is_legacy_metric_name};
use crate::exposition::prototext::FamilyHeader;
use crate::exposition::wire::{Fields, LabelsIter, MetricsIter, write_metric};
use crate::pb::client::LabelPair;

/// Encoded keys of the fields of `MetricFamily`.
const NAME_KEY: u8 = 0x0a;
const HELP_KEY: u8 = 0x12;
const TYPE_KEY: u8 = 0x18;
/// Field number of `Metric.label`, and its encoded key.
const METRIC_LABEL: u32 = 1;
const LABEL_KEY: u8 = 0x0a;

/// Writes one delimited family of stored metrics, its names escaped.
pub fn write_delimited(
    out: &mut Vec<u8>,
    header: FamilyHeader<'_>,
    metrics: &[u8],
    escaping: Escaping,
) {
    let metrics = escape_metrics(metrics, escaping);
    write_delimited_header(out, header, metrics.len(), escaping);
    out.extend_from_slice(&metrics);
}

/// Writes everything of a delimited family that stands in front of its metrics: the caller appends
/// stored metrics of `metrics_bytes` bytes in total, escaped where they need it.
pub fn write_delimited_header(
    out: &mut Vec<u8>,
    header: FamilyHeader<'_>,
    metrics_bytes: usize,
    escaping: Escaping,
) {
    let name = escaping.escape(header.name);
    let kind = u64::from(i32::from(header.kind).cast_unsigned());
    let mut length = text_field_len(&name) + 1 + encoded_len_varint(kind) + metrics_bytes;
    if !header.help.is_empty() {
        length += text_field_len(header.help);
    }
    encode_varint(length as u64, out);
    write_text_field(out, NAME_KEY, &name);
    if !header.help.is_empty() {
        write_text_field(out, HELP_KEY, header.help);
    }
    out.push(TYPE_KEY);
    encode_varint(kind, out);
}

fn text_field_len(text: &str) -> usize {
    1 + encoded_len_varint(text.len() as u64) + text.len()
}

fn write_text_field(out: &mut Vec<u8>, key: u8, text: &str) {
    out.push(key);
    encode_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Whether the family or one of its labels has a name outside the legacy alphabet. If not, every
/// escaping leaves the family as it is, and its stored bytes can be copied.
pub fn needs_escaping(name: &str, metrics: &[u8]) -> bool {
    !is_legacy_metric_name(name)
        || MetricsIter::new(metrics)
            .any(|metric| metric.labels().any(|(name, _)| !is_legacy_label_name(name)))
}

/// Stored metrics with their label names escaped.
pub fn escape_metrics(metrics: &[u8], escaping: Escaping) -> Cow<'_, [u8]> {
    let changes = MetricsIter::new(metrics)
        .any(|metric| metric.labels().any(|(name, _)| escaping.changes_label(name)));
    if !changes {
        return Cow::Borrowed(metrics);
    }
    let mut out = Vec::with_capacity(metrics.len());
    let mut body = Vec::new();
    for metric in MetricsIter::new(metrics) {
        body.clear();
        escape_metric(&mut body, metric.body(), escaping);
        write_metric(&mut out, &body);
    }
    Cow::Owned(out)
}

/// Copies the fields of an encoded metric, but for the names of its labels.
fn escape_metric(out: &mut Vec<u8>, metric: &[u8], escaping: Escaping) {
    let mut labels = LabelsIter::new(metric);
    let mut fields = Fields::new(metric);
    loop {
        let before = fields.rest();
        let Some((number, _)) = fields.next() else { break };
        let field = before.get(..before.len() - fields.rest().len()).unwrap_or_default();
        let label = if number == METRIC_LABEL { labels.next() } else { None };
        match label.filter(|(name, _)| escaping.changes_label(name)) {
            Some((name, value)) => {
                let name = Some(escaping.escape_label(name).into_owned());
                let pair = LabelPair { name, value: Some(value.to_owned()) };
                out.push(LABEL_KEY);
                encode_varint(pair.encoded_len() as u64, out);
                pair.encode_raw(out);
            }
            None => out.extend_from_slice(field),
        }
    }
}

#[cfg(test)]
mod tests;
