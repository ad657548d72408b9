//! Parses a body in the text format 0.0.4.
//!
//! It reads line by line and byte by byte as upstream does, because clients see its refusals: the
//! same input is refused with the same text and line number. Where upstream would crash or add a
//! sample to an unrelated family (a line in braces that names no metric), the line is refused.

mod families;
mod labels;
mod lexer;
mod value;

use std::borrow::Cow;
use std::str::from_utf8;

use self::families::{Families, Labels, Sample, Target};
use self::lexer::{Fault, Lexer, Name, NameOf, Step};
use crate::exposition::float::parse_float;
use crate::exposition::goquote::quote;
use crate::exposition::name::is_metric_name;
use crate::exposition::{ParseError, ParseRules};
use crate::pb::client::{MetricFamily, MetricType};

/// Parses a body. The families are in order of first appearance; those without samples are left out.
pub fn parse_text(body: &[u8], rules: &ParseRules) -> Result<Vec<MetricFamily>, ParseError> {
    let mut parser = Parser {
        lexer: Lexer::new(body),
        rules,
        families: Families::new(rules),
        labels: Vec::new(),
        bound: None,
        last_name: Cow::Borrowed(&[]),
        current: None,
    };
    let mut line = 1;
    while parser.line().map_err(|fault| fault.in_line(line))? {
        line += 1;
    }
    Ok(parser.families.finish())
}

struct Parser<'a, 'r> {
    lexer: Lexer<'a>,
    rules: &'r ParseRules,
    families: Families<'r>,
    /// The labels of the current line, but for the bound; kept to reuse its memory.
    labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The number in the `quantile` or `le` label of the current line.
    bound: Option<f64>,
    /// The name that was resolved last: what a name means never changes, and the lines of a family
    /// usually stand together.
    last_name: Cow<'a, [u8]>,
    /// What that name means. Refusals blame this family, even for a line that has not named its own.
    current: Option<Target>,
}

impl<'a> Parser<'a, '_> {
    /// Reads one line; false at the end of the body.
    fn line(&mut self) -> Step<bool> {
        self.labels.clear();
        self.bound = None;
        self.lexer.skip_blanks();
        match self.lexer.peek_or_end() {
            None => return Ok(false),
            Some(b'\n') => self.lexer.bump(),
            Some(b'#') => {
                self.lexer.bump();
                self.comment()?;
            }
            Some(b'{') => {
                self.lexer.bump();
                let target = self.labels(None)?;
                self.value(target)?;
            }
            Some(_) => self.sample()?,
        }
        Ok(true)
    }

    /// Reads a line behind its `#`.
    fn comment(&mut self) -> Step<()> {
        self.lexer.skip_blanks();
        let keyword = self.lexer.until_whitespace()?;
        if !matches!(keyword, b"HELP" | b"TYPE") || self.lexer.peek()? == b'\n' {
            self.lexer.rest_of_line()?;
            return Ok(());
        }
        self.lexer.skip_blanks();
        let name = self.lexer.name(NameOf::Metric)?;
        match self.lexer.peek()? {
            b'\n' => {
                self.lexer.bump();
                return Ok(());
            }
            b' ' | b'\t' => {}
            _ => return Err("invalid metric name in comment".to_owned().into()),
        }
        let target = self.resolve(name)?;
        self.lexer.skip_blanks();
        if self.lexer.peek()? == b'\n' {
            self.lexer.bump();
            return Ok(());
        }
        if keyword == b"HELP" { self.help(target) } else { self.kind(target) }
    }

    fn help(&mut self, target: Target) -> Step<()> {
        if self.families.has_help(target) {
            let name = quote(self.families.name(target).as_bytes());
            return Err(format!("second HELP line for metric name {name}").into());
        }
        let help = self.lexer.help()?;
        self.families.set_help(target, &help);
        Ok(())
    }

    fn kind(&mut self, target: Target) -> Step<()> {
        if self.families.kind(target).is_some() {
            let name = quote(self.families.name(target).as_bytes());
            let text = format!("second TYPE line for metric name {name}");
            return Err((text + ", or TYPE reported after samples").into());
        }
        let word = without_backslashes(self.lexer.rest_of_line()?);
        let kind = match word.to_ascii_uppercase().as_slice() {
            b"COUNTER" => MetricType::Counter,
            b"GAUGE" => MetricType::Gauge,
            b"SUMMARY" => MetricType::Summary,
            b"UNTYPED" => MetricType::Untyped,
            b"HISTOGRAM" => MetricType::Histogram,
            b"GAUGE_HISTOGRAM" | b"GAUGEHISTOGRAM" => MetricType::GaugeHistogram,
            _ => return Err(format!("unknown metric type {}", quote(&word)).into()),
        };
        self.families.set_kind(target, kind);
        Ok(())
    }

    /// Reads a line that begins with a metric name.
    fn sample(&mut self) -> Step<()> {
        let name = self.lexer.name(NameOf::Metric)?;
        if name.bytes.is_empty() {
            return Err("invalid metric name".to_owned().into());
        }
        let target = self.resolve(name)?;
        self.families.settle_kind(target);
        self.lexer.skip_blanks();
        if self.lexer.peek()? == b'{' {
            self.lexer.bump();
            self.labels(Some(target))?;
        }
        self.value(target)
    }

    /// Finds out what a metric name means.
    fn resolve(&mut self, name: Name<'a>) -> Step<Target> {
        if let Some(target) = self.current.filter(|_| self.last_name == name.bytes) {
            return Ok(target);
        }
        if let Some(refusal) = self.rules.name_refusal("metric", name.bytes.len()) {
            return Err(refusal.into());
        }
        let valid = from_utf8(&name.bytes)
            .ok()
            .filter(|text| name.is_plain || is_metric_name(text, self.rules.utf8_names));
        let Some(text) = valid else {
            return Err(format!("invalid metric name {}", quote(&name.bytes)).into());
        };
        let target = self.families.resolve(text)?;
        self.current = Some(target);
        self.last_name = name.bytes;
        Ok(target)
    }

    /// Reads the value, and the time stamp if there is one, to the end of the line.
    fn value(&mut self, target: Target) -> Step<()> {
        self.lexer.skip_blanks();
        let token = self.lexer.until_whitespace()?;
        let Some(value) = from_utf8(token).ok().and_then(parse_float) else {
            return Err(format!("expected float as value, got {}", quote(token)).into());
        };
        let labels: &Labels<'_> = &self.labels;
        let position = self.families.add(&Sample { target, labels, bound: self.bound, value })?;
        if self.lexer.peek()? == b'\n' {
            self.lexer.bump();
            return Ok(());
        }
        self.lexer.skip_blanks();
        let token = self.lexer.until_whitespace()?;
        let Some(timestamp_ms) = from_utf8(token).ok().and_then(|text| text.parse().ok()) else {
            return Err(format!("expected integer as timestamp, got {}", quote(token)).into());
        };
        self.families.set_timestamp(position, timestamp_ms);
        let rest = without_backslashes(self.lexer.rest_of_line()?);
        if rest.is_empty() {
            return Ok(());
        }
        Err(format!("spurious string after timestamp: {}", quote(&rest)).into())
    }

    /// A refusal that names the family of this line, or of the line before if it is not known yet.
    fn blame(&self, what: &str) -> Fault {
        let name = self.current.map_or("", |target| self.families.name(target));
        format!("{what} {}", quote(name.as_bytes())).into()
    }
}

/// In places without escapes upstream drops backslashes, and clients may have come to rely on it.
fn without_backslashes(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    bytes.iter().copied().filter(|byte| *byte != b'\\').collect()
}

#[cfg(test)]
mod tests;
