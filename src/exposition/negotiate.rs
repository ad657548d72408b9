//! What a scrape is answered with: format, escaping of names, and compression.
//!
//! The headers come from anyone, so the work is bounded whatever they hold, and nothing in them is
//! an error: what is not understood is passed over, and text is the answer when nothing is left.

use crate::exposition::float::parse_float;
use crate::exposition::media::{PROTOBUF_MESSAGE, PROTOBUF_TYPE};
use crate::exposition::name::Escaping;

/// Clauses of an `Accept` header that are looked at. Clients send about five.
const CLAUSES_MAX: usize = 64;

/// How the families of a scrape are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// The text format 0.0.4.
    Text,
    /// Protobuf messages, each behind its length.
    ProtoDelimited,
    /// Protobuf text, one field per line.
    ProtoText,
    /// Protobuf text, one family per line.
    ProtoCompact,
}

/// What a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Format {
    /// How the families are encoded.
    pub encoding: Encoding,
    /// How names outside the legacy alphabet are shown.
    pub escaping: Escaping,
}

impl Format {
    /// The `Content-Type` of the answer.
    pub fn content_type(self) -> String {
        let encoding = match self.encoding {
            Encoding::Text => {
                let text = "text/plain; version=0.0.4; charset=utf-8";
                return format!("{text}; escaping={}", self.escaping.as_str());
            }
            Encoding::ProtoDelimited => "delimited",
            Encoding::ProtoText => "text",
            Encoding::ProtoCompact => "compact-text",
        };
        let escaping = self.escaping.as_str();
        format!(
            "{PROTOBUF_TYPE}; proto={PROTOBUF_MESSAGE}; encoding={encoding}; escaping={escaping}"
        )
    }
}

/// Chooses the format by the `Accept` header, of which several lines are joined with `, `.
///
/// The clauses are looked at in the order of their weights; the first that can be served decides.
/// The escaping is the last valid one named on the way there, which is how a Prometheus that would
/// rather have `OpenMetrics` still gets its names unescaped.
pub fn negotiate(accept: &str) -> Format {
    let mut escaping = Escaping::default();
    for clause in sorted_clauses(accept) {
        escaping = Escaping::from_parameter(clause.escaping).unwrap_or(escaping);
        if let Some(encoding) = clause.encoding() {
            return Format { encoding, escaping };
        }
    }
    Format { encoding: Encoding::Text, escaping }
}

/// One alternative of an `Accept` header, with the parameters that matter.
#[derive(Debug)]
struct Clause<'a> {
    media_type: &'a str,
    subtype: &'a str,
    weight: f64,
    version: &'a str,
    proto: &'a str,
    encoding: &'a str,
    escaping: &'a str,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Clause<'a>> {
        let (range, parameters) = cut(text.trim_matches(' '), ';');
        let (media_type, subtype) = cut(range, '/');
        let media_type = media_type.trim_matches(' ');
        let subtype = match (media_type, subtype) {
            ("*", "") => "*",
            (_, "") => return None,
            _ => subtype.strip_suffix('/').unwrap_or(subtype),
        };
        if subtype.contains('/') {
            return None;
        }
        let mut clause = Clause {
            media_type,
            subtype: subtype.trim_matches(' '),
            weight: 1.0,
            version: "",
            proto: "",
            encoding: "",
            escaping: "",
        };
        parameters.split(';').for_each(|parameter| clause.set(parameter));
        Some(clause)
    }

    /// Takes in a parameter. The last of several wins; one without a value, or with a further `=` in
    /// it, is passed over.
    fn set(&mut self, parameter: &'a str) {
        let (name, value) = cut(parameter, '=');
        let value = value.strip_suffix('=').unwrap_or(value);
        if value.is_empty() || value.contains('=') {
            return;
        }
        match name.trim_matches(' ') {
            // A weight that is no number puts the clause last.
            "q" => self.weight = parse_float(value).unwrap_or_default(),
            "version" => self.version = value.trim_matches(' '),
            "proto" => self.proto = value.trim_matches(' '),
            "encoding" => self.encoding = value.trim_matches(' '),
            "escaping" => self.escaping = value.trim_matches(' '),
            _ => {}
        }
    }

    /// Whether this clause is looked at before another that stands in front of it.
    fn overtakes(&self, other: &Clause<'_>) -> bool {
        self.weight > other.weight
            || self.media_type != "*" && other.media_type == "*"
            || self.subtype != "*" && other.subtype == "*"
    }

    /// The encoding that satisfies this clause.
    fn encoding(&self) -> Option<Encoding> {
        let (media_type, subtype) = PROTOBUF_TYPE.split_once('/')?;
        if (self.media_type, self.subtype, self.proto) == (media_type, subtype, PROTOBUF_MESSAGE) {
            return match self.encoding {
                "delimited" => Some(Encoding::ProtoDelimited),
                "text" => Some(Encoding::ProtoText),
                "compact-text" => Some(Encoding::ProtoCompact),
                _ => None,
            };
        }
        let is_text = (self.media_type, self.subtype) == ("text", "plain");
        (is_text && matches!(self.version, "" | "0.0.4")).then_some(Encoding::Text)
    }
}

/// The clauses in the order in which they are looked at.
///
/// That one overtakes another is no proper order (a wildcard and a light clause overtake each
/// other), so this sorts by insertion, whose result upstream's clients see, and not with a sort that
/// demands one. The cap on the clauses bounds its work.
fn sorted_clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut sorted: Vec<Clause<'_>> = Vec::new();
    for clause in accept.split(',').filter_map(Clause::parse).take(CLAUSES_MAX) {
        let behind = sorted.iter().rposition(|other| !clause.overtakes(other));
        sorted.insert(behind.map_or(0, |index| index + 1), clause);
    }
    sorted
}

/// Splits at the first separator; without one the second part is empty.
fn cut(text: &str, separator: char) -> (&str, &str) {
    text.split_once(separator).unwrap_or((text, ""))
}

/// Whether the scrape shall be compressed with gzip, by the `Accept-Encoding` header, of which
/// several lines are joined with `, `.
///
/// The higher weight wins and plain bytes win a tie, also that of a `*`. If nothing is acceptable
/// the bytes are plain all the same.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    let (mut plain, mut gzip) = (None, None);
    let mut rest = accept_encoding.trim_start_matches([' ', '\t']);
    // What cannot be read ends the reading; what was read before it counts.
    while let Some((coding, weight, after)) = read_coding(rest) {
        let best = |weights: &mut Option<f64>| {
            *weights = Some(weights.map_or(weight, |known| known.max(weight)));
        };
        match coding {
            "*" => {
                best(&mut plain);
                best(&mut gzip);
            }
            "identity" => best(&mut plain),
            "gzip" => best(&mut gzip),
            _ => {}
        }
        match after.trim_start_matches([' ', '\t']).strip_prefix(',') {
            Some(next) => rest = next.trim_start_matches([' ', '\t']),
            None => break,
        }
    }
    gzip.is_some_and(|gzip| gzip > 0.0 && plain.is_none_or(|plain| gzip > plain))
}

/// Reads `gzip` or `gzip;q=0.5`.
fn read_coding(text: &str) -> Option<(&str, f64, &str)> {
    let is_foreign =
        |character: char| !character.is_ascii_graphic() || "()<>@,;:\\\"[]?={}".contains(character);
    let end = text.find(is_foreign).unwrap_or(text.len());
    let (coding, rest) = text.split_at_checked(end).filter(|(coding, _)| !coding.is_empty())?;
    let Some(parameter) = rest.trim_start_matches([' ', '\t']).strip_prefix(';') else {
        return Some((coding, 1.0, rest));
    };
    let weight = parameter.trim_start_matches([' ', '\t']).strip_prefix("q=")?;
    let digits_end = weight
        .find(|character: char| !matches!(character, '0'..='9' | '.'))
        .unwrap_or(weight.len());
    let (number, rest) = weight.split_at_checked(digits_end)?;
    // Weights begin with 0 or 1.
    let whole = number.split('.').next()?;
    let value = matches!(whole, "0" | "1").then(|| parse_float(number)).flatten()?;
    Some((coding, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIMITED: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

    fn check(accept: &str, encoding: Encoding, escaping: Escaping) {
        assert_eq!(negotiate(accept), Format { encoding, escaping }, "{accept}");
    }

    #[test]
    fn encodings() {
        let protobuf = |encoding: &str| DELIMITED.replace("delimited", encoding);
        for (accept, encoding) in [
            (DELIMITED.to_owned(), Encoding::ProtoDelimited),
            (protobuf("text"), Encoding::ProtoText),
            (protobuf("compact-text"), Encoding::ProtoCompact),
            (protobuf("other"), Encoding::Text),
            (protobuf("\"delimited\""), Encoding::Text),
            (String::new(), Encoding::Text),
            ("*/*".to_owned(), Encoding::Text),
            ("*".to_owned(), Encoding::Text),
            ("text/*".to_owned(), Encoding::Text),
            ("text/plain;version=1.0.0".to_owned(), Encoding::Text),
            ("application/openmetrics-text;version=1.0.0".to_owned(), Encoding::Text),
            (",;=/, /,;q=x".to_owned(), Encoding::Text),
            // The weight decides, then the order.
            (format!("text/plain;q=0.5,{DELIMITED};q=0.6"), Encoding::ProtoDelimited),
            (format!("text/plain;q=0.5,{DELIMITED};q=0.5"), Encoding::Text),
            (format!("{DELIMITED};q=0.5,text/plain;q=0.5"), Encoding::ProtoDelimited),
            (format!("text/plain;version=0.0.4,{DELIMITED}"), Encoding::Text),
            (format!("text/plain;version=1.0.0,{DELIMITED};q=0.1"), Encoding::ProtoDelimited),
            (format!("text/plain;q=x,{DELIMITED};q=0.1"), Encoding::ProtoDelimited),
            (format!("text/plain;q=0,{DELIMITED};q=0.1"), Encoding::ProtoDelimited),
            (format!("*/*,{DELIMITED};q=0.1"), Encoding::ProtoDelimited),
            (format!("text/plain/x,{DELIMITED}"), Encoding::ProtoDelimited),
            (format!(" text/plain ; q=0.1 , {DELIMITED} ; q=0.2"), Encoding::ProtoDelimited),
            (DELIMITED.replace(';', " ; "), Encoding::ProtoDelimited),
            (DELIMITED.replace("vnd", "VND"), Encoding::Text),
        ] {
            check(&accept, encoding, Escaping::Underscores);
        }
    }

    #[test]
    fn escapings() {
        for (accept, escaping) in [
            ("text/plain;escaping=dots", Escaping::Dots),
            ("text/plain;escaping=values", Escaping::Values),
            ("text/plain;escaping=allow-utf-8", Escaping::AllowUtf8),
            ("text/plain;escaping=underscores", Escaping::Underscores),
            ("text/plain;escaping=other", Escaping::Underscores),
            ("text/plain;escaping=dots;escaping=values", Escaping::Values),
            // Up to and including the deciding clause, in the order of the weights.
            ("a/b;escaping=dots,text/plain", Escaping::Dots),
            ("a/b;escaping=dots,text/plain;escaping=other", Escaping::Dots),
            ("a/b;escaping=dots,text/plain;escaping=values", Escaping::Values),
            ("text/plain,a/b;escaping=dots", Escaping::Underscores),
            ("a/b;escaping=dots;q=0.4,text/plain;q=0.5", Escaping::Underscores),
            ("a/b;escaping=dots,c/d;escaping=values", Escaping::Values),
        ] {
            check(accept, Encoding::Text, escaping);
        }
        // A current Prometheus.
        let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                      application/openmetrics-text;version=0.0.1;q=0.5,\
                      text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        check(accept, Encoding::Text, Escaping::AllowUtf8);
    }

    #[test]
    fn content_types() {
        for (encoding, escaping, content_type) in [
            (
                Encoding::Text,
                Escaping::AllowUtf8,
                "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
            ),
            (
                Encoding::ProtoDelimited,
                Escaping::Underscores,
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited; escaping=underscores",
            ),
            (
                Encoding::ProtoText,
                Escaping::Dots,
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=text; escaping=dots",
            ),
            (
                Encoding::ProtoCompact,
                Escaping::Values,
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=compact-text; escaping=values",
            ),
        ] {
            assert_eq!(Format { encoding, escaping }.content_type(), content_type);
        }
    }

    #[test]
    fn many_clauses_are_cut_off() {
        let accept = "a/b,".repeat(CLAUSES_MAX) + DELIMITED;
        check(&accept, Encoding::Text, Escaping::Underscores);
        let accept = "a/b;q=0.1,".repeat(CLAUSES_MAX - 1) + DELIMITED;
        check(&accept, Encoding::ProtoDelimited, Escaping::Underscores);
    }

    #[test]
    fn gzip() {
        for accept_encoding in [
            "gzip",
            "gzip, deflate",
            " gzip",
            "deflate, gzip;q=0.5",
            "gzip;q=1.0, identity;q=0.5",
            "gzip ; q=0.5, identity;q=0.4",
            "gzip;q=0.001",
            "gzip;q=1, *;q=0",
        ] {
            assert!(accepts_gzip(accept_encoding), "{accept_encoding}");
        }
        for accept_encoding in [
            "",
            "identity",
            "identity, gzip",
            "gzip, identity",
            "*",
            "gzip, *",
            "identity;q=0",
            "gzip;q=0",
            "gzip;q=0, *;q=0",
            "GZIP",
            "zstd",
            "x-gzip",
            "gzip;q=0.5, identity;q=0.5",
            "gzip;q=2",
            "gzip;q=",
            "gzip;level=9",
            ", gzip",
            "é, gzip",
        ] {
            assert!(!accepts_gzip(accept_encoding), "{accept_encoding}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(header: String) {
            negotiate(&header);
            accepts_gzip(&header);
        }
    }
}
