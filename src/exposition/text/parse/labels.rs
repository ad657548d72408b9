//! The braces of a sample line: labels, and in the quoted syntax the metric name among them.

use std::borrow::Cow;
use std::str::from_utf8;

use super::Parser;
use super::families::Target;
use super::lexer::{Name, NameOf, Step};
use crate::exposition::float::parse_float;
use crate::exposition::goquote::{quote, quote_byte};
use crate::exposition::name::is_label_name;
use crate::pb::client::MetricType;

/// The label name that stands for the metric name.
const METRIC_NAME_LABEL: &str = "__name__";

impl<'a> Parser<'a, '_> {
    /// Reads labels behind the opening brace, up to and with the closing one. Without a target the
    /// braces must name the metric, too.
    pub(super) fn labels(&mut self, named_before: Option<Target>) -> Step<Target> {
        let mut target = named_before;
        loop {
            self.lexer.skip_blanks();
            if self.lexer.peek()? == b'}' {
                break;
            }
            let name = self.lexer.name(NameOf::Label)?;
            if name.bytes.is_empty() {
                return Err(self.blame("invalid label name for metric"));
            }
            self.lexer.skip_blanks();
            if self.lexer.peek()? == b'=' {
                self.lexer.bump();
                self.label(name, target)?;
            } else {
                target = Some(self.name_in_braces(name, named_before.is_some(), target)?);
            }
            // What is not a comma here is the closing brace.
            if self.lexer.peek()? == b',' {
                self.lexer.bump();
            }
        }
        self.lexer.bump();
        let target = target.ok_or_else(|| "invalid metric name".to_owned())?;
        if named_before.is_none() {
            self.find_bound(target)?;
        }
        Ok(target)
    }

    /// Makes a name without a value in braces the metric name, where that is allowed.
    fn name_in_braces(
        &mut self,
        name: Name<'a>,
        is_named_before: bool,
        named_here: Option<Target>,
    ) -> Step<Target> {
        let next = self.lexer.peek()?;
        if is_named_before {
            let found = quote_byte(next);
            return Err(format!("expected '=' after label name, found {found}").into());
        }
        if named_here.is_some() {
            return Err(self.blame("multiple metric names for metric"));
        }
        if !matches!(next, b',' | b'}') {
            return Err(format!("unexpected end of metric name {}", quote_byte(next)).into());
        }
        let target = self.resolve(name)?;
        self.families.settle_kind(target);
        Ok(target)
    }

    /// Reads a label behind its `=`, and onto the comma or brace that follows.
    fn label(&mut self, name: Name<'a>, target: Option<Target>) -> Step<()> {
        let name = self.label_name(name)?;
        let is_bound = target.is_some_and(|target| self.bound_label(target) == Some(&*name));
        if !is_bound && self.labels.iter().any(|(other, _)| *other == name) {
            return Err(self.blame("duplicate label names for metric"));
        }
        let value = self.label_value(&name)?;
        if is_bound {
            self.bound = parse_bound(&name, &value)?;
        }
        self.lexer.skip_blanks();
        if !matches!(self.lexer.peek()?, b',' | b'}') {
            let value = quote(value.as_bytes());
            return Err(format!("unexpected end of label value {value}").into());
        }
        if !is_bound {
            self.labels.push((name, value));
            if let Some(refusal) = self.rules.labels_refusal(self.labels.len()) {
                return Err(refusal.into());
            }
        }
        Ok(())
    }

    fn label_name(&self, name: Name<'a>) -> Step<Cow<'a, str>> {
        if let Some(refusal) = self.rules.name_refusal("label", name.bytes.len()) {
            return Err(refusal.into());
        }
        if *name.bytes == *METRIC_NAME_LABEL.as_bytes() {
            return Err(format!("label name \"{METRIC_NAME_LABEL}\" is reserved").into());
        }
        text_of(name.bytes)
            .and_then(|text| {
                let is_valid = name.is_plain || is_label_name(&text, self.rules.utf8_names);
                if is_valid { Ok(text) } else { Err(text.into_owned().into_bytes()) }
            })
            .map_err(|bytes| format!("invalid label name {}", quote(&bytes)).into())
    }

    fn label_value(&mut self, label: &str) -> Step<Cow<'a, str>> {
        self.lexer.skip_blanks();
        let first = self.lexer.peek()?;
        if first != b'"' {
            let found = quote_byte(first);
            return Err(format!("expected '\"' at start of label value, found {found}").into());
        }
        self.lexer.bump();
        let value = text_of(self.lexer.label_value()?)
            .map_err(|bytes| format!("invalid label value {}", quote(&bytes)))?;
        match self.rules.value_refusal(label, value.len()) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(value),
        }
    }

    /// The label that is no label in a family of this kind, but says which part the value belongs to.
    fn bound_label(&self, target: Target) -> Option<&'static str> {
        match self.families.kind(target)? {
            MetricType::Summary => Some("quantile"),
            MetricType::Histogram | MetricType::GaugeHistogram => Some("le"),
            MetricType::Counter | MetricType::Gauge | MetricType::Untyped => None,
        }
    }

    /// Takes the bound out of labels that stood in front of the metric name.
    fn find_bound(&mut self, target: Target) -> Step<()> {
        let Some(bound_label) = self.bound_label(target) else { return Ok(()) };
        if let Some(at) = self.labels.iter().position(|(name, _)| name == bound_label) {
            let (name, value) = self.labels.remove(at);
            let bound = parse_bound(&name, &value)?;
            self.bound = self.bound.or(bound);
        }
        Ok(())
    }
}

/// Bytes as text, or as they are if they are none.
fn text_of(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Vec<u8>> {
    match bytes {
        Cow::Borrowed(bytes) => from_utf8(bytes).map(Cow::Borrowed).map_err(|_| bytes.to_vec()),
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).map(Cow::Owned).map_err(std::string::FromUtf8Error::into_bytes)
        }
    }
}

/// Reads a `quantile` or `le`. A `NaN` there is accepted, and the value of the line ignored.
fn parse_bound(label: &str, value: &str) -> Step<Option<f64>> {
    let Some(bound) = parse_float(value) else {
        let value = quote(value.as_bytes());
        return Err(format!("expected float as value for '{label}' label, got {value}").into());
    };
    Ok(Some(bound).filter(|bound| !bound.is_nan()))
}
