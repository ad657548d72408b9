//! Durations in Go's syntax, with its texts and errors: the first flags that had them belong to a Go
//! program, and its users read them back on the status page.

use std::fmt::Write as _;

/// A duration as Go has it: signed nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GoDuration(pub(super) i64);

const DURATION_UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration by Go's rules: a sequence of decimal numbers, each with a unit up to hours.
pub(super) fn parse_duration(text: &str) -> Result<GoDuration, String> {
    let invalid = || format!("time: invalid duration {}", go_quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(GoDuration(0));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (whole, after) = split_at_end_of(rest, |c| c.is_ascii_digit());
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_at_end_of(after, |c| c.is_ascii_digit()),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let (name, after) = split_at_end_of(after, |c| c != '.' && !c.is_ascii_digit());
        if name.is_empty() {
            return Err(format!("time: missing unit in duration {}", go_quote(text)));
        }
        let Some((_, unit)) = DURATION_UNITS.iter().find(|(known, _)| *known == name) else {
            let (name, text) = (go_quote(name), go_quote(text));
            return Err(format!("time: unknown unit {name} in duration {text}"));
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total = whole
            .checked_mul(*unit)
            .and_then(|nanos| nanos.checked_add(fraction_of(fraction, *unit)))
            .and_then(|nanos| total.checked_add(nanos))
            .filter(|nanos| *nanos <= i64::MIN.unsigned_abs())
            .ok_or_else(invalid)?;
        rest = after;
    }
    let nanos =
        if negative { 0_i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() };
    nanos.map(GoDuration).ok_or_else(invalid)
}

/// The decimal fraction of a unit, truncated to whole nanoseconds.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    // Eighteen digits name less than a nanosecond of an hour; more add nothing.
    let (mut value, mut scale) = (0_u128, 1_u128);
    for digit in digits.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    u64::try_from(u128::from(unit) * value / scale).unwrap_or(0)
}

fn split_at_end_of(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Quotes as Go's `time` package does: every byte outside printable ASCII in hexadecimal.
fn go_quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => write!(quoted, "\\x{byte:02x}").unwrap_or_default(),
        }
    }
    quoted.push('"');
    quoted
}

/// Shows a duration as Go does: `1h0m0s`, `1.5s`, `250ms`.
pub(super) fn show_duration(GoDuration(nanos): GoDuration) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let small = |unit: u64, name: &str| format!("{sign}{}{name}", show_decimal(nanos, unit));
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => small(1, "ns"),
        1_000..1_000_000 => small(1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => small(1_000_000, "ms"),
        _ => {
            const MINUTE: u64 = 60_000_000_000;
            let seconds = show_decimal(nanos % MINUTE, 1_000_000_000);
            let minutes = nanos / MINUTE;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `nanos` in `unit`s, without trailing zeros.
fn show_decimal(nanos: u64, unit: u64) -> String {
    let fraction = nanos % unit;
    if fraction == 0 {
        return (nanos / unit).to_string();
    }
    let places = unit.ilog10() as usize;
    let digits = format!("{fraction:0places$}");
    format!("{}.{}", nanos / unit, digits.trim_end_matches('0'))
}
