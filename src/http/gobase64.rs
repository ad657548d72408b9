//! Base64 as paths carry it: URL-safe, padding optional, and as lenient as Go's decoder.
//!
//! The `base64` crate cannot tell where and after which output it stopped, which error texts show.

/// Why and where decoding stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Corrupt {
    /// The offending byte's place in the input without its padding.
    pub(super) at: usize,
    /// What was decoded before.
    pub(super) decoded: Vec<u8>,
}

/// Decodes `encoded`: trailing `=` are cut, line breaks skipped, unused trailing bits ignored.
pub(super) fn decode(encoded: &[u8]) -> Result<Vec<u8>, Corrupt> {
    let padding = encoded.iter().rev().take_while(|&&byte| byte == b'=').count();
    let trimmed_len = encoded.len() - padding;
    let mut decoded = Vec::with_capacity(trimmed_len / 4 * 3 + 2);
    let mut bits = 0_u32;
    let mut sextets = 0;
    for (at, &byte) in encoded.iter().take(trimmed_len).enumerate() {
        let Some(sextet) = sextet(byte) else {
            if matches!(byte, b'\r' | b'\n') {
                continue;
            }
            return Err(Corrupt { at, decoded });
        };
        bits = bits << 6 | sextet;
        sextets += 1;
        if sextets == 4 {
            decoded.extend(bits.to_be_bytes().into_iter().skip(1));
            (bits, sextets) = (0, 0);
        }
    }
    match sextets {
        0 => {}
        1 => return Err(Corrupt { at: trimmed_len - 1, decoded }),
        2 => decoded.extend((bits << 12).to_be_bytes().into_iter().skip(1).take(1)),
        _ => decoded.extend((bits << 6).to_be_bytes().into_iter().skip(1).take(2)),
    }
    Ok(decoded)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    #[test]
    fn decodes_leniently_and_says_where_it_stops() {
        let corrupt = |at, decoded: &str| Err(Corrupt { at, decoded: decoded.as_bytes().to_vec() });
        for (encoded, expected) in [
            ("", Ok(b"".to_vec())),
            ("=", Ok(b"".to_vec())),
            ("====", Ok(b"".to_vec())),
            ("Zm9v", Ok(b"foo".to_vec())),
            ("Zm9v=", Ok(b"foo".to_vec())),
            ("YQ", Ok(b"a".to_vec())),
            ("YQ==", Ok(b"a".to_vec())),
            ("Zh", Ok(b"f".to_vec())),
            ("_-8", Ok(b"\xff\xef".to_vec())),
            ("Zm\r\n9v", Ok(b"foo".to_vec())),
            ("Zm9v\n", Ok(b"foo".to_vec())),
            ("Z", corrupt(0, "")),
            ("Zm9vY", corrupt(4, "foo")),
            ("Zm9vYm*", corrupt(6, "foo")),
            ("Zm9vYm=9v", corrupt(6, "foo")),
            ("+/", corrupt(0, "")),
            ("Zm9v YQ", corrupt(4, "foo")),
        ] {
            assert_eq!(decode(encoded.as_bytes()), expected, "{encoded:?}");
        }
    }

    proptest! {
        #[test]
        fn decodes_what_others_encode(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(decode(URL_SAFE.encode(&bytes).as_bytes()), Ok(bytes.clone()));
            prop_assert_eq!(decode(URL_SAFE_NO_PAD.encode(&bytes).as_bytes()), Ok(bytes));
        }
    }
}
