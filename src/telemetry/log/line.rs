//! One log line: logfmt or JSON, with Prometheus' keys `ts`, `level`, `caller`, `msg` in front.

use std::fmt::{self, Write as _};

use super::{LogFormat, LogLevel};
use crate::clock::UnixNanos;

/// A log line under construction. Whatever is put in, it stays one line.
pub(crate) struct Line {
    format: LogFormat,
    text: String,
}

/// A field's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// Quoted where the format asks for it.
    Text(&'a str),
    /// A number or a boolean, written as it stands.
    Bare(&'a str),
}

impl Line {
    /// Begins a line with the keys that every line has.
    pub(crate) fn new(
        format: LogFormat,
        at: UnixNanos,
        level: LogLevel,
        caller: &str,
        message: &str,
    ) -> Self {
        let mut line = Line { format, text: String::with_capacity(128) };
        line.field("ts", Value::Text(&timestamp(at)));
        line.field("level", Value::Text(level.name()));
        line.field("caller", Value::Text(caller));
        line.field("msg", Value::Text(message));
        line
    }

    /// Adds `key=value`.
    pub(crate) fn field(&mut self, key: &str, value: Value<'_>) {
        match self.format {
            LogFormat::Logfmt => {
                if !self.text.is_empty() {
                    self.text.push(' ');
                }
                self.text.extend(key.chars().filter(|c| !needs_quotes(*c)));
                self.text.push('=');
                match value {
                    Value::Text(text) if text.is_empty() || text.contains(needs_quotes) => {
                        self.quoted(text);
                    }
                    Value::Text(text) | Value::Bare(text) => self.text.push_str(text),
                }
            }
            LogFormat::Json => {
                self.text.push(if self.text.is_empty() { '{' } else { ',' });
                self.quoted(key);
                self.text.push(':');
                match value {
                    Value::Text(text) => self.quoted(text),
                    Value::Bare(text) => self.text.push_str(text),
                }
            }
        }
    }

    /// The whole line with its end.
    pub(crate) fn finish(mut self) -> String {
        if self.format == LogFormat::Json {
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }

    /// In double quotes, with the escapes of JSON: readers of logfmt understand the same ones.
    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                // Control characters, and the two separators that some readers take for line ends.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    write!(self.text, "\\u{:04x}", u32::from(c)).unwrap_or_default();
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}

fn needs_quotes(c: char) -> bool {
    matches!(c, '=' | '"') || c.is_whitespace() || c.is_control()
}

/// `2026-11-21T01:56:56.400Z`.
fn timestamp(at: UnixNanos) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(at.0)) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => at.0.to_string(),
    }
}

/// Gathers an event's fields: the message apart from the rest, which keeps its order.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) rest: Vec<(&'static str, String, bool)>,
}

impl Fields {
    fn add(&mut self, field: &tracing::field::Field, text: String, bare: bool) {
        match field.name() {
            "message" => self.message = text,
            name => self.rest.push((name.strip_prefix("r#").unwrap_or(name), text, bare)),
        }
    }
}

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"), false);
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.add(field, value.to_owned(), false);
    }

    fn record_bool(&mut self, field: &tracing::field::Field, value: bool) {
        self.add(field, value.to_string(), true);
    }

    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        self.add(field, value.to_string(), true);
    }

    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        self.add(field, value.to_string(), true);
    }

    fn record_i128(&mut self, field: &tracing::field::Field, value: i128) {
        self.add(field, value.to_string(), false);
    }

    fn record_u128(&mut self, field: &tracing::field::Field, value: u128) {
        self.add(field, value.to_string(), false);
    }

    fn record_f64(&mut self, field: &tracing::field::Field, value: f64) {
        // JSON has no words for infinities and NaN.
        self.add(field, value.to_string(), value.is_finite());
    }

    /// An error with all its causes, since what went wrong is often told only by the last one.
    fn record_error(
        &mut self,
        field: &tracing::field::Field,
        value: &(dyn std::error::Error + 'static),
    ) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(source) = cause {
            write!(text, ": {source}").unwrap_or_default();
            cause = source.source();
        }
        self.add(field, text, false);
    }
}
