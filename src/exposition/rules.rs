//! What a pushed body may contain, and how a refusal reads.

use crate::exposition::goquote::quote;
use crate::limits::Limits;

/// Buckets, quantiles, spans and exemplars that one push may carry per series of its limit.
///
/// They cost memory like series do, a few bytes of body each, so they need a bound, too. Sixteen on
/// average is more than a body of the default size can carry in earnest.
const PARTS_PER_SERIES: usize = 16;

/// The rules that a body is held against while it is parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseRules {
    /// `--push.enable-utf8-names`: names may be any text.
    pub utf8_names: bool,
    /// `--limits.series-per-push`.
    pub series_max: usize,
    /// `--limits.labels-per-series`.
    pub labels_max: usize,
    /// `--limits.name-bytes`.
    pub name_bytes_max: usize,
    /// `--limits.label-value-bytes`.
    pub value_bytes_max: usize,
}

impl ParseRules {
    /// The rules that the operator has set.
    pub fn new(limits: &Limits, utf8_names: bool) -> ParseRules {
        ParseRules {
            utf8_names,
            series_max: limits.series_per_push,
            labels_max: limits.labels_per_series,
            name_bytes_max: limits.name_bytes,
            value_bytes_max: limits.label_value_bytes,
        }
    }

    /// Refuses one series too many.
    pub(crate) fn check_series(&self, series: usize) -> Result<(), ParseError> {
        if series <= self.series_max {
            return Ok(());
        }
        let text = format!("more than {} series in one push", self.series_max);
        Err(ParseError::TooLarge(text + " (--limits.series-per-push)"))
    }

    /// Refuses one bucket, quantile, span or exemplar too many.
    pub(crate) fn check_parts(&self, parts: usize) -> Result<(), ParseError> {
        let parts_max = self.series_max.saturating_mul(PARTS_PER_SERIES);
        if parts <= parts_max {
            return Ok(());
        }
        let text = format!("more than {parts_max} buckets and quantiles in one push");
        Err(ParseError::TooLarge(text + " (16 times --limits.series-per-push)"))
    }

    /// Says why a metric or label name is too long, if it is. `what` is `metric` or `label`.
    pub(crate) fn name_refusal(&self, what: &str, name_bytes: usize) -> Option<String> {
        (name_bytes > self.name_bytes_max).then(|| {
            let most = self.name_bytes_max;
            format!("{what} name of {name_bytes} bytes, {most} are allowed (--limits.name-bytes)")
        })
    }

    /// Says why a label value is too long, if it is.
    pub(crate) fn value_refusal(&self, label: &str, value_bytes: usize) -> Option<String> {
        (value_bytes > self.value_bytes_max).then(|| {
            let most = self.value_bytes_max;
            format!(
                "value of label {} of {value_bytes} bytes, {most} are allowed \
                 (--limits.label-value-bytes)",
                quote(label.as_bytes())
            )
        })
    }

    /// Says why a metric has too many labels, if it does.
    pub(crate) fn labels_refusal(&self, labels: usize) -> Option<String> {
        (labels > self.labels_max).then(|| {
            let most = self.labels_max;
            format!("more than {most} labels on one metric (--limits.labels-per-series)")
        })
    }
}

/// Why a body is refused. The text is the body of the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The body is not what its format demands, or a part of it is too long: 400.
    #[error("{0}")]
    Syntax(String),
    /// The body has too many parts: 413.
    #[error("{0}")]
    TooLarge(String),
}
