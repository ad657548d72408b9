//! Protobuf metric families in a form that people can read and write, both ways:
//! `name:"g" type:GAUGE metric:{label:{name:"a" value:"b"} gauge:{value:1}}`.
//!
//! A field may also be given by its number, so that unknown ones can be sent. Nothing is checked:
//! the point is to be able to say what no library would.

use super::body;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Double,
    Varint,
    Zigzag,
    Enum,
    Message(&'static str),
}

use Kind::{Double, Enum, Message, Text, Varint, Zigzag};

/// Message, field, number, kind.
const SCHEMA: &[(&str, &str, u64, Kind)] = &[
    ("family", "name", 1, Text),
    ("family", "help", 2, Text),
    ("family", "type", 3, Enum),
    ("family", "metric", 4, Message("metric")),
    ("family", "unit", 5, Text),
    ("metric", "label", 1, Message("label")),
    ("metric", "gauge", 2, Message("gauge")),
    ("metric", "counter", 3, Message("counter")),
    ("metric", "summary", 4, Message("summary")),
    ("metric", "untyped", 5, Message("untyped")),
    ("metric", "timestamp_ms", 6, Varint),
    ("metric", "histogram", 7, Message("histogram")),
    ("label", "name", 1, Text),
    ("label", "value", 2, Text),
    ("gauge", "value", 1, Double),
    ("untyped", "value", 1, Double),
    ("counter", "value", 1, Double),
    ("counter", "exemplar", 2, Message("exemplar")),
    ("counter", "created_timestamp", 3, Message("timestamp")),
    ("summary", "sample_count", 1, Varint),
    ("summary", "sample_sum", 2, Double),
    ("summary", "quantile", 3, Message("quantile")),
    ("summary", "created_timestamp", 4, Message("timestamp")),
    ("quantile", "quantile", 1, Double),
    ("quantile", "value", 2, Double),
    ("histogram", "sample_count", 1, Varint),
    ("histogram", "sample_sum", 2, Double),
    ("histogram", "bucket", 3, Message("bucket")),
    ("histogram", "sample_count_float", 4, Double),
    ("histogram", "schema", 5, Zigzag),
    ("histogram", "zero_threshold", 6, Double),
    ("histogram", "zero_count", 7, Varint),
    ("histogram", "zero_count_float", 8, Double),
    ("histogram", "negative_span", 9, Message("span")),
    ("histogram", "negative_delta", 10, Zigzag),
    ("histogram", "negative_count", 11, Double),
    ("histogram", "positive_span", 12, Message("span")),
    ("histogram", "positive_delta", 13, Zigzag),
    ("histogram", "positive_count", 14, Double),
    ("histogram", "created_timestamp", 15, Message("timestamp")),
    ("histogram", "exemplars", 16, Message("exemplar")),
    ("bucket", "cumulative_count", 1, Varint),
    ("bucket", "upper_bound", 2, Double),
    ("bucket", "exemplar", 3, Message("exemplar")),
    ("bucket", "cumulative_count_float", 4, Double),
    ("span", "offset", 1, Zigzag),
    ("span", "length", 2, Varint),
    ("exemplar", "label", 1, Message("label")),
    ("exemplar", "value", 2, Double),
    ("exemplar", "timestamp", 3, Message("timestamp")),
    ("timestamp", "seconds", 1, Varint),
    ("timestamp", "nanos", 2, Varint),
];

const TYPES: &[&str] = &["COUNTER", "GAUGE", "SUMMARY", "UNTYPED", "HISTOGRAM", "GAUGE_HISTOGRAM"];

/// One family with its length before it, as in a body.
pub(crate) fn delimited(text: &str) -> Vec<u8> {
    let mut writer = Writer { rest: text };
    let message = writer.message("family");
    assert!(writer.rest.trim().is_empty(), "left over: {}", writer.rest);
    let mut out = varint(message.len() as u64);
    out.extend(message);
    out
}

struct Writer<'a> {
    rest: &'a str,
}

impl<'a> Writer<'a> {
    fn message(&mut self, name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with('}') {
                return out;
            }
            let field = self.word(|c| c == ':');
            self.rest = &self.rest[1..];
            let row = SCHEMA.iter().find(|row| row.0 == name && row.1 == field);
            let (number, kind) = if let Some(row) = row {
                (row.2, row.3)
            } else {
                let number = field.parse();
                (number.unwrap_or_else(|_| panic!("no field {field} in {name}")), Text)
            };
            out.extend(self.field(number, kind));
        }
    }

    fn field(&mut self, number: u64, kind: Kind) -> Vec<u8> {
        let (wire, payload) = match kind {
            Text => (2, counted(self.quoted())),
            Message(name) => {
                assert!(self.rest.starts_with('{'), "no message at {}", self.rest);
                self.rest = &self.rest[1..];
                let inner = self.message(name);
                self.rest = &self.rest[1..];
                (2, counted(inner))
            }
            Double => {
                let value: f64 = self.scalar().parse().unwrap();
                (1, value.to_le_bytes().to_vec())
            }
            Varint => {
                let word = self.scalar();
                let value = word.parse::<i64>().map(i64::cast_unsigned).or_else(|_| word.parse());
                (0, varint(value.unwrap()))
            }
            Zigzag => {
                let value: i64 = self.scalar().parse().unwrap();
                (0, varint(((value << 1) ^ (value >> 63)).cast_unsigned()))
            }
            Enum => {
                let word = self.scalar();
                let known = TYPES.iter().position(|t| *t == word);
                (0, varint(known.map_or_else(|| word.parse().unwrap(), |n| n as u64)))
            }
        };
        let mut out = varint(number << 3 | wire);
        out.extend(payload);
        out
    }

    fn word(&mut self, end: impl Fn(char) -> bool) -> &'a str {
        let at = self.rest.find(end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(at);
        self.rest = rest;
        word
    }

    fn scalar(&mut self) -> &'a str {
        self.word(|c| c == ' ' || c == '}')
    }

    fn quoted(&mut self) -> Vec<u8> {
        let rest = self.rest.strip_prefix('"').unwrap_or_else(|| panic!("no \" at {}", self.rest));
        let (text, rest) = rest.split_once('"').unwrap();
        self.rest = rest;
        body::unescape(text)
    }
}

fn counted(bytes: Vec<u8>) -> Vec<u8> {
    let mut out = varint(bytes.len() as u64);
    out.extend(bytes);
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// The families of a delimited body, each as its name and readable lines: the header first, then a
/// line per metric. Nothing if the body is not well-formed.
pub(crate) fn families(mut body: &[u8]) -> Option<Vec<Vec<String>>> {
    let mut out = Vec::new();
    while !body.is_empty() {
        let length = usize::try_from(read_varint(&mut body)?).ok()?;
        let (message, rest) = body.split_at_checked(length)?;
        body = rest;
        let (mut header, mut metrics) = (Vec::new(), Vec::new());
        for (number, field) in fields("family", message)? {
            if number == 4 { metrics.push(field) } else { header.push(field) }
        }
        let mut lines = vec![header.join(" ")];
        lines.append(&mut metrics);
        out.push(lines);
    }
    Some(out)
}

/// The fields of a message in the order of their numbers.
fn fields(name: &str, mut bytes: &[u8]) -> Option<Vec<(u64, String)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let (number, wire) = (key >> 3, key & 7);
        let row = SCHEMA.iter().find(|row| row.0 == name && row.2 == number);
        let kind = row.map(|row| row.3);
        let value = match wire {
            0 => {
                let value = read_varint(&mut bytes)?;
                match kind {
                    Some(Zigzag) => {
                        ((value >> 1).cast_signed() ^ -(value & 1).cast_signed()).to_string()
                    }
                    Some(Enum) => TYPES
                        .get(usize::try_from(value).ok()?)
                        .map_or_else(|| value.to_string(), |t| (*t).to_owned()),
                    _ => value.to_string(),
                }
            }
            1 => {
                let (value, rest) = bytes.split_first_chunk::<8>()?;
                bytes = rest;
                f64::from_le_bytes(*value).to_string()
            }
            2 => {
                let length = usize::try_from(read_varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                match kind {
                    Some(Message(inner)) => {
                        let inner: Vec<String> =
                            fields(inner, value)?.into_iter().map(|f| f.1).collect();
                        format!("{{{}}}", inner.join(" "))
                    }
                    _ => format!("{:?}", String::from_utf8_lossy(value)),
                }
            }
            _ => return None,
        };
        let field = row.map_or_else(|| number.to_string(), |row| row.1.to_owned());
        out.push((number, format!("{field}:{value}")));
    }
    out.sort_by_key(|(number, _)| *number);
    Some(out)
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[test]
fn what_is_written_can_be_read() {
    use prost::Message as _;
    let text = r#"name:"h" type:HISTOGRAM metric:{label:{name:"a" value:"b"} histogram:{sample_count:3 schema:-1}} metric:{gauge:{value:1.5}}"#;
    let bytes = delimited(text);
    let family = quorumgate::pb::client::MetricFamily::decode_length_delimited(&bytes[..]).unwrap();
    assert_eq!(family.metric[0].histogram.as_ref().unwrap().schema, Some(-1));
    assert_eq!(family.metric[1].gauge.as_ref().unwrap().value, Some(1.5));
    let read = families(&bytes).unwrap();
    assert_eq!(read[0][0], r#"name:"h" type:HISTOGRAM"#);
    assert_eq!(read[0][2], "metric:{gauge:{value:1.5}}");
    assert!(families(&bytes[..bytes.len() - 1]).is_none());
}
