//! The texts with which pushes are refused.

use std::borrow::Cow;

use crate::exposition::goquote::quote;
use crate::exposition::prototext::dump;
use crate::limits::REFUSAL_REASONS_MAX;
use crate::pb::client::Metric;

/// Bytes of reasons listed in one refusal. Reasons quote labels, which may be very long.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Ends a text that was cut.
const CUT: &str = "...";

/// Collects the reasons for a refusal in a fixed order: by family name, then by metric.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    found: usize,
    listed: Vec<String>,
    bytes: usize,
}

impl Reasons {
    /// Adds a reason. Its text is only made if it will be listed.
    pub(crate) fn add(&mut self, text: impl FnOnce() -> String) {
        self.found += 1;
        if self.listed.len() < REFUSAL_REASONS_MAX && self.bytes < REFUSAL_BYTES_MAX {
            let text = text();
            let text = shorten(&text, REFUSAL_BYTES_MAX - self.bytes).into_owned();
            self.bytes += text.len();
            self.listed.push(text);
        }
    }

    /// The text of the refusal: a lone reason as it is, several as a list. None without a reason.
    pub(crate) fn into_text(self) -> Option<String> {
        if self.found <= 1 {
            return self.listed.into_iter().next();
        }
        let mut text = format!("{} error(s) occurred:", self.found);
        for reason in &self.listed {
            text.push_str("\n* ");
            text.push_str(reason);
        }
        Some(text)
    }
}

/// A reason that blames one metric.
pub(crate) fn about_metric(family: &str, metric: &Metric, what: &str) -> String {
    format!("collected metric {} {} {what}", quote(family.as_bytes()), dump(metric))
}

/// The text, cut to about this many bytes.
pub(crate) fn shorten(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub(CUT.len()));
    let mut short = text.get(..end).unwrap_or_default().to_owned();
    short.push_str(CUT);
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reasons: &[String]) -> Option<String> {
        let mut collected = Reasons::default();
        for reason in reasons {
            collected.add(|| reason.clone());
        }
        collected.into_text()
    }

    #[test]
    fn one_reason_stands_alone_and_several_are_counted() {
        assert_eq!(text(&[]), None);
        assert_eq!(text(&["a".to_owned()]).as_deref(), Some("a"));
        assert_eq!(
            text(&["a".to_owned(), "b".to_owned()]).as_deref(),
            Some("2 error(s) occurred:\n* a\n* b")
        );
    }

    #[test]
    fn lists_are_bounded() {
        let many = text(&vec!["x".to_owned(); 1000]).unwrap();
        assert!(many.starts_with("1000 error(s) occurred:\n* x"));
        assert_eq!(many.lines().count(), 1 + REFUSAL_REASONS_MAX);
        let long = text(&vec!["é".repeat(40_000); 3]).unwrap();
        assert!(long.len() < REFUSAL_BYTES_MAX + 100, "{}", long.len());
        assert!(long.starts_with("3 error(s)") && long.ends_with(CUT));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shorten("ééé", 6), "ééé");
        assert_eq!(shorten("éééé", 7), "éé...");
        assert_eq!(shorten("éééé", 6), "é...");
        assert_eq!(shorten("abcdef", 2), "...");
    }
}
