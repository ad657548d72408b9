//! Parses a body of delimited protobuf.
//!
//! No length is trusted: a message is a slice of the body, and what it unfolds to is counted before
//! it is decoded, since an empty message of two bytes becomes a structure of dozens.

use std::collections::BTreeMap;
use std::str::from_utf8;

use prost::Message as _;

use crate::exposition::goquote::quote;
use crate::exposition::wire::{Fields, VARINT_BYTES_MAX, Wire};
use crate::exposition::{ParseError, ParseRules};
use crate::pb::client::{Metric, MetricFamily, MetricType};

/// Parses a body. The families are in order of first appearance; of several with the same name the
/// last is taken, with nothing of those before.
pub fn parse_protobuf(body: &[u8], rules: &ParseRules) -> Result<Vec<MetricFamily>, ParseError> {
    let mut parser = Parser { rules, series: 0, parts: 0 };
    let mut families: Vec<MetricFamily> = Vec::new();
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    let mut stream = Fields::new(body);
    while !stream.is_at_end() {
        let message = take_message(&mut stream)?;
        let family = parser.family(message)?;
        let known = by_name.get(family.name()).copied();
        if let Some(place) = known.and_then(|index| families.get_mut(index)) {
            *place = family;
        } else {
            // Families cost memory even without metrics, so they are bounded as series are.
            rules.check_series(families.len() + 1)?;
            by_name.insert(family.name().to_owned(), families.len());
            families.push(family);
        }
    }
    Ok(families)
}

fn take_message<'a>(stream: &mut Fields<'a>) -> Result<&'a [u8], ParseError> {
    let cut_off = || ParseError::Syntax("unexpected EOF".to_owned());
    let Some(length) = stream.varint() else {
        let overflow = || ParseError::Syntax("proto: variable length integer overflow".to_owned());
        return Err(if stream.rest().len() < VARINT_BYTES_MAX { cut_off() } else { overflow() });
    };
    stream.take(length).ok_or_else(cut_off)
}

fn malformed() -> ParseError {
    ParseError::Syntax("proto: cannot parse invalid wire-format data".to_owned())
}

struct Parser<'r> {
    rules: &'r ParseRules,
    series: usize,
    parts: usize,
}

impl Parser<'_> {
    fn family(&mut self, message: &[u8]) -> Result<MetricFamily, ParseError> {
        // The name is in every refusal, and may come last.
        let name = family_name(message, self.rules)?;
        let mut family = MetricFamily {
            // A family without a type is a counter, whose number is 0.
            r#type: Some(MetricType::Counter.into()),
            ..MetricFamily::default()
        };
        for (number, value) in Fields::new(message) {
            match (number, value) {
                // Upstream accepts any bytes as help, but an exposition has to be text.
                (2, Wire::Bytes(help)) => {
                    family.help = Some(String::from_utf8_lossy(help).into_owned());
                }
                (3, Wire::Varint(kind)) => family.r#type = Some(parse_kind(kind, &name)?.into()),
                (4, Wire::Bytes(metric)) => family.metric.push(self.metric(metric, &name)?),
                // Of another wire type they are unknown fields.
                _ => {}
            }
        }
        if name.is_empty() {
            // A scrape could not show it, and upstream's then shows nothing at all.
            return Err(ParseError::Syntax("metric family without a name".to_owned()));
        }
        family.name = Some(name);
        Ok(family)
    }

    fn metric(&mut self, message: &[u8], family: &str) -> Result<Metric, ParseError> {
        self.series += 1;
        self.rules.check_series(self.series)?;
        self.parts = self.parts.saturating_add(count_parts(message));
        self.rules.check_parts(self.parts)?;
        let labels = Fields::new(message).filter(|(number, _)| *number == 1).count();
        let refuse = |text: String| {
            ParseError::Syntax(format!("metric family {}: {text}", quote(family.as_bytes())))
        };
        if let Some(text) = self.rules.labels_refusal(labels) {
            return Err(refuse(text));
        }
        let metric = Metric::decode(message).map_err(|_| match foreign_label(message) {
            Some(text) => refuse(text),
            None => malformed(),
        })?;
        for label in &metric.label {
            let refusal = self.rules.name_refusal("label", label.name().len());
            let refusal =
                refusal.or_else(|| self.rules.value_refusal(label.name(), label.value().len()));
            if let Some(text) = refusal {
                return Err(refuse(text));
            }
        }
        Ok(metric)
    }
}

/// The name, which may be empty, of a family whose fields can all be read.
fn family_name(message: &[u8], rules: &ParseRules) -> Result<String, ParseError> {
    let mut name: &[u8] = b"";
    let mut fields = Fields::new(message);
    for (number, value) in fields.by_ref() {
        if let (1, Wire::Bytes(bytes)) = (number, value) {
            name = bytes;
        }
    }
    if !fields.is_at_end() {
        return Err(malformed());
    }
    let refuse = |text: String| Err(ParseError::Syntax(text));
    if let Some(text) = rules.name_refusal("metric", name.len()) {
        return refuse(text);
    }
    match from_utf8(name) {
        Err(_) => refuse(format!("metric family name {} is not valid UTF-8", quote(name))),
        Ok(name) => Ok(name.to_owned()),
    }
}

fn parse_kind(number: u64, family: &str) -> Result<MetricType, ParseError> {
    let kind = i32::try_from(number).ok().and_then(|number| MetricType::try_from(number).ok());
    kind.ok_or_else(|| {
        let (name, number) = (quote(family.as_bytes()), number.cast_signed());
        ParseError::Syntax(format!("metric family {name} has the unknown type {number}"))
    })
}

/// Counts the messages that a metric unfolds to, beyond its labels: quantiles, buckets, spans,
/// exemplars and their labels.
fn count_parts(metric: &[u8]) -> usize {
    let count = |message: &[u8], per_field: fn(u32, &[u8]) -> usize| -> usize {
        let parts = Fields::new(message)
            .filter_map(|(number, value)| Some(per_field(number, value.bytes()?)));
        parts.sum()
    };
    Fields::new(metric)
        .filter_map(|(number, value)| Some((number, value.bytes()?)))
        .map(|(number, message)| match number {
            3 => count(message, |number, exemplar| usize::from(number == 2) * fields_in(exemplar)),
            4 => count(message, |number, _| usize::from(number == 3)),
            7 => count(message, |number, part| match number {
                3 => 1 + fields_in(part) + inner_fields_in(part),
                9 | 12 => 1,
                16 => 1 + fields_in(part),
                _ => 0,
            }),
            _ => 0,
        })
        .sum()
}

/// The messages and texts directly in a message.
fn fields_in(message: &[u8]) -> usize {
    Fields::new(message).filter(|(_, value)| value.bytes().is_some()).count()
}

/// The messages and texts one level further down.
fn inner_fields_in(message: &[u8]) -> usize {
    Fields::new(message).filter_map(|(_, value)| value.bytes()).map(fields_in).sum()
}

/// Says which label of a metric is not text, if one is not.
fn foreign_label(metric: &[u8]) -> Option<String> {
    let pairs = Fields::new(metric).filter(|(number, _)| *number == 1);
    pairs.filter_map(|(_, value)| value.bytes()).find_map(|pair| {
        let (mut name, mut label_value): (&[u8], &[u8]) = (b"", b"");
        for (number, value) in Fields::new(pair) {
            match (number, value.bytes()) {
                (1, Some(bytes)) => name = bytes,
                (2, Some(bytes)) => label_value = bytes,
                _ => {}
            }
        }
        if from_utf8(name).is_err() {
            return Some(format!("a label name is not utf8: {}", quote(name)));
        }
        let (name, value) = (quote(name), quote(label_value));
        from_utf8(label_value)
            .is_err()
            .then(|| format!("a label named {name} whose value is not utf8: {value}"))
    })
}
