use proptest::prelude::*;

use super::*;
use crate::exposition::testing::{arb_metric, family_of, label, labels, metric_of};
use crate::exposition::wire::encode_metrics;
use crate::exposition::{ParseError, ParseRules};
use crate::limits::Limits;
use crate::pb::client::{Bucket, Exemplar, Metric, MetricFamily, MetricType, Quantile};

fn rules() -> ParseRules {
    ParseRules::new(&Limits::default(), false)
}

fn delimited(families: &[MetricFamily]) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        family.encode_length_delimited(&mut out).unwrap();
    }
    out
}

fn gauge(name: &str, value: f64) -> MetricFamily {
    let metric = metric_of(MetricType::Gauge, &[("k", "v")], value);
    family_of(name, Some("h"), MetricType::Gauge, vec![metric])
}

fn refusal(body: &[u8]) -> String {
    match parse_protobuf(body, &rules()) {
        Err(ParseError::Syntax(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn streams() {
    assert_eq!(parse_protobuf(b"", &rules()), Ok(vec![]));
    let families = [gauge("b", 1.0), gauge("a", 2.0)];
    assert_eq!(parse_protobuf(&delimited(&families), &rules()), Ok(families.to_vec()));
    // The last of a name wins entirely, in the place of the first.
    let body = delimited(&[gauge("b", 1.0), gauge("a", 2.0), gauge("b", 3.0)]);
    let expected = vec![gauge("b", 3.0), gauge("a", 2.0)];
    assert_eq!(parse_protobuf(&body, &rules()), Ok(expected));
}

#[test]
fn missing_and_unknown_fields() {
    // Only a name: a counter without metrics.
    let expected = family_of("a", None, MetricType::Counter, vec![]);
    assert_eq!(parse_protobuf(b"\x03\x0a\x01a", &rules()), Ok(vec![expected.clone()]));
    // Unit is field 5 and lost, as is a field 100.
    let body = b"\x0a\x0a\x01a\x2a\x01u\xa0\x06\x96\x01";
    assert_eq!(parse_protobuf(body, &rules()), Ok(vec![expected]));
    // A known field of another wire type is an unknown one, as is a group.
    let body = b"\x14\x0a\x01a\x08\x01\x10\x01\x1a\x01\x00\x20\x01\x0b\x08\x01\x0c\x23\x24\x2b\x2c";
    let expected = family_of("a", None, MetricType::Counter, vec![]);
    assert_eq!(parse_protobuf(body, &rules()), Ok(vec![expected]));
    // Names are not held against any alphabet, and help may hold anything.
    let body = b"\x08\x0a\x03g x\x12\x01\xff";
    let family = &parse_protobuf(body, &rules()).unwrap()[0];
    assert_eq!((family.name(), family.help()), ("g x", "\u{fffd}"));
}

#[test]
fn refused_streams() {
    let body = delimited(&[gauge("a", 1.0)]);
    for cut in 1..body.len() {
        assert_eq!(refusal(&body[..cut]), "unexpected EOF", "{cut}");
    }
    for (body, text) in [
        (&b"\xff\xff\xff\xff\x7f"[..], "unexpected EOF"),
        (b"\xff", "unexpected EOF"),
        (&[0xff; 9], "unexpected EOF"),
        (&[0xff; 11], "proto: variable length integer overflow"),
        (&[0xff; 10], "proto: variable length integer overflow"),
        // What cannot be read comes before what is not there.
        (b"\x01\x0a", "proto: cannot parse invalid wire-format data"),
        (b"\x02\xff\xff", "proto: cannot parse invalid wire-format data"),
        (b"\x02\x0f\x01", "proto: cannot parse invalid wire-format data"),
        (b"\x02\x00\x01", "proto: cannot parse invalid wire-format data"),
        (b"\x03\x0a\x7fa", "proto: cannot parse invalid wire-format data"),
        (b"\x03\x22\x01\x0a", "proto: cannot parse invalid wire-format data"),
        (b"\x04\x0a\x01a\x0a", "proto: cannot parse invalid wire-format data"),
        // Whatever is in a metric keeps its wire type.
        (b"\x07\x0a\x01a\x22\x02\x10\x01", "proto: cannot parse invalid wire-format data"),
        (b"\x02\x08\x01", "metric family without a name"),
        (b"\x02\x0b\x0c", "metric family without a name"),
        (b"\x06\x0a\x01a\x22\x01\x0a", "proto: cannot parse invalid wire-format data"),
        (b"\x00", "metric family without a name"),
        (b"\x02\x0a\x00", "metric family without a name"),
        (b"\x04\x0a\x02a\xff", r#"metric family name "a\xff" is not valid UTF-8"#),
        (b"\x05\x0a\x01a\x18\x06", "metric family \"a\" has the unknown type 6"),
        (
            b"\x0e\x0a\x01a\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "metric family \"a\" has the unknown type -1",
        ),
    ] {
        assert_eq!(refusal(body), text, "{}", body.escape_ascii());
    }
    // Whatever was read before an error is gone with it.
    let body = [delimited(&[gauge("a", 1.0)]), b"\x05".to_vec()].concat();
    assert_eq!(refusal(&body), "unexpected EOF");
}

#[test]
fn labels_that_are_not_text() {
    for (from, to, text) in [
        (b'v', 0xff, r#"metric family "a": a label named "k" whose value is not utf8: "\xff""#),
        (b'k', 0xfe, r#"metric family "a": a label name is not utf8: "\xfe""#),
    ] {
        let mut body = delimited(&[gauge("a", 1.0)]);
        let at = body.iter().position(|byte| *byte == from).unwrap();
        body[at] = to;
        assert_eq!(refusal(&body), text);
    }
}

#[test]
fn limits() {
    let rules = ParseRules {
        utf8_names: false,
        series_max: 2,
        labels_max: 2,
        name_bytes_max: 8,
        value_bytes_max: 4,
    };
    let family = |label: Vec<LabelPair>| {
        family_of("a", None, MetricType::Gauge, vec![Metric { label, ..Metric::default() }])
    };
    for (family, text) in [
        (gauge("abcdefghi", 1.0), "metric name of 9 bytes, 8 are allowed (--limits.name-bytes)"),
        (
            family(labels(&[("abcdefghi", "")])),
            "metric family \"a\": label name of 9 bytes, 8 are allowed (--limits.name-bytes)",
        ),
        (
            family(labels(&[("a", "12345")])),
            "metric family \"a\": value of label \"a\" of 5 bytes, 4 are allowed \
             (--limits.label-value-bytes)",
        ),
        (
            family(vec![label("a", ""); 3]),
            "metric family \"a\": more than 2 labels on one metric (--limits.labels-per-series)",
        ),
    ] {
        let parsed = parse_protobuf(&delimited(&[family]), &rules);
        assert_eq!(parsed, Err(ParseError::Syntax(text.to_owned())));
    }
    let three = [gauge("a", 1.0), gauge("b", 1.0), gauge("c", 1.0)];
    assert!(parse_protobuf(&delimited(&three[..2]), &rules).is_ok());
    assert_eq!(
        parse_protobuf(&delimited(&three), &rules),
        Err(ParseError::TooLarge(
            "more than 2 series in one push (--limits.series-per-push)".to_owned()
        ))
    );
}

#[test]
fn empty_messages_are_counted_before_they_unfold() {
    let rules = ParseRules { series_max: 2, ..rules() };
    let histogram = |parts: usize| {
        let mut metric = Metric::default();
        metric.histogram.get_or_insert_default().bucket = vec![Bucket::default(); parts];
        family_of("a", None, MetricType::Histogram, vec![metric])
    };
    assert!(parse_protobuf(&delimited(&[histogram(32)]), &rules).is_ok());
    let summary = {
        let mut metric = Metric::default();
        metric.summary.get_or_insert_default().quantile = vec![Quantile::default(); 33];
        family_of("a", None, MetricType::Summary, vec![metric])
    };
    let exemplars = {
        let mut metric = Metric::default();
        let label = vec![LabelPair::default(); 33];
        let exemplar = Exemplar { label, ..Exemplar::default() };
        metric.histogram.get_or_insert_default().exemplars = vec![exemplar];
        family_of("a", None, MetricType::Histogram, vec![metric])
    };
    for family in [histogram(33), summary, exemplars] {
        let parsed = parse_protobuf(&delimited(&[family]), &rules);
        assert!(matches!(parsed, Err(ParseError::TooLarge(_))));
    }
}

fn encoded(header: FamilyHeader<'_>, metrics: &[u8], escaping: Escaping) -> MetricFamily {
    let mut out = Vec::new();
    write_delimited(&mut out, header, metrics, escaping);
    MetricFamily::decode_length_delimited(&out[..]).unwrap()
}

#[test]
fn scrapes_are_a_header_and_the_stored_bytes() {
    for family in [gauge("a", 1.0), MetricFamily { help: None, ..gauge("b", 1.0) }] {
        let metrics = encode_metrics(&family.metric);
        let header =
            FamilyHeader { name: family.name(), help: family.help(), kind: family.r#type() };
        let mut out = Vec::new();
        write_delimited_header(&mut out, header, metrics.len(), Escaping::Underscores);
        out.extend_from_slice(&metrics);
        assert_eq!(out, delimited(&[family]));
    }
}

#[test]
fn names_are_escaped() {
    let pairs = [("job", "a.b"), ("x.y", "z")];
    let mut metric = metric_of(MetricType::Counter, &pairs, 1.0);
    metric.timestamp_ms = Some(5);
    let other = metric_of(MetricType::Counter, &[("job", "j")], 1.0);
    let metrics = encode_metrics(&[metric.clone(), other.clone()]);
    let header = FamilyHeader { name: "foo.bar", help: "", kind: MetricType::Counter };
    for (escaping, name, label_name) in [
        (Escaping::AllowUtf8, "foo.bar", "x.y"),
        (Escaping::Underscores, "foo_bar", "x_y"),
        (Escaping::Dots, "foo_dot_bar", "x_dot_y"),
        (Escaping::Values, "U__foo_2e_bar", "U__x_2e_y"),
    ] {
        metric.label = labels(&[("job", "a.b"), (label_name, "z")]);
        let expected =
            family_of(name, None, MetricType::Counter, vec![metric.clone(), other.clone()]);
        assert_eq!(encoded(header, &metrics, escaping), expected);
    }
    assert!(needs_escaping("a", &metrics));
    assert!(needs_escaping("foo.bar", &[]));
    assert!(!needs_escaping("a:b", &encode_metrics(&[other])));
    let colon = metric_of(MetricType::Counter, &[("x:y", "z")], 1.0);
    assert!(needs_escaping("a", &encode_metrics(&[colon])));
}

proptest! {
    #[test]
    fn round_trip(metrics in proptest::collection::vec(arb_metric(), 0..4)) {
        let family = family_of("a", None, MetricType::Histogram, metrics);
        let body = delimited(std::slice::from_ref(&family));
        let parsed = parse_protobuf(&body, &rules()).unwrap();
        prop_assert_eq!(delimited(&parsed), body);
        // Escaping touches names only, and the same ones again have nothing left to escape.
        let metrics = encode_metrics(&family.metric);
        let escaped = escape_metrics(&metrics, Escaping::Values);
        let again = escape_metrics(&escaped, Escaping::Values);
        prop_assert_eq!(&again, &escaped);
        let mut iter = MetricsIter::new(&escaped);
        for metric in &family.metric {
            let mut expected = metric.clone();
            for label in &mut expected.label {
                label.name = Some(Escaping::Values.escape_label(label.name()).into_owned());
            }
            let read = iter.next().unwrap().decode().unwrap();
            prop_assert_eq!(read.encode_to_vec(), expected.encode_to_vec());
        }
        prop_assert!(iter.is_at_end());
    }

    #[test]
    fn never_panics(body: Vec<u8>) {
        drop(parse_protobuf(&body, &rules()));
        drop(escape_metrics(&body, Escaping::Values));
        needs_escaping("a", &body);
    }
}
