//! Floating-point numbers as the exposition formats write and read them.

/// The values whose leading digit has one of [`PLAIN_EXPONENTS`].
const PLAIN_RANGE: std::ops::Range<f64> = 1e-4..PLAIN_BELOW;
/// Integers below this are written digit by digit; from here on the scientific form begins.
const PLAIN_BELOW: f64 = 1e6;
/// The decimal exponents of the leading digit that are written without an exponent.
const PLAIN_EXPONENTS: std::ops::Range<i32> = -4..6;
/// Decimal digits of the longest u64, and more than the shortest form of any double needs.
const DIGITS_MAX: usize = 20;

/// Writes a value as a text exposition shows it: the fewest digits that read back as the same
/// value, `NaN`, `+Inf` or `-Inf`, and `0` for both zeros.
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    if value == 0.0 {
        out.push(b'0');
    } else {
        write_float_signed_zero(out, value);
    }
}

/// Writes a value as JSON and protobuf text show it: like [`write_float`], but `-0` keeps its sign.
pub fn write_float_signed_zero(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
        return;
    }
    if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative and below 10^6; a fraction fails the comparison that follows"
    )]
    let whole = if magnitude < PLAIN_BELOW { magnitude as u32 } else { 0 };
    #[expect(clippy::float_cmp, reason = "exactness is the question")]
    if f64::from(whole) == magnitude {
        write_integer(out, u64::from(whole));
    } else {
        write_shortest(out, magnitude);
    }
}

/// Writes a decimal integer.
pub fn write_integer(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; DIGITS_MAX];
    let mut rest = value;
    let mut length = 0;
    for slot in digits.iter_mut().rev() {
        *slot = digit(rest % 10);
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(DIGITS_MAX - length..).unwrap_or_default());
}

/// Writes a decimal integer that may be negative.
pub fn write_signed_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    write_integer(out, value.unsigned_abs());
}

#[expect(clippy::cast_possible_truncation, reason = "the callers pass 0..=9")]
const fn digit(value: u64) -> u8 {
    b'0' + value as u8
}

/// Writes a finite positive value that is not a small integer.
fn write_shortest(out: &mut Vec<u8>, magnitude: f64) {
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(magnitude).as_bytes();
    // Nearly all values are written as the algorithm prints them.
    if PLAIN_RANGE.contains(&magnitude) && memchr::memchr(b'e', shortest).is_none() {
        out.extend_from_slice(shortest.strip_suffix(b".0").unwrap_or(shortest));
        return;
    }
    let decimal = Decimal::from_shortest(shortest);
    let (digits, exponent) = (decimal.digits(), decimal.exponent);
    if !PLAIN_EXPONENTS.contains(&exponent) {
        write_scientific(out, digits, exponent);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(digits);
    } else {
        let whole_length = exponent.unsigned_abs() as usize + 1;
        let (whole, fraction) = digits.split_at(whole_length.min(digits.len()));
        out.extend_from_slice(whole);
        out.extend(std::iter::repeat_n(b'0', whole_length - whole.len()));
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    }
}

fn write_scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    if let [first, fraction @ ..] = digits {
        out.push(*first);
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let exponent = exponent.unsigned_abs();
    if exponent < 10 {
        out.push(b'0');
    }
    write_integer(out, u64::from(exponent));
}

/// The significant digits of a positive number, without zeros at either end.
struct Decimal {
    digits: [u8; DIGITS_MAX],
    length: usize,
    /// The decimal exponent of the first digit.
    exponent: i32,
}

impl Decimal {
    /// Takes apart what the shortest-digits algorithm printed: `12.5`, `0.001` or `1.5e-7`.
    fn from_shortest(text: &[u8]) -> Decimal {
        let split = text.iter().position(|byte| *byte == b'e').unwrap_or(text.len());
        let (mantissa, scale) = text.split_at(split);
        let mut decimal =
            Decimal { digits: [0; DIGITS_MAX], length: 0, exponent: parse_scale(scale) - 1 };
        let mut seen_point = false;
        let mut zeros_pending = 0;
        for byte in mantissa {
            match byte {
                b'.' => seen_point = true,
                b'0' if decimal.length == 0 => decimal.exponent -= i32::from(seen_point),
                _ => {
                    decimal.exponent += i32::from(!seen_point);
                    if *byte == b'0' {
                        zeros_pending += 1;
                    } else {
                        (0..zeros_pending).for_each(|_| decimal.push(b'0'));
                        zeros_pending = 0;
                        decimal.push(*byte);
                    }
                }
            }
        }
        decimal
    }

    fn push(&mut self, digit: u8) {
        if let Some(slot) = self.digits.get_mut(self.length) {
            *slot = digit;
            self.length += 1;
        }
    }

    fn digits(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }
}

/// Reads `e-7`, `e+20`, `e16` or nothing.
fn parse_scale(text: &[u8]) -> i32 {
    let negative = text.contains(&b'-');
    let magnitude = text
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0, |scale, byte| scale * 10 + i32::from(byte - b'0'));
    if negative { -magnitude } else { magnitude }
}

/// Reads a value of a text exposition: decimal, or `NaN`, `Inf`, `Infinity` in any case.
///
/// Refused: hexadecimal numbers, digit separators, a signed `NaN`, and what is out of range (too
/// small counts as zero).
pub fn parse_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let spelled_out = || text.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'n'));
    let refused =
        value.is_nan() && text.starts_with(['+', '-']) || value.is_infinite() && !spelled_out();
    (!refused).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn json(value: f64) -> String {
        let mut out = Vec::new();
        write_float_signed_zero(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn written_floats() {
        for (input, output) in [
            ("100000", "100000"),
            ("1000000", "1e+06"),
            ("999999", "999999"),
            ("999999.5", "999999.5"),
            ("123456.789", "123456.789"),
            ("1234567.89", "1.23456789e+06"),
            ("12345678.9", "1.23456789e+07"),
            ("123456789", "1.23456789e+08"),
            ("4503599627370497.5", "4.503599627370498e+15"),
            ("1234567890123456789", "1.2345678901234568e+18"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("12e-5", "0.00012"),
            ("1e-7", "1e-07"),
            ("1e20", "1e+20"),
            ("1e21", "1e+21"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("5e-324", "5e-324"),
            ("Inf", "+Inf"),
            ("-Inf", "-Inf"),
            ("NaN", "NaN"),
            ("0", "0"),
            ("1", "1"),
            ("-1", "-1"),
            ("-2.5", "-2.5"),
            ("0.1", "0.1"),
            ("100.25", "100.25"),
            ("-1e6", "-1e+06"),
            ("1e100", "1e+100"),
            ("1e-100", "1e-100"),
            ("1795226107.352385", "1.795226107352385e+09"),
            ("18446744073709551612", "1.8446744073709552e+19"),
            ("123456", "123456"),
            ("1e5", "100000"),
            ("100000.5", "100000.5"),
            ("0.001", "0.001"),
            ("0.30000000000000004", "0.30000000000000004"),
        ] {
            let value = parse_float(input).unwrap();
            assert_eq!(text(value), output, "{input}");
            assert_eq!(json(value), output, "{input}");
        }
        assert_eq!(text(-0.0), "0");
        assert_eq!(json(-0.0), "-0");
    }

    #[test]
    fn integers() {
        let mut out = Vec::new();
        for value in [0, 7, 10, u64::MAX] {
            write_integer(&mut out, value);
            out.push(b' ');
        }
        write_signed_integer(&mut out, i64::MIN);
        assert_eq!(out, b"0 7 10 18446744073709551615 -9223372036854775808");
    }

    #[test]
    fn read_floats() {
        for (input, value) in [
            ("+1", 1.0),
            (".5", 0.5),
            ("1.", 1.0),
            ("1E3", 1000.0),
            ("1e-400", 0.0),
            ("-1", -1.0),
            ("Inf", f64::INFINITY),
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("INFINITY", f64::INFINITY),
            ("1.7976931348623157e308", f64::MAX),
        ] {
            assert_eq!(parse_float(input), Some(value), "{input}");
        }
        for input in ["NaN", "nan"] {
            assert!(parse_float(input).unwrap().is_nan());
        }
        assert!(parse_float("-0").unwrap().is_sign_negative());
        for input in [
            "",
            "-",
            ".",
            "-NaN",
            "+NaN",
            "0x1",
            "0x1p3",
            "1_000",
            "0b1",
            "1e400",
            "-1e400",
            "1,0",
            "1\r",
            " 1",
            "1 ",
            "infi",
            "1e",
            "e5",
            "--1",
            "1e99999999999999999999",
            "nano",
        ] {
            assert_eq!(parse_float(input), None, "{input}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            let read = parse_float(&json(value)).unwrap();
            prop_assert!(read.to_bits() == value.to_bits() || value.is_nan() && read.is_nan());
        }

        #[test]
        fn no_form_is_longer_than_needed(value in -1e7..1e7) {
            // 17 digits, a sign, a point and an exponent.
            prop_assert!(json(value).len() <= 24);
        }
    }
}
