//! Which format a pushed body has.

use std::borrow::Cow;

/// The media type of protobuf bodies and scrapes.
pub(crate) const PROTOBUF_TYPE: &str = "application/vnd.google.protobuf";
/// The message that they carry.
pub(crate) const PROTOBUF_MESSAGE: &str = "io.prometheus.client.MetricFamily";

/// The format of a pushed body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// The text format 0.0.4.
    Text,
    /// Metric families as protobuf messages, each behind its length.
    Protobuf,
}

/// Tells the format from a `Content-Type`. Whatever is not clearly protobuf is text: many clients
/// send text under an unrelated type, or none.
pub fn body_format(content_type: Option<&str>) -> BodyFormat {
    let is_protobuf = content_type.and_then(parameters_of_protobuf).is_some_and(|parameters| {
        parameters.encoding.as_deref() == Some("delimited")
            && parameters.proto.as_deref() == Some(PROTOBUF_MESSAGE)
    });
    if is_protobuf { BodyFormat::Protobuf } else { BodyFormat::Text }
}

/// The parameters that matter.
#[derive(Default)]
struct Parameters<'a> {
    encoding: Option<Cow<'a, str>>,
    proto: Option<Cow<'a, str>>,
}

/// Reads a media type; `None` if it is not that of protobuf or is malformed anywhere.
fn parameters_of_protobuf(content_type: &str) -> Option<Parameters<'_>> {
    let type_end = content_type.find(';').unwrap_or(content_type.len());
    let (media_type, mut rest) = content_type.split_at_checked(type_end)?;
    if !media_type.trim().eq_ignore_ascii_case(PROTOBUF_TYPE) {
        return None;
    }
    let mut parameters = Parameters::default();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.trim_end() == ";" {
            return Some(parameters);
        }
        let (name, after_name) = split_token(rest.strip_prefix(';')?.trim_start());
        let (value, after) = split_value(after_name.trim_start().strip_prefix('=')?.trim_start())?;
        if name.is_empty() {
            return None;
        }
        let known = match name.to_ascii_lowercase().as_str() {
            "encoding" => parameters.encoding.replace(value.clone()),
            "proto" => parameters.proto.replace(value.clone()),
            _ => None,
        };
        if known.is_some_and(|known| known != value) {
            return None;
        }
        rest = after;
    }
}

fn is_special(character: char) -> bool {
    matches!(
        character,
        '(' | ')' | '<' | '>' | '@' | ',' | ';' | ':' | '\\' | '"' | '/' | '[' | ']' | '?' | '='
    )
}

/// Splits off a token, which may be empty.
fn split_token(text: &str) -> (&str, &str) {
    let is_foreign = |character: char| !character.is_ascii_graphic() || is_special(character);
    let end = text.find(is_foreign).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Splits off a token or a quoted string.
fn split_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = split_token(text);
        return (!token.is_empty()).then_some((Cow::Borrowed(token), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), characters.as_str())),
            '\r' | '\n' => return None,
            '\\' => {
                // A backslash in front of anything else is just that.
                let next = characters.clone().next().filter(|next| is_special(*next));
                value.push(next.unwrap_or('\\'));
                if next.is_some() {
                    characters.next();
                }
            }
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let full = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        for content_type in [
            full,
            "application/vnd.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily",
            "Application/VND.google.Protobuf; ENCODING=delimited; Proto=io.prometheus.client.MetricFamily",
            " application/vnd.google.protobuf ;encoding = \"delimited\" ; x=y; proto=\"io.prometheus.client.MetricFamily\";",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; x=\"\\\"\\y\"",
        ] {
            assert_eq!(body_format(Some(content_type)), BodyFormat::Protobuf, "{content_type}");
        }
        assert_eq!(body_format(None), BodyFormat::Text);
        for content_type in [
            "",
            ";",
            "text/plain; version=0.0.4",
            "application/json",
            "application/x-www-form-urlencoded",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/vnd.google.protobuf",
            "application/vnd.google.protobuf; encoding=delimited",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=Delimited",
            "application/vnd.google.protobuf; proto=x; encoding=delimited",
        ] {
            assert_eq!(body_format(Some(content_type)), BodyFormat::Text, "{content_type}");
        }
        for broken in
            ["; x", "; x=", "; =y", "; x=\"y", " x=y", "; x=a b", "; encoding=text", "; é=y"]
        {
            let content_type = format!("{full}{broken}");
            assert_eq!(body_format(Some(&content_type)), BodyFormat::Text, "{content_type}");
        }
        assert_eq!(body_format(Some(&format!("{full}; encoding=delimited"))), BodyFormat::Protobuf);
    }
}
