use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::exposition::name::Escaping;
use crate::exposition::testing::{arb_pushable_family, family_of, label, metric_of};
use crate::exposition::text::render;
use crate::exposition::wire::encode_metrics;
use crate::limits::Limits;
use crate::pb::client::Metric;

fn rules() -> ParseRules {
    ParseRules::new(&Limits::default(), false)
}

fn utf8_rules() -> ParseRules {
    ParseRules::new(&Limits::default(), true)
}

fn parse(body: impl AsRef<[u8]>) -> Vec<MetricFamily> {
    let body = body.as_ref();
    parse_text(body, &rules()).unwrap_or_else(|error| panic!("{}: {error}", body.escape_ascii()))
}

fn refusal(body: impl AsRef<[u8]>, rules: &ParseRules) -> String {
    parse_text(body.as_ref(), rules).unwrap_err().to_string()
}

/// The text that the families render to.
fn shown(families: &[MetricFamily]) -> String {
    let mut out = Vec::new();
    for family in families {
        let (name, kind) = (family.name(), family.r#type());
        render::write_header(&mut out, name, family.help(), kind, Escaping::AllowUtf8);
        let metrics = encode_metrics(&family.metric);
        render::write_samples(&mut out, name, kind, &metrics, Escaping::AllowUtf8);
    }
    String::from_utf8(out).unwrap()
}

/// Checks what a body renders to, without the `# TYPE` lines.
fn check_samples(body: impl AsRef<[u8]>, samples: &str) {
    let text = shown(&parse(body.as_ref()));
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("# TYPE")).collect();
    assert_eq!(lines.join("\n"), samples, "{}", body.as_ref().escape_ascii());
}

fn check_refusals(rows: &[(&str, &str)], rules: &ParseRules) {
    for (body, message) in rows {
        let (line, message) = match message.split_once(": ") {
            Some((line, message)) if line.parse::<usize>().is_ok() => (line, message),
            _ => ("1", *message),
        };
        let expected = format!("text format parsing error in line {line}: {message}");
        assert_eq!(refusal(body, rules), expected, "{body:?}");
    }
}

#[test]
fn lines_blanks_and_comments() {
    for (body, samples) in [
        ("", ""),
        ("\n\n \t\n", ""),
        ("   ", ""),
        ("a 1\n", "a 1"),
        ("a 1\n  ", "a 1"),
        (" \ta \t 1\n", "a 1"),
        ("a {b=\"c\"} 1\n", "a{b=\"c\"} 1"),
        ("a\t{ b = \"c\" , } \t1\n", "a{b=\"c\"} 1"),
        ("a{b=\"c\"}1\n", "a{b=\"c\"} 1"),
        ("a{} 1\n", "a 1"),
        ("a{b=\"c\",}1\n", "a{b=\"c\"} 1"),
        ("#\n# \n# c\n#c d e\n# EOF\n# UNIT a b\n# comment\r\n# help a x\na 1\n", "a 1"),
        ("# TYPE a\n# HELP\n# TYPE \n# HELP a\n# HELP a \na 1\n", "a 1"),
        ("a 1\nb 2\na 3\n", "a 1\na 3\nb 2"),
        ("__a:b 1\n", "__a:b 1"),
        ("a{b=\"\t\0\r\"} 1\n", "a{b=\"\t\0\r\"} 1"),
        ("a{b=\"\\\\\\\"\\n\"} 1\n", "a{b=\"\\\\\\\"\\n\"} 1"),
        ("a{b=\"c\",d=\"\\\"\",e=\"\"} 1\n", "a{b=\"c\",d=\"\\\"\",e=\"\"} 1"),
        ("a{b=\"é\"} 1\n", "a{b=\"é\"} 1"),
        ("a{__x=\"y\"} 1\n", "a{__x=\"y\"} 1"),
    ] {
        check_samples(body, samples);
    }
}

#[test]
fn refused_lines() {
    check_refusals(
        &[
            ("a 1", "unexpected end of input stream"),
            ("a 1\nb 1", "2: unexpected end of input stream"),
            ("# c", "unexpected end of input stream"),
            ("#", "unexpected end of input stream"),
            ("# HELP", "unexpected end of input stream"),
            ("# HELP a", "unexpected end of input stream"),
            ("# HELP a b", "unexpected end of input stream"),
            ("# HELP a b\\", "unexpected end of input stream"),
            ("# TYPE a gauge", "unexpected end of input stream"),
            ("a", "unexpected end of input stream"),
            ("a{", "unexpected end of input stream"),
            ("a{b", "unexpected end of input stream"),
            ("a{b=", "unexpected end of input stream"),
            ("a{b=\"", "unexpected end of input stream"),
            ("a{b=\"c\\", "unexpected end of input stream"),
            ("a{b=\"c\"", "unexpected end of input stream"),
            ("a{b=\"c\"}", "unexpected end of input stream"),
            ("a 1 2", "unexpected end of input stream"),
            ("a 1 2 ", "unexpected end of input stream"),
            ("{\"a", "unexpected end of input stream"),
            ("{\"a\"", "unexpected end of input stream"),
            ("\"a\"", "unexpected end of input stream"),
            ("a 1\r\n", r#"expected float as value, got "1\r""#),
            ("\r\n", "invalid metric name"),
            ("\u{feff}a 1\n", "invalid metric name"),
            ("\n\n1a 1\n", "3: invalid metric name"),
            ("1\"a\" 1\n", "invalid metric name"),
            ("- 1\n", "invalid metric name"),
            ("a-b 1\n", r#"expected float as value, got "-b""#),
            ("a\n", r#"expected float as value, got """#),
            ("a{} \n", r#"expected float as value, got """#),
            ("a 1 \n", r#"expected integer as timestamp, got """#),
            ("a 1 1.5\n", r#"expected integer as timestamp, got "1.5""#),
            ("a 1 # {} 1\n", "expected integer as timestamp, got \"#\""),
            (
                "a 1 9223372036854775808\n",
                "expected integer as timestamp, got \"9223372036854775808\"",
            ),
            ("a 1 1 1\n", r#"spurious string after timestamp: " 1""#),
            ("a 1 1 \n", r#"spurious string after timestamp: " ""#),
            ("a 1 1\t\\x\n", r#"spurious string after timestamp: "\tx""#),
        ],
        &rules(),
    );
}

#[test]
fn refused_comments() {
    check_refusals(
        &[
            ("# TYPE a counter\r\n", r#"unknown metric type "counter\r""#),
            ("# TYPE a foo\n", r#"unknown metric type "foo""#),
            ("# TYPE a unknown\n", r#"unknown metric type "unknown""#),
            ("# TYPE a info\n", r#"unknown metric type "info""#),
            ("# TYPE a stateset\n", r#"unknown metric type "stateset""#),
            ("# TYPE a gauge \n", r#"unknown metric type "gauge ""#),
            (
                "# TYPE a gauge\n# TYPE a gauge\n",
                "2: second TYPE line for metric name \"a\", or TYPE reported after samples",
            ),
            (
                "a 1\n# TYPE a gauge\n",
                "2: second TYPE line for metric name \"a\", or TYPE reported after samples",
            ),
            ("# HELP a b\n\n# HELP a c\n", "3: second HELP line for metric name \"a\""),
            ("# HELP a x\\ty\n", r"invalid escape sequence '\t'"),
            ("# HELP a x\\é\n", "invalid escape sequence '\\Ã'"),
            ("# HELP a\u{a0} x\n", "invalid metric name in comment"),
            ("# TYPE a-b gauge\n", "invalid metric name in comment"),
            ("# TYPE 1a gauge\n", "invalid metric name in comment"),
            ("# TYPE {a} gauge\n", "invalid metric name in comment"),
            ("# TYPE \"a b\" gauge\n", "invalid metric name \"a b\""),
            ("# TYPE \"\" gauge\n", "invalid metric name \"\""),
        ],
        &rules(),
    );
}

#[test]
fn refused_labels() {
    check_refusals(
        &[
            ("a{,} 1\n", "invalid label name for metric \"a\""),
            ("a{b=\"c\",,} 1\n", "invalid label name for metric \"a\""),
            ("a{1=\"c\"} 1\n", "invalid label name for metric \"a\""),
            ("a{\"\"=\"c\"} 1\n", "invalid label name for metric \"a\""),
            ("a{b} 1\n", "expected '=' after label name, found '}'"),
            ("a{b,} 1\n", "expected '=' after label name, found ','"),
            ("a{b:c=\"d\"} 1\n", "expected '=' after label name, found ':'"),
            ("a{b\n", "expected '=' after label name, found '\\n'"),
            ("a{b'} 1\n", r"expected '=' after label name, found '\''"),
            ("a{b=c} 1\n", "expected '\"' at start of label value, found 'c'"),
            ("a{b=\n", "expected '\"' at start of label value, found '\\n'"),
            ("a{b=\"c\" d=\"e\"} 1\n", "unexpected end of label value \"c\""),
            ("a{b=\"c\"\n", "unexpected end of label value \"c\""),
            ("a{b=\"c} 1\n", "label value \"c} 1\" contains unescaped new-line"),
            ("a{b=\"\\n\n\"} 1\n", "label value \"\\n\" contains unescaped new-line"),
            ("a{b=\"x\\ty\"} 1\n", r"invalid escape sequence '\t'"),
            ("a{b=\"1\",b=\"1\"} 1\n", "duplicate label names for metric \"a\""),
            ("a{b=\"1\",c=\"1\",b} 1\n", "expected '=' after label name, found '}'"),
            ("a{__name__=\"b\"} 1\n", "label name \"__name__\" is reserved"),
            ("a{\"__name__\"=\"b\"} 1\n", "label name \"__name__\" is reserved"),
            ("a{\"x\ny\"=\"b\"} 1\n", "label name \"x\" contains unescaped new-line"),
            ("a{\"x\\ty\"=\"b\"} 1\n", r"invalid escape sequence '\t'"),
        ],
        &rules(),
    );
    assert_eq!(
        refusal(b"a{b=\"\xff\"} 1\n", &rules()),
        r#"text format parsing error in line 1: invalid label value "\xff""#
    );
}

#[test]
fn quoted_names() {
    for (body, samples) in [
        ("{\"abc\",k=\"v\"} 1\n", "abc{k=\"v\"} 1"),
        ("{k=\"v\",\"abc\"} 1\n", "abc{k=\"v\"} 1"),
        ("{ \"abc\" , } 1\n", "abc 1"),
        ("{abc} 1\n", "abc 1"),
        ("{abc}1\n", "abc 1"),
        ("\"abc\" 1\n", "abc 1"),
        ("\"abc\"{a=\"b\"} 1\n", "abc{a=\"b\"} 1"),
        ("a{\"k\"=\"v\"} 1\n", "a{k=\"v\"} 1"),
        ("\"a:b\" 1\n", "a:b 1"),
        // Odd, but upstream reads it so.
        ("a\"b\" 1\n", "ab 1"),
        ("# HELP \"a\" x\n\"a\" 1\n", "# HELP a x\na 1"),
    ] {
        check_samples(body, samples);
    }
    check_refusals(
        &[
            ("{\"foo.bar\"} 1\n", "invalid metric name \"foo.bar\""),
            ("\"foo.bar\" 1\n", "invalid metric name \"foo.bar\""),
            ("\"a\\\\b\" 1\n", "invalid metric name \"a\\\\b\""),
            ("a{\"x.y\"=\"1\"} 1\n", "invalid label name \"x.y\""),
            ("a{\"x:y\"=\"1\"} 1\n", "invalid label name \"x:y\""),
            ("{\"\"} 1\n", "invalid label name for metric \"\""),
            ("a 1\n{\"\"} 1\n", "2: invalid label name for metric \"a\""),
            ("\"\" 1\n", "invalid metric name"),
            ("{\"a\",\"b\"} 1\n", "multiple metric names for metric \"a\""),
            ("{k=\"v\"} 1\n", "invalid metric name"),
            ("a 1\n{k=\"v\"} 1\n", "2: invalid metric name"),
            ("{k=\"v\",} 1\n", "invalid metric name"),
            ("{} 1\n", "invalid metric name"),
            ("a 1\n{} 1\n", "2: invalid metric name"),
            ("{\"abc\" k=\"v\"} 1\n", "unexpected end of metric name 'k'"),
            ("{a:b} 1\n", "unexpected end of metric name ':'"),
            ("a{\"b\"} 1\n", "expected '=' after label name, found '}'"),
            ("\"a\nb\" 1\n", "metric name \"a\" contains unescaped new-line"),
            ("{\"a\nb\"} 1\n", "label name \"a\" contains unescaped new-line"),
        ],
        &rules(),
    );
}

#[test]
fn utf8_names() {
    let text = "# HELP \"foo.bar\" h\n# TYPE \"foo.bar\" gauge\n\
                {\"foo.bar\",\"x.y\"=\"z\"} 1\n{\"日\\\\\\\"\\n本\"} 2\n";
    let families = parse_text(text.as_bytes(), &utf8_rules()).unwrap();
    assert_eq!(
        families,
        [
            family_of(
                "foo.bar",
                Some("h"),
                MetricType::Gauge,
                vec![metric_of(MetricType::Gauge, &[("x.y", "z")], 1.0)],
            ),
            family_of(
                "日\\\"\n本",
                None,
                MetricType::Untyped,
                vec![metric_of(MetricType::Untyped, &[], 2.0)],
            ),
        ]
    );
    // Names without quotes keep the legacy alphabet.
    check_refusals(&[("foo.bar 1\n", r#"expected float as value, got ".bar""#)], &utf8_rules());
    for (body, message) in [
        (&b"\"\xff\" 1\n"[..], r#"invalid metric name "\xff""#),
        (b"a{\"\xff\"=\"b\"} 1\n", r#"invalid label name "\xff""#),
    ] {
        let expected = format!("text format parsing error in line 1: {message}");
        assert_eq!(refusal(body, &utf8_rules()), expected);
    }
}

#[test]
fn help_and_kinds() {
    let help = |body: &[u8]| parse(body).first().and_then(|family| family.help.clone());
    for (body, expected) in [
        (&b"# HELP a x y \na 1\n"[..], Some("x y ")),
        (b"a 1\n#HELP a late\n", Some("late")),
        (b"# HELP a  \\\\ \\n \\\"\na 1\n", Some("\\ \n \"")),
        (b"# HELP a foo\r\na 1\n", Some("foo\r")),
        (b"# HELP a \xff!\na 1\n", Some("\u{fffd}!")),
        (b"# HELP a\na 1\n", None),
        (b"# HELP a   \na 1\n", None),
    ] {
        assert_eq!(help(body).as_deref(), expected, "{}", body.escape_ascii());
    }
    for (word, kind) in [
        ("counter", MetricType::Counter),
        ("Gauge", MetricType::Gauge),
        ("SUMMARY", MetricType::Summary),
        ("untyped", MetricType::Untyped),
        ("hisTOgram", MetricType::Histogram),
        ("gauge_histogram", MetricType::GaugeHistogram),
        ("gaugehistogram", MetricType::GaugeHistogram),
        ("cou\\nter", MetricType::Counter),
    ] {
        let families = parse(format!("#TYPE a {word}\na 1\n"));
        assert_eq!(families[0].r#type(), kind, "{word}");
        // A family without samples is none.
        assert_eq!(parse(format!("# TYPE a {word}\n")), []);
    }
    assert_eq!(parse("a 1\n")[0].r#type, Some(MetricType::Untyped.into()));
}

#[test]
fn values_and_time_stamps() {
    let value = |token: &str| parse(format!("a {token}\n"))[0].metric[0].untyped.unwrap().value();
    for (token, expected) in [
        ("+1", 1.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("1E3", 1000.0),
        ("Inf", f64::INFINITY),
        ("+Inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("INFINITY", f64::INFINITY),
        ("1e-400", 0.0),
    ] {
        assert_eq!(value(token).to_bits(), expected.to_bits(), "{token}");
    }
    assert!(value("NaN").is_nan() && value("nan").is_nan());
    assert!(value("-0").is_sign_negative());
    for token in ["-NaN", "+NaN", "0x1", "0x1p3", "1_000", "0b1", "1e400", "1,0", "é"] {
        let expected = format!("expected float as value, got \"{token}\"");
        check_refusals(&[(&format!("a {token}\n"), &expected)], &rules());
    }
    for (token, timestamp_ms) in [("5", 5), ("+5", 5), ("-5", -5), ("0", 0)] {
        let families = parse(format!("a 1 {token}\n"));
        assert_eq!(families[0].metric[0].timestamp_ms, Some(timestamp_ms));
    }
}

#[test]
fn summaries() {
    for (lines, samples) in [
        (
            "s{quantile=\"0.9\",k=\"v\"} 3\ns{k=\"v\",quantile=\"0.5\"} 1\ns_sum{k=\"v\"} 9\n\
             s_count{k=\"v\"} 4\n",
            "s{k=\"v\",quantile=\"0.9\"} 3\ns{k=\"v\",quantile=\"0.5\"} 1\ns_sum{k=\"v\"} 9\n\
             s_count{k=\"v\"} 4",
        ),
        // Labels in any order; the last sum wins; quantiles are kept as they come.
        (
            "s{a=\"1\",b=\"2\",quantile=\"1\"} 1\nb 1\ns_sum{b=\"2\",a=\"1\"} 2\n\
             s{b=\"2\",quantile=\"1\",a=\"1\"} 1\ns_sum{a=\"1\",b=\"2\"} 3\n",
            "s{a=\"1\",b=\"2\",quantile=\"1\"} 1\ns{a=\"1\",b=\"2\",quantile=\"1\"} 1\n\
             s_sum{a=\"1\",b=\"2\"} 3\ns_count{a=\"1\",b=\"2\"} 0\nb 1",
        ),
        ("s_sum{quantile=\"1\"} 2\ns_count{quantile=\"1\"} 3\n", "s_sum 2\ns_count 3"),
        ("s 4\n", "s_sum 0\ns_count 0"),
        ("s{quantile=\"NaN\"} 4\n", "s_sum 0\ns_count 0"),
        ("s{quantile=\"1\",quantile=\"2\"} 4\n", "s{quantile=\"2\"} 4\ns_sum 0\ns_count 0"),
        ("s_bucket{le=\"1\"} 4\ns_sum 1\n", "s_sum 1\ns_count 0\ns_bucket{le=\"1\"} 4"),
        ("s_count 4.7\n", "s_sum 0\ns_count 4"),
        ("s_count -4\n", "s_sum 0\ns_count 1.8446744073709552e+19"),
        ("s_count NaN\n", "s_sum 0\ns_count 0"),
        ("s_count +Inf\n", "s_sum 0\ns_count 1.8446744073709552e+19"),
        ("s_count -1e30\n", "s_sum 0\ns_count 9.223372036854776e+18"),
        ("{\"s\",quantile=\"1\"} 4\n", "s{quantile=\"1\"} 4\ns_sum 0\ns_count 0"),
        ("{quantile=\"1\",s} 4\n", "s{quantile=\"1\"} 4\ns_sum 0\ns_count 0"),
        (
            "s_count{a=\"\"} 1\ns_count 2\n",
            "s_sum{a=\"\"} 0\ns_count{a=\"\"} 1\ns_sum 0\ns_count 2",
        ),
    ] {
        check_samples(format!("# TYPE s summary\n{lines}"), samples);
    }
    for (line, message) in [
        ("s{quantile=\"x\"} 1", "expected float as value for 'quantile' label, got \"x\""),
        ("s_sum{quantile=\"\"} 1", "expected float as value for 'quantile' label, got \"\""),
        ("{quantile=\"x\",s} 1", "expected float as value for 'quantile' label, got \"x\""),
    ] {
        let message = format!("2: {message}");
        check_refusals(&[(&format!("# TYPE s summary\n{line}\n"), &message)], &rules());
    }
}

#[test]
fn suffixes_belong_to_a_family_only_if_its_type_came_first() {
    for (body, samples) in [
        ("s_sum 1\n# TYPE s summary\ns_sum 2\ns_count 1\n", "s_sum 1\ns_sum 2\ns_sum 0\ns_count 1"),
        ("# HELP s_sum x\n# TYPE s summary\ns_sum 2\n", "# HELP s_sum x\ns_sum 2"),
        ("# TYPE s gauge\ns_sum 2\n", "s_sum 2"),
        ("# TYPE s summary\n# HELP s_count x\ns_count 2\n", "# HELP s x\ns_sum 0\ns_count 2"),
        ("_sum 1\n_count 2\n", "_sum 1\n_count 2"),
    ] {
        check_samples(body, samples);
    }
}

#[test]
fn histograms() {
    for kind in ["histogram", "gaugehistogram"] {
        for (lines, samples) in [
            (
                "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
                "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2",
            ),
            (
                "h_bucket{k=\"b\",le=\"1\"} 1\nh_bucket{k=\"a\",le=\"1\"} 2\nh_sum{k=\"b\",le=\"9\"} 3\n",
                "h_bucket{k=\"b\",le=\"1\"} 1\nh_bucket{k=\"b\",le=\"+Inf\"} 0\nh_sum{k=\"b\"} 3\n\
                 h_count{k=\"b\"} 0\nh_bucket{k=\"a\",le=\"1\"} 2\nh_bucket{k=\"a\",le=\"+Inf\"} 0\n\
                 h_sum{k=\"a\"} 0\nh_count{k=\"a\"} 0",
            ),
            ("h 5\n", "h_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0"),
            (
                "h{le=\"1\"} 5\n",
                "h_bucket{le=\"1\"} 5\nh_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0",
            ),
            ("h_bucket{le=\"NaN\"} 5\n", "h_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0"),
            // One fraction makes all counts of the metric floats.
            (
                "h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1.5\nh_count 2\n",
                "h_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1.5\nh_bucket{le=\"+Inf\"} 2\nh_sum 0\nh_count 2",
            ),
            ("h_count -0\n", "h_bucket{le=\"+Inf\"} 0\nh_sum 0\nh_count 0"),
            ("h_count 1e30\n", "h_bucket{le=\"+Inf\"} 1e+30\nh_sum 0\nh_count 1e+30"),
        ] {
            check_samples(format!("# TYPE h {kind}\n{lines}"), samples);
        }
        for (line, message) in [
            ("h_bucket{le=\"1\"} -1", "negative bucket population for histogram \"h\""),
            ("h_bucket{le=\"1\"} -0.5 x", "negative bucket population for histogram \"h\""),
            ("h_count -Inf", "negative count for histogram \"h\""),
            ("h_bucket{le=\"x\"} 1", "expected float as value for 'le' label, got \"x\""),
        ] {
            let message = format!("2: {message}");
            check_refusals(&[(&format!("# TYPE h {kind}\n{line}\n"), &message)], &rules());
        }
    }
}

#[test]
fn float_histograms_hold_floats_only() {
    let families =
        parse("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1.5\nh_count{a=\"b\"} 1\n");
    let histograms: Vec<_> =
        families[0].metric.iter().filter_map(|metric| metric.histogram.as_ref()).collect();
    assert_eq!(histograms[0].sample_count, None);
    assert_eq!(histograms[0].sample_count_float, Some(1.5));
    assert_eq!(histograms[0].bucket[0].cumulative_count, None);
    assert_eq!(histograms[0].bucket[0].cumulative_count_float, Some(1.0));
    assert_eq!(histograms[1].sample_count, Some(1));
    assert_eq!(histograms[1].sample_count_float, None);
}

#[test]
fn limits() {
    let rules = ParseRules {
        utf8_names: true,
        series_max: 3,
        labels_max: 2,
        name_bytes_max: 8,
        value_bytes_max: 4,
    };
    let accepted = "a 1\nb 1\n# TYPE s summary\ns_count 1\ns_sum 1\n";
    assert_eq!(parse_text(accepted.as_bytes(), &rules).unwrap().len(), 3);
    check_refusals(
        &[
            ("123456789 1\n", "invalid metric name"),
            ("abcdefghi 1\n", "metric name of 9 bytes, 8 are allowed (--limits.name-bytes)"),
            ("a{abcdefghi=\"\"} 1\n", "label name of 9 bytes, 8 are allowed (--limits.name-bytes)"),
            (
                "a{b=\"12345\"} 1\n",
                "value of label \"b\" of 5 bytes, 4 are allowed (--limits.label-value-bytes)",
            ),
            (
                "a{a=\"\",b=\"\",c=\"\"} 1\n",
                "more than 2 labels on one metric (--limits.labels-per-series)",
            ),
        ],
        &rules,
    );
    assert_eq!(
        parse_text(b"a 1\na 2\na 3\na 4\n", &rules),
        Err(ParseError::TooLarge(
            "more than 3 series in one push (--limits.series-per-push)".to_owned()
        ))
    );
    assert_eq!(
        parse_text(b"# HELP a x\n# HELP b x\n# HELP c x\n# HELP d x\n", &rules),
        Err(ParseError::TooLarge(
            "more than 3 series in one push (--limits.series-per-push)".to_owned()
        ))
    );
    let buckets = "# TYPE h histogram\n".to_owned() + &"h_bucket{le=\"1\"} 1\n".repeat(49);
    assert_eq!(
        parse_text(buckets.as_bytes(), &rules),
        Err(ParseError::TooLarge(
            "more than 48 buckets and quantiles in one push (16 times --limits.series-per-push)"
                .to_owned()
        ))
    );
}

#[test]
fn many_families_and_metrics_are_told_apart() {
    let mut body = String::new();
    for round in 0..2 {
        for index in 0..500 {
            if round == 0 {
                writeln!(body, "# TYPE h{index} histogram").unwrap();
            }
            writeln!(body, "h{index}_count{{n=\"{round}\"}} {index}").unwrap();
            writeln!(body, "h0_bucket{{le=\"1\",a=\"{index}\",b=\"x\"}} {index}").unwrap();
        }
    }
    let families = parse(&body);
    assert_eq!(families.len(), 500);
    assert_eq!(families[0].metric.len(), 502);
    assert!(families[1..].iter().all(|family| family.metric.len() == 2));
    let buckets =
        |metric: &Metric| metric.histogram.as_ref().map_or(0, |histogram| histogram.bucket.len());
    assert_eq!(families[0].metric.iter().map(buckets).sum::<usize>(), 1000);
    assert_eq!(families[0].metric[1].label, [label("a", "0"), label("b", "x")]);
}

proptest! {
    #[test]
    fn what_is_rendered_parses_to_the_same(
        families in proptest::collection::btree_map(
            "[a-z]{1,3}|[.é\"\\\\]{1,3}", arb_pushable_family(), 0..5,
        ),
    ) {
        let families: Vec<_> = families
            .into_iter()
            .map(|(name, family)| MetricFamily { name: Some(name), ..family })
            .collect();
        let text = shown(&families);
        let parsed = parse_text(text.as_bytes(), &utf8_rules()).unwrap();
        // Through text, because a NaN is not equal to itself.
        prop_assert_eq!(format!("{parsed:?}"), format!("{families:?}"));
    }

    #[test]
    fn never_panics(body: Vec<u8>) {
        drop(parse_text(&body, &utf8_rules()));
    }

    #[test]
    fn never_panics_on_nearly_text(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("a"), Just("a_sum"), Just("a_bucket"), Just("{"), Just("}"), Just("="),
                Just("\""), Just("\\"), Just(","), Just("\n"), Just(" "), Just("1"), Just("-2.5"),
                Just("# TYPE "), Just("# HELP "), Just("histogram"), Just("summary"), Just("le"),
                Just("quantile"), Just("\t"), Just("é"), Just("le=\"1\""), Just("{le=\"1\"} 1\n"),
            ],
            0..40,
        ),
    ) {
        let body = pieces.concat();
        let parsed = parse_text(body.as_bytes(), &utf8_rules());
        if let Ok(families) = parsed {
            // What is accepted survives another round.
            let again = parse_text(shown(&families).as_bytes(), &utf8_rules());
            prop_assert!(again.is_ok() || families.iter().any(|f| f.metric.iter().any(has_bound)));
        }
    }
}

/// Whether a label of the metric clashes with what its lines add.
fn has_bound(metric: &Metric) -> bool {
    metric.label.iter().any(|label| matches!(label.name(), "le" | "quantile"))
}
