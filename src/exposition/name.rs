//! Names of metrics and labels: the legacy alphabets, and the schemes that force any name into them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Starts a name that [`Escaping::Values`] has escaped.
const VALUES_PREFIX: &str = "U__";
/// The most hexadecimal digits of an escaped code point that upstream decodes. So the characters from
/// U+100000 on, which need one more, stay escaped.
const CODE_POINT_DIGITS_MAX: usize = 5;

const fn is_legacy_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':'
}

/// Whether the name matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    match name.as_bytes() {
        [first, rest @ ..] => {
            is_legacy_byte(*first)
                && !first.is_ascii_digit()
                && rest.iter().all(|byte| is_legacy_byte(*byte))
        }
        [] => false,
    }
}

/// Whether the name matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_legacy_metric_name(name) && !name.as_bytes().contains(&b':')
}

/// Whether a metric may have this name; with `utf8_names` any text but the empty one will do.
pub fn is_metric_name(name: &str, utf8_names: bool) -> bool {
    if utf8_names { !name.is_empty() } else { is_legacy_metric_name(name) }
}

/// Whether a label may have this name; with `utf8_names` any text but the empty one will do.
pub fn is_label_name(name: &str, utf8_names: bool) -> bool {
    if utf8_names { !name.is_empty() } else { is_legacy_label_name(name) }
}

/// How a scrape shows names outside the legacy alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Escaping {
    /// As they are, quoted in text.
    AllowUtf8,
    /// Each foreign character becomes an underscore.
    #[default]
    Underscores,
    /// Dots become `_dot_`, underscores are doubled, other foreign characters become `__`.
    Dots,
    /// `U__`, then each foreign character as its code point between underscores.
    Values,
}

impl Escaping {
    /// The value of the `escaping` parameter of a media type.
    pub fn as_str(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// The scheme that an `escaping` parameter names.
    pub fn from_parameter(value: &str) -> Option<Escaping> {
        match value {
            "allow-utf-8" => Some(Escaping::AllowUtf8),
            "underscores" => Some(Escaping::Underscores),
            "dots" => Some(Escaping::Dots),
            "values" => Some(Escaping::Values),
            _ => None,
        }
    }

    /// The metric name as this scheme shows it; legacy names are never touched.
    pub fn escape(self, name: &str) -> Cow<'_, str> {
        if self == Escaping::AllowUtf8 || name.is_empty() || is_legacy_metric_name(name) {
            return Cow::Borrowed(name);
        }
        Cow::Owned(self.escape_all_but(name, is_legacy_byte))
    }

    /// Whether this scheme would change the name of a label.
    pub fn changes_label(self, name: &str) -> bool {
        self != Escaping::AllowUtf8 && !name.is_empty() && !is_legacy_label_name(name)
    }

    /// The label name as this scheme shows it; legacy names are never touched. Unlike in the name of
    /// a metric, a colon is foreign: Prometheus refuses a scrape with one in the name of a label.
    pub fn escape_label(self, name: &str) -> Cow<'_, str> {
        if !self.changes_label(name) {
            return Cow::Borrowed(name);
        }
        Cow::Owned(self.escape_all_but(name, |byte| is_legacy_byte(byte) && byte != b':'))
    }

    fn escape_all_but(self, name: &str, is_legacy: fn(u8) -> bool) -> String {
        let mut escaped = String::with_capacity(name.len() * 2);
        if self == Escaping::Values {
            escaped.push_str(VALUES_PREFIX);
        }
        for (index, character) in name.char_indices() {
            let legacy =
                u8::try_from(character).is_ok_and(|byte| byte.is_ascii() && is_legacy(byte));
            let legacy = legacy && !(index == 0 && character.is_ascii_digit());
            match self {
                Escaping::Dots | Escaping::Values if character == '_' => escaped.push_str("__"),
                _ if legacy => escaped.push(character),
                Escaping::Dots if character == '.' => escaped.push_str("_dot_"),
                Escaping::Dots => escaped.push_str("__"),
                Escaping::Values => push_code_point(&mut escaped, character),
                Escaping::Underscores | Escaping::AllowUtf8 => escaped.push('_'),
            }
        }
        escaped
    }
}

fn push_code_point(out: &mut String, character: char) {
    // Writing to a String cannot fail.
    let _ = write!(out, "_{:x}_", u32::from(character));
}

/// Decodes a label name of a push path that [`Escaping::Values`] may have escaped.
///
/// A name that is not escaped, or in which anything is malformed, stays as it is.
pub fn unescape_label_name(name: &str) -> Cow<'_, str> {
    let decoded = name.strip_prefix(VALUES_PREFIX).and_then(unescape_values);
    decoded.map_or(Cow::Borrowed(name), Cow::Owned)
}

/// The name of a label as a push path has it: what [`unescape_label_name`] turns back into the name.
/// So a name that only looks escaped is escaped, too.
///
/// Names with characters that escaping cannot hold stay as they are, and have to be percent-encoded.
pub fn path_label_name(name: &str) -> Cow<'_, str> {
    let has_no_escape = name.chars().any(|c| u32::from(c) >> (4 * CODE_POINT_DIGITS_MAX) > 0);
    if has_no_escape || is_legacy_label_name(name) && unescape_label_name(name) == name {
        return Cow::Borrowed(name);
    }
    Cow::Owned(Escaping::Values.escape_all_but(name, |byte| is_legacy_byte(byte) && byte != b':'))
}

fn unescape_values(escaped: &str) -> Option<String> {
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((plain, code)) = rest.split_once('_') {
        name.push_str(plain);
        let (digits, after) = code.split_once('_')?;
        name.push(if digits.is_empty() { '_' } else { code_point(digits)? });
        rest = after;
    }
    name.push_str(rest);
    Some(name)
}

fn code_point(digits: &str) -> Option<char> {
    let hex =
        digits.len() <= CODE_POINT_DIGITS_MAX && digits.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten().and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alphabets() {
        for (name, metric, label) in [
            ("a", true, true),
            ("_a9", true, true),
            ("__x", true, true),
            ("a:b", true, false),
            (":", true, false),
            ("", false, false),
            ("1a", false, false),
            ("a-b", false, false),
            ("é", false, false),
            ("a b", false, false),
        ] {
            assert_eq!(is_metric_name(name, false), metric, "{name:?}");
            assert_eq!(is_label_name(name, false), label, "{name:?}");
            assert_eq!(is_metric_name(name, true), !name.is_empty(), "{name:?}");
            assert_eq!(is_label_name(name, true), !name.is_empty(), "{name:?}");
        }
    }

    #[test]
    fn escaping() {
        for (name, underscores, dots, values) in [
            ("foo.bar", "foo_bar", "foo_dot_bar", "U__foo_2e_bar"),
            ("x.y", "x_y", "x_dot_y", "U__x_2e_y"),
            ("1a", "_a", "__a", "U___31_a"),
            ("日本", "__", "____", "U___65e5__672c_"),
            ("a_b", "a_b", "a_b", "a_b"),
            ("a:b", "a:b", "a:b", "a:b"),
            ("a_b.c", "a_b_c", "a__b_dot_c", "U__a__b_2e_c"),
            ("a-b", "a_b", "a__b", "U__a_2d_b"),
            ("", "", "", ""),
        ] {
            assert_eq!(Escaping::Underscores.escape(name), underscores);
            assert_eq!(Escaping::Dots.escape(name), dots);
            assert_eq!(Escaping::Values.escape(name), values);
            assert_eq!(Escaping::AllowUtf8.escape(name), name);
        }
    }

    #[test]
    fn colons_are_foreign_to_labels() {
        for (name, underscores, dots, values) in [
            ("a:b", "a_b", "a__b", "U__a_3a_b"),
            (":", "_", "__", "U___3a_"),
            ("a.b", "a_b", "a_dot_b", "U__a_2e_b"),
            ("a_b", "a_b", "a_b", "a_b"),
            ("", "", "", ""),
        ] {
            assert_eq!(Escaping::Underscores.escape_label(name), underscores);
            assert_eq!(Escaping::Dots.escape_label(name), dots);
            assert_eq!(Escaping::Values.escape_label(name), values);
            assert_eq!(Escaping::AllowUtf8.escape_label(name), name);
        }
    }

    #[test]
    fn parameters() {
        for escaping in
            [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values]
        {
            assert_eq!(Escaping::from_parameter(escaping.as_str()), Some(escaping));
        }
        assert_eq!(Escaping::from_parameter("Dots"), None);
        assert_eq!(Escaping::from_parameter(""), None);
    }

    #[test]
    fn unescaping() {
        for (escaped, name) in [
            ("U__foo_2e_bar", "foo.bar"),
            ("U__foo_2E_bar", "foo.bar"),
            ("U___55_____", "U__"),
            ("U__a__b", "a_b"),
            ("U__a_65e5_", "a日"),
            ("U__a_1f600_", "a\u{1f600}"),
            ("U__a_00041_", "aA"),
            ("U__", ""),
            ("U__job", "job"),
            ("U______name____", "__name__"),
            // Malformed in one place: the whole name stays.
            ("U__in_xxx_valid", "U__in_xxx_valid"),
            ("U__a_2e_b_D800_", "U__a_2e_b_D800_"),
            ("U__a_10ffff_", "U__a_10ffff_"),
            ("U__a_110000_", "U__a_110000_"),
            ("U__a_000041_", "U__a_000041_"),
            ("U__a_0000041_", "U__a_0000041_"),
            ("U__a_+41_", "U__a_+41_"),
            ("U__foo_", "U__foo_"),
            ("U__foo_2e", "U__foo_2e"),
            ("foo.bar", "foo.bar"),
            ("a__b", "a__b"),
            ("U_", "U_"),
        ] {
            assert_eq!(unescape_label_name(escaped), name, "{escaped}");
            assert_eq!(unescape_label_name(&path_label_name(name)), name);
            assert_eq!(unescape_label_name(&path_label_name(escaped)), escaped);
        }
    }

    #[test]
    fn names_in_paths() {
        for (name, in_path) in [
            ("a_b", "a_b"),
            ("U_", "U_"),
            ("U__foo_", "U__foo_"),
            ("foo.bar", "U__foo_2e_bar"),
            ("a:b", "U__a_3a_b"),
            ("\u{fffff}.b", "U___fffff__2e_b"),
            ("\u{100000}.b", "\u{100000}.b"),
            ("U__", "U__U____"),
            ("U__a_2e_b", "U__U____a__2e__b"),
        ] {
            assert_eq!(path_label_name(name), in_path);
        }
    }
}
