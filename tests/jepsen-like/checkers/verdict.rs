//! How a check can end.

use std::fmt;

/// What a checker says of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The name of the checker, such as `order_by_index`.
    pub(crate) property: &'static str,
    pub(crate) result: Finding,
}

/// The end of one check. Only `Pass` is a pass; `Skipped` says that the run was not meant to show
/// this property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Pass,
    /// The property was violated; the text says by what.
    Fail(String),
    /// The check did not come to an end within its budget.
    Undecided(String),
    Skipped(String),
}

impl Verdict {
    /// Whether a run with this verdict is not good.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.result, Finding::Fail(_) | Finding::Undecided(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.result {
            Finding::Pass => ("pass", ""),
            Finding::Fail(text) => ("FAIL", text.as_str()),
            Finding::Undecided(text) => ("UNDECIDED", text.as_str()),
            Finding::Skipped(text) => ("skipped", text.as_str()),
        };
        write!(f, "{:<22} {word}", self.property)?;
        if text.is_empty() { Ok(()) } else { write!(f, ": {text}") }
    }
}
