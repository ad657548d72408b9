//! Answers in normal form: what must be equal, with what may differ taken out.
//!
//! Taken out are: the gateways' own metrics; points in time (each becomes `T1`, `T2`, ... in order of
//! appearance within a case, so that "unchanged" and "later" stay visible); the width of the blanks
//! in dumps of metrics and the order of lists of errors, both of which the original chooses at
//! random; the order of groups in the API; headers that no client looks at.

use std::io;

use super::http::Response;
use super::json::Json;
use super::{body, proto};

/// The headers that are compared.
const HEADERS: &[&str] = &[
    "Location",
    "Allow",
    "Content-Type",
    "X-Content-Type-Options",
    "Content-Encoding",
    "Cache-Control",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
];

/// The flags of the original that its status page and API list; others are left out.
const FLAGS: &[&str] = &[
    "log.format",
    "log.level",
    "persistence.file",
    "persistence.interval",
    "push.disable-consistency-check",
    "push.enable-utf8-names",
    "web.config.file",
    "web.enable-admin-api",
    "web.enable-lifecycle",
    "web.external-url",
    "web.listen-address",
    "web.route-prefix",
    "web.systemd-socket",
    "web.telemetry-path",
];

/// The answer of a server that closes the connection without one.
pub(crate) const CLOSED: &str = "closed\n";

/// Turns the answers of one server to one case into normal form.
#[derive(Default, Clone)]
pub(crate) struct Normal {
    times: Vec<String>,
    stamps: Vec<String>,
}

impl Normal {
    /// An answer as it is written after `<<<`.
    pub(crate) fn answer(&mut self, answer: &io::Result<Response>) -> String {
        let response = match answer {
            Ok(response) => response,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return "silence\n".to_owned();
            }
            Err(_) => return CLOSED.to_owned(),
        };
        let mut out = format!("{}\n", response.status);
        for name in HEADERS {
            if let Some(value) = response.header(name) {
                out.push_str(&format!("{name}: {value}\n"));
            }
        }
        if let (Some(length), true) = (response.header("Content-Length"), response.body.is_empty())
        {
            out.push_str(&format!("Content-Length: {length}\n"));
        }
        out.push_str(&body::lines(&self.body(response)));
        out
    }

    fn body(&mut self, response: &Response) -> Vec<u8> {
        let plain = match response.header("Content-Encoding") {
            Some("gzip") => gunzip(&response.body),
            _ => response.body.clone(),
        };
        let media = response.header("Content-Type").unwrap_or_default();
        let text = String::from_utf8_lossy(&plain);
        if response.status != 200 {
            self.refusal(&plain)
        } else if media.starts_with("text/html") {
            b"(page)".to_vec()
        } else if media.starts_with("application/json") {
            Json::parse(&text).map_or_else(|| plain.clone(), |json| self.json(json).into_bytes())
        } else if media.contains("encoding=delimited") {
            proto::families(&plain).map_or(plain, |families| self.protobuf(families).into_bytes())
        } else if media.contains("google.protobuf") {
            self.prototext(&text).into_bytes()
        } else if media.contains("version=0.0.4") {
            self.text(&text).into_bytes()
        } else {
            plain
        }
    }

    /// A point in time by its number; other values as they are.
    fn time(&mut self, value: &str) -> String {
        match value.trim_matches('"').parse::<f64>() {
            Ok(seconds) if (1.5e9..4e9).contains(&seconds) => {
                format!("T{}", number(&mut self.times, &seconds.to_string()))
            }
            _ => value.to_owned(),
        }
    }

    /// The text format: line by line, own families without the gateway's own samples.
    fn text(&mut self, text: &str) -> String {
        let (mut out, mut header, mut own) = (String::new(), String::new(), false);
        for line in text.split_terminator('\n') {
            if let Some(comment) = line.strip_prefix("# ") {
                // A quoted name may contain blanks; then its first word will do.
                let name = comment.split(' ').nth(1).unwrap_or_default();
                if header.split(' ').nth(2) != Some(name) {
                    header.clear();
                }
                own = is_own(name);
                header.push_str(line);
                header.push('\n');
                if !own && comment.starts_with("TYPE") {
                    out.push_str(&std::mem::take(&mut header));
                }
            } else if !own || line.contains("job=\"") {
                out.push_str(&std::mem::take(&mut header));
                match line.rsplit_once(' ') {
                    Some((series, value)) if line.starts_with("push_") => {
                        out.push_str(&format!("{series} {}", self.time(value)));
                    }
                    _ => out.push_str(line),
                }
                out.push('\n');
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            out.push_str("(the last line has no end)\n");
        }
        out
    }

    fn protobuf(&mut self, families: Vec<Vec<String>>) -> String {
        let mut out = String::new();
        for mut family in families {
            let header = family.remove(0);
            if header.split('"').nth(1).is_some_and(is_own) {
                family.retain(|metric| metric.contains("name:\"job\""));
                if family.is_empty() {
                    continue;
                }
            }
            out.push_str(&header);
            out.push('\n');
            for metric in family {
                out.push_str(&format!("  {}\n", self.times_after(&metric, "value:", "}")));
            }
        }
        out
    }

    /// The two human-readable protobuf encodings, with single blanks.
    fn prototext(&mut self, text: &str) -> String {
        let (mut out, mut own) = (String::new(), false);
        for line in text.lines() {
            // Only the name of a family stands at the very beginning of a line.
            if let Some(name) = line.strip_prefix("name:") {
                own = is_own(name.trim_start().trim_start_matches('"'));
            }
            if !own {
                let line = single_blanks(line);
                out.push_str(&self.times_after(&line, "value:", "} \n"));
                out.push('\n');
            }
        }
        out
    }

    /// Numbers the points in time that follow `mark` and end at one of `ends`.
    fn times_after(&mut self, text: &str, mark: &str, ends: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(mark) {
            let (before, after) = rest.split_at(at + mark.len());
            let value = after.trim_start();
            let blanks = after.len() - value.len();
            let end = value.find(|c| ends.contains(c)).unwrap_or(value.len());
            out.push_str(before);
            out.push_str(&after[..blanks]);
            out.push_str(&self.time(&value[..end]));
            rest = &value[end..];
        }
        out + rest
    }

    fn json(&mut self, mut json: Json) -> String {
        let data = json.get_mut("data");
        if let Some(Json::List(groups)) = data {
            groups.sort_by_key(|group| group.get("labels").cloned());
        } else if let Some(Json::Object(flags)) = data.and_then(|data| data.get_mut("flags")) {
            flags.retain(|(name, _)| FLAGS.contains(&name.as_str()));
        }
        json.visit(&mut |key, item| match (key, &mut *item) {
            ("time_stamp" | "start_time", Json::Raw(stamp)) if is_rfc3339(stamp) => {
                *stamp = format!("\"S{}\"", number(&mut self.stamps, stamp));
            }
            ("web.listen-address", Json::Raw(raw)) => "\"ADDRESS\"".clone_into(raw),
            ("build_information", Json::Object(fields)) => {
                for (_, value) in fields {
                    *value = Json::Raw("\"...\"".to_owned());
                }
            }
            ("value", Json::Raw(value)) => {
                let time = self.time(value);
                if time.starts_with('T') {
                    *value = format!("\"{time}\"");
                }
            }
            _ => {}
        });
        json.pretty(0) + "\n"
    }

    /// A refusal: blanks in dumps made single, lists of errors sorted.
    fn refusal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
        if !text.contains("collected") && !text.contains("proto:") {
            return bytes.to_vec();
        }
        let text = self.times_after(&single_blanks(text), "value:", "} \n");
        match text.split_once("occurred:\n") {
            Some((head, list)) => {
                let mut items: Vec<&str> = list.lines().collect();
                items.sort_unstable();
                format!("{head}occurred:\n{}\n", items.join("\n")).into_bytes()
            }
            None => text.into_bytes(),
        }
    }
}

/// Whether a family is one that a gateway exposes about itself.
fn is_own(name: &str) -> bool {
    ["go_", "process_", "pushgateway_", "quorumgate_"].iter().any(|own| name.starts_with(own))
}

/// Each run of blanks, also unbreakable ones, as one blank; none at either end of a line.
fn single_blanks(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let words: Vec<&str> =
            line.split([' ', '\u{a0}']).filter(|word| !word.is_empty()).collect();
        words.join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_rfc3339(raw: &str) -> bool {
    let digits = raw.trim_matches('"').as_bytes();
    digits.len() > 19 && digits[4] == b'-' && digits[10] == b'T' && digits[19] != b'\\'
}

/// The number of a thing in order of first appearance.
fn number(seen: &mut Vec<String>, thing: &str) -> usize {
    let at = seen.iter().position(|s| s == thing).unwrap_or_else(|| {
        seen.push(thing.to_owned());
        seen.len() - 1
    });
    at + 1
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
    match io::Read::read_to_end(&mut decoder, &mut plain) {
        Ok(_) => plain,
        Err(e) => format!("(bad gzip: {e})").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(media: &str, body: &str) -> Response {
        let headers = vec![
            ("Content-Type".to_owned(), media.to_owned()),
            ("Date".to_owned(), "now".to_owned()),
        ];
        Response { status: 200, headers, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn own_metrics_go_and_times_are_numbered() {
        let scrape = "# HELP go_threads x\n# TYPE go_threads gauge\ngo_threads 3\n\
                      # TYPE m gauge\nm{job=\"j\"} 1.7e+09\n\
                      # HELP push_time_seconds x\n# TYPE push_time_seconds gauge\n\
                      push_time_seconds{job=\"a\"} 1.7e+09\npush_time_seconds{job=\"b\"} 0\n\
                      push_time_seconds{job=\"c\"} 1.70000000001e+09\n";
        let mut normal = Normal::default();
        let answer = normal.answer(&Ok(response("text/plain; version=0.0.4", scrape)));
        assert_eq!(
            answer,
            "200\nContent-Type: text/plain; version=0.0.4\n\
             | # TYPE m gauge\n| m{job=\"j\"} 1.7e+09\n\
             | # HELP push_time_seconds x\n| # TYPE push_time_seconds gauge\n\
             | push_time_seconds{job=\"a\"} T1\n| push_time_seconds{job=\"b\"} 0\n\
             | push_time_seconds{job=\"c\"} T2\n"
        );
        let again = normal.answer(&Ok(response("text/plain; version=0.0.4", scrape)));
        assert_eq!(again, answer);
    }

    #[test]
    fn pushed_samples_of_own_families_stay() {
        let scrape = "# TYPE go_threads gauge\ngo_threads 3\ngo_threads{job=\"j\"} 5\n";
        let answer = Normal::default().answer(&Ok(response("text/plain; version=0.0.4", scrape)));
        assert!(
            answer.ends_with("| # TYPE go_threads gauge\n| go_threads{job=\"j\"} 5\n"),
            "{answer}"
        );
    }

    #[test]
    fn groups_of_the_api_are_sorted_and_the_rest_is_exact() {
        let json = r#"{"data":[{"labels":{"job":"b"}},{"labels":{"job":"a"},"m":{"time_stamp":"2026-11-21T01:57:52.6Z"}}]}"#;
        let answer = Normal::default().answer(&Ok(response("application/json", json)));
        let flat: String =
            answer.lines().skip(2).map(|l| l.trim_start_matches("| ").trim()).collect();
        assert_eq!(
            flat,
            r#"{"data":[{"labels":{"job":"a"},"m":{"time_stamp":"S1"}},{"labels":{"job":"b"}}]}"#
        );
    }

    #[test]
    fn a_planted_difference_is_seen() {
        let one = "# TYPE m gauge\nm{job=\"j\"} 1\n";
        let normal =
            |body: &str| Normal::default().answer(&Ok(response("text/plain; version=0.0.4", body)));
        for planted in [
            "# TYPE m counter\nm{job=\"j\"} 1\n",
            "# TYPE m gauge\nm{job=\"j\"} 1.0\n",
            "# TYPE m gauge\nm{job=\"j\",x=\"\"} 1\n",
            "# TYPE m gauge\nm{job=\"j\"} 1",
            "",
        ] {
            assert_ne!(normal(one), normal(planted), "{planted}");
        }
    }
}
