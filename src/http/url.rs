//! Paths in URLs: percent encoding, cleaning and re-encoding by the rules of Go's `net/url` and
//! `path`, since clients and scripts depend on where those redirect to.

use std::borrow::Cow;

/// A percent sign without two hexadecimal digits after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Decodes the percent encoding of a path. A plus sign stays a plus sign.
pub(super) fn decode_path(raw: &str) -> Result<Vec<u8>, Malformed> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = bytes.next().and_then(hex_value).ok_or(Malformed)?;
            let low = bytes.next().and_then(hex_value).ok_or(Malformed)?;
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    Ok(decoded)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Encodes a decoded path for a `Location` header.
pub(super) fn encode_path(path: &[u8]) -> String {
    let mut encoded = String::with_capacity(path.len());
    for &byte in path {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
        push_escaped_unless(&mut encoded, byte, plain);
    }
    encoded
}

/// Makes a raw query fit for a `Location` header: only bytes outside ASCII need escaping.
pub(super) fn encode_query(query: &str) -> String {
    let mut encoded = String::with_capacity(query.len());
    for byte in query.bytes() {
        push_escaped_unless(&mut encoded, byte, byte.is_ascii_graphic());
    }
    encoded
}

fn push_escaped_unless(out: &mut String, byte: u8, plain: bool) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    if plain {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.extend(DIGITS.get(usize::from(byte >> 4)));
        out.extend(DIGITS.get(usize::from(byte & 15)));
    }
}

/// The parameters of a query, decoded, in their order.
pub(super) fn query_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// Resolves `.` and `..`, joins repeated slashes and keeps a trailing slash.
///
/// Borrowed when the path is clean already.
pub(super) fn clean_path(path: &[u8]) -> Cow<'_, [u8]> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            _ => kept.push(component),
        }
    }
    let mut clean = Vec::with_capacity(path.len() + 1);
    for component in &kept {
        clean.push(b'/');
        clean.extend_from_slice(component);
    }
    if kept.is_empty() || path.ends_with(b"/") {
        clean.push(b'/');
    }
    if clean == path { Cow::Borrowed(path) } else { Cow::Owned(clean) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_percent_encoding() {
        for (raw, expected) in [
            ("/metrics", Ok(b"/metrics".to_vec())),
            ("/%6Detrics", Ok(b"/metrics".to_vec())),
            ("/a%2fb", Ok(b"/a/b".to_vec())),
            ("/%FF%00", Ok(b"/\xff\0".to_vec())),
            ("/a+b", Ok(b"/a+b".to_vec())),
            ("/é", Ok("/é".as_bytes().to_vec())),
            ("/a%zz", Err(Malformed)),
            ("/a%2", Err(Malformed)),
            ("/a%", Err(Malformed)),
            ("/a%+1", Err(Malformed)),
        ] {
            assert_eq!(decode_path(raw), expected, "{raw}");
        }
    }

    #[test]
    fn encodes_what_a_path_cannot_hold() {
        for (path, expected) in [
            (&b"/metrics/job/a"[..], "/metrics/job/a"),
            (b"/metrics/job@base64/Zm9v", "/metrics/job@base64/Zm9v"),
            (b"/a b%?#\"<", "/a%20b%25%3F%23%22%3C"),
            ("/é".as_bytes(), "/%C3%A9"),
            (b"/y;z=1,2+3:4&5$", "/y;z=1,2+3:4&5$"),
            (b"/!*'()", "/%21%2A%27%28%29"),
        ] {
            assert_eq!(encode_path(path), expected);
        }
    }

    #[test]
    fn cleans_paths_and_keeps_a_trailing_slash() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/a//", "/a/"),
            ("/a//c", "/a/c"),
            ("/a/./c", "/a/c"),
            ("/a/x/..", "/a"),
            ("/a/x/../", "/a/"),
            ("/a/..", "/"),
            ("/../..", "/"),
            ("/a/.", "/a"),
            ("/a/...", "/a/..."),
            ("/a/..b", "/a/..b"),
        ] {
            let clean = clean_path(path.as_bytes());
            assert_eq!(std::str::from_utf8(&clean).unwrap(), expected, "{path}");
        }
    }
}
