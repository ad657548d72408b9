//! Quoted bytes in refusals, as the `%q` and `%c` verbs of Go print them.
//!
//! Clients and their tests know the texts of upstream's refusals byte for byte, so the quoting has
//! to agree for every input.

use std::fmt::Write as _;

/// Longer input is cut when quoted, so that a refusal is never much larger than what it refuses.
const QUOTED_BYTES_MAX: usize = 4096;

/// Quotes bytes that may not be text: `"a\xff\n"`.
pub fn quote(bytes: &[u8]) -> String {
    let quoted = bytes.get(..QUOTED_BYTES_MAX).unwrap_or(bytes);
    let mut out = String::with_capacity(quoted.len() + 2);
    out.push('"');
    for chunk in quoted.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut out, character, '"');
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    if quoted.len() < bytes.len() {
        out.push_str("...");
    }
    out
}

/// Quotes a single byte, read as a code point: `'a'`, `'\n'`, `'ÿ'`.
pub fn quote_byte(byte: u8) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, char::from(byte), '\'');
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, character: char, quote: char) {
    let short = match character {
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        '\\' => '\\',
        _ if character == quote => quote,
        _ if is_printable(character) => {
            out.push(character);
            return;
        }
        _ => {
            push_code_point(out, u32::from(character));
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

fn push_code_point(out: &mut String, code: u32) {
    // Writing to a String cannot fail.
    let _ = match code {
        0..0x80 => write!(out, "\\x{code:02x}"),
        0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Letters, marks, numbers, punctuation, symbols and the blank.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    // The standard library has the table, but shows it only through this. The letter in front keeps
    // combining marks, which are printable, from being escaped as a first character is.
    let mut probe = String::from("a");
    probe.push(character);
    probe.escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        for (bytes, quoted) in [
            (&b""[..], r#""""#),
            (b"abc d~", r#""abc d~""#),
            (b"1\r", r#""1\r""#),
            (b"\xff", r#""\xff""#),
            (b"a\x00\x1f\x7f", r#""a\x00\x1f\x7f""#),
            (b"\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            (b"\\\"'", r#""\\\"'""#),
            ("é日".as_bytes(), r#""é日""#),
            ("e\u{301}".as_bytes(), "\"e\u{301}\""),
            ("\u{301}".as_bytes(), "\"\u{301}\""),
            ("\u{a0}\u{ad}\u{80}".as_bytes(), r#""\u00a0\u00ad\u0080""#),
            ("\u{200b}\u{feff}\u{2028}".as_bytes(), r#""\u200b\ufeff\u2028""#),
            ("\u{10ffff}".as_bytes(), r#""\U0010ffff""#),
            ("😀".as_bytes(), "\"😀\""),
            ("\u{fffd}".as_bytes(), "\"\u{fffd}\""),
            (b"\xe6\x97", r#""\xe6\x97""#),
        ] {
            assert_eq!(quote(bytes), quoted);
        }
    }

    #[test]
    fn long_input_is_cut() {
        let quoted = quote(&[b'x'; 2 * QUOTED_BYTES_MAX]);
        assert_eq!(quoted.len(), QUOTED_BYTES_MAX + 5);
        assert!(quoted.ends_with("x\"..."));
    }

    #[test]
    fn bytes() {
        for (byte, quoted) in [
            (b'c', "'c'"),
            (b'}', "'}'"),
            (b'"', "'\"'"),
            (b'\'', r"'\''"),
            (b'\\', r"'\\'"),
            (b'\n', r"'\n'"),
            (0, r"'\x00'"),
            (0xff, "'ÿ'"),
            (0x80, r"'\u0080'"),
            (0xad, r"'\u00ad'"),
        ] {
            assert_eq!(quote_byte(byte), quoted);
        }
    }
}
