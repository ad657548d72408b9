//! gzip bodies: any number of members, each checked against its checksum and length.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{DecodeError, Output, UNEXPECTED_EOF, corrupt};
use crate::http::budget::Lease;

const INVALID_HEADER: &str = "gzip: invalid header";
const INVALID_CHECKSUM: &str = "gzip: invalid checksum";
const FIXED_HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
/// File names and comments in headers, with the byte that ends them.
const HEADER_STRING_BYTES_MAX: usize = 512;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;

/// What the first bytes of a member tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Header {
    /// The header takes this many bytes.
    Complete(usize),
    /// More bytes are needed to tell.
    Incomplete,
    /// This is not gzip.
    Invalid,
}

impl Header {
    /// Reads the header at the start of `bytes`.
    pub(in crate::http) fn read(bytes: &[u8]) -> Header {
        match read_header(bytes) {
            Ok(len) => Header::Complete(len),
            Err(verdict) => verdict,
        }
    }

    /// The error text for a header after which nothing more comes, if it is one.
    pub(in crate::http) fn error(self, bytes: &[u8]) -> Option<&'static str> {
        match self {
            Header::Complete(_) => None,
            Header::Incomplete if bytes.is_empty() => Some("EOF"),
            Header::Incomplete => Some(UNEXPECTED_EOF),
            Header::Invalid => Some(INVALID_HEADER),
        }
    }
}

fn read_header(bytes: &[u8]) -> Result<usize, Header> {
    let (fixed, mut rest) =
        bytes.split_first_chunk::<FIXED_HEADER_BYTES>().ok_or(Header::Incomplete)?;
    let &[0x1f, 0x8b, 8, flags, ..] = fixed else {
        return Err(Header::Invalid);
    };
    if flags & FLAG_EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>().ok_or(Header::Incomplete)?;
        let len = usize::from(u16::from_le_bytes(*len));
        rest = after.get(len..).ok_or(Header::Incomplete)?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            rest = skip_string(rest)?;
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        let (stated, after) = rest.split_first_chunk::<2>().ok_or(Header::Incomplete)?;
        let covered = bytes.len() - rest.len();
        let crc = crc32fast::hash(bytes.get(..covered).unwrap_or_default());
        if crc & 0xffff != u32::from(u16::from_le_bytes(*stated)) {
            return Err(Header::Invalid);
        }
        rest = after;
    }
    Ok(bytes.len() - rest.len())
}

fn skip_string(bytes: &[u8]) -> Result<&[u8], Header> {
    match bytes.iter().take(HEADER_STRING_BYTES_MAX).position(|&byte| byte == 0) {
        Some(len) => bytes.get(len + 1..).ok_or(Header::Incomplete),
        None if bytes.len() < HEADER_STRING_BYTES_MAX => Err(Header::Incomplete),
        None => Err(Header::Invalid),
    }
}

/// Decodes a whole body.
pub(in crate::http) fn decode(
    encoded: &[u8],
    bytes_max: usize,
    lease: &mut Lease,
) -> Result<Vec<u8>, DecodeError> {
    let mut output = Output::new(encoded.len(), bytes_max, lease);
    let mut rest = encoded;
    loop {
        let header = Header::read(rest);
        let Header::Complete(header_len) = header else {
            return Err(corrupt(header.error(rest).unwrap_or(INVALID_HEADER)));
        };
        let body = rest.get(header_len..).unwrap_or_default();
        rest = inflate_member(body, &mut output)?;
        if rest.is_empty() {
            return output.finish();
        }
    }
}

/// Decodes one member after its header and returns what follows it.
fn inflate_member<'a>(body: &'a [u8], output: &mut Output<'_>) -> Result<&'a [u8], DecodeError> {
    let start = output.bytes.len();
    let deflated_len = inflate(body, output)?;
    let after = body.get(deflated_len..).unwrap_or_default();
    let Some((trailer, rest)) = after.split_first_chunk::<TRAILER_BYTES>() else {
        return Err(corrupt(UNEXPECTED_EOF));
    };
    let mut crc = Crc::new();
    crc.update(output.bytes.get(start..).unwrap_or_default());
    let stated = u64::from_le_bytes(*trailer);
    let actual = u64::from(crc.amount()) << 32 | u64::from(crc.sum());
    if stated == actual { Ok(rest) } else { Err(corrupt(INVALID_CHECKSUM)) }
}

/// Inflates one deflate stream and returns its length.
fn inflate(body: &[u8], output: &mut Output<'_>) -> Result<usize, DecodeError> {
    let mut inflater = Decompress::new(false);
    loop {
        output.make_room()?;
        let consumed = consumed_bytes(&inflater);
        let input = body.get(consumed..).unwrap_or_default();
        let room = output.bytes.capacity() - output.bytes.len();
        let before = output.bytes.len();
        let status = inflater.decompress_vec(input, &mut output.bytes, FlushDecompress::None);
        match status {
            Ok(Status::StreamEnd) => return Ok(consumed_bytes(&inflater)),
            Ok(Status::Ok | Status::BufError) => {
                let filled = output.bytes.len() - before == room;
                if !filled && consumed_bytes(&inflater) == body.len() {
                    return Err(corrupt(UNEXPECTED_EOF));
                }
            }
            Err(_) => {
                let offset = consumed_bytes(&inflater);
                let text = format!("flate: corrupt input before offset {offset}");
                return Err(DecodeError::Corrupt(text));
            }
        }
    }
}

fn consumed_bytes(inflater: &Decompress) -> usize {
    usize::try_from(inflater.total_in()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::budget::Budget;
    use crate::limits::Limits;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(encoded: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
        decode(encoded, bytes_max, &mut Budget::of_bodies(&Limits::default()).lease())
    }

    fn check(encoded: &[u8], expected: Result<&[u8], &str>) {
        let expected = expected.map(<[u8]>::to_vec).map_err(corrupt);
        assert_eq!(decoded(encoded, 1 << 20), expected);
    }

    fn with_flags(flags: u8, optional: &[u8], bytes: &[u8]) -> Vec<u8> {
        let plain = gzip(bytes);
        let mut encoded = plain[..FIXED_HEADER_BYTES].to_vec();
        encoded[3] = flags;
        encoded.extend_from_slice(optional);
        encoded.extend_from_slice(&plain[FIXED_HEADER_BYTES..]);
        encoded
    }

    #[test]
    fn decodes_members() {
        check(&gzip(b"a 1\n"), Ok(b"a 1\n"));
        check(&gzip(b""), Ok(b""));
        check(&[gzip(b"a 1\n"), gzip(b""), gzip(b"b 2\n")].concat(), Ok(b"a 1\nb 2\n"));
        let large = "metric_name{label=\"value\"} 12345\n".repeat(10_000);
        check(&gzip(large.as_bytes()), Ok(large.as_bytes()));
    }

    #[test]
    fn reports_damage_as_go_does() {
        let whole = gzip(b"metric 12345\nanother 1\n");
        check(b"", Err("EOF"));
        check(&whole[..9], Err("unexpected EOF"));
        check(b"not gzip at all", Err("gzip: invalid header"));
        check(b"not gzip", Err("unexpected EOF"));
        for len in 1..whole.len() {
            check(&whole[..len], Err("unexpected EOF"));
        }
        let mut bad_crc = whole.clone();
        let at = bad_crc.len() - 8;
        bad_crc[at] ^= 1;
        check(&bad_crc, Err("gzip: invalid checksum"));
        let mut bad_len = whole.clone();
        let at = bad_len.len() - 1;
        bad_len[at] ^= 1;
        check(&bad_len, Err("gzip: invalid checksum"));
        check(&[&whole[..], b"junk"].concat(), Err("unexpected EOF"));
        check(&[&whole[..], b"longer junk"].concat(), Err("gzip: invalid header"));
        let mut bad_method = whole.clone();
        bad_method[2] = 7;
        check(&bad_method, Err("gzip: invalid header"));
        let mut bad_block = whole;
        bad_block[FIXED_HEADER_BYTES] = 0xff;
        assert!(matches!(
            decoded(&bad_block, 100),
            Err(DecodeError::Corrupt(text)) if text.starts_with("flate: corrupt input before offset ")
        ));
    }

    #[test]
    fn skips_optional_header_fields() {
        check(&with_flags(FLAG_NAME, b"file\0", b"a"), Ok(b"a"));
        check(&with_flags(FLAG_EXTRA, b"\x03\0xyz", b"a"), Ok(b"a"));
        check(&with_flags(FLAG_EXTRA | FLAG_NAME | FLAG_COMMENT, b"\0\0\0note\0", b"a"), Ok(b"a"));
        check(&with_flags(FLAG_HEADER_CRC, b"\0\0", b"a"), Err("gzip: invalid header"));
        check(&with_flags(FLAG_NAME, &[b'x'; 600], b"a"), Err("gzip: invalid header"));
        let mut stated = with_flags(FLAG_HEADER_CRC, b"", b"a");
        let crc = crc32fast::hash(&stated[..FIXED_HEADER_BYTES]);
        let crc = u16::try_from(crc & 0xffff).unwrap().to_le_bytes();
        stated.splice(FIXED_HEADER_BYTES..FIXED_HEADER_BYTES, crc);
        check(&stated, Ok(b"a"));
    }

    #[test]
    fn stops_at_the_bound() {
        let bomb = gzip(&vec![b'a'; 10_000_000]);
        assert_eq!(decoded(&bomb, 1_000_000), Err(DecodeError::TooLarge));
        assert_eq!(decoded(&bomb, 9_999_999), Err(DecodeError::TooLarge));
        assert_eq!(decoded(&bomb, 10_000_000).map(|bytes| bytes.len()), Ok(10_000_000));
        assert_eq!(decoded(&gzip(b"a"), 0), Err(DecodeError::TooLarge));
        let small = Limits { inflight_bytes: 8 << 10, ..Limits::default() };
        let mut lease = Budget::of_bodies(&small).lease();
        assert_eq!(decode(&bomb, 10_000_000, &mut lease), Err(DecodeError::Exhausted));
    }

    proptest! {
        #[test]
        fn restores_what_was_encoded(bytes in proptest::collection::vec(any::<u8>(), 0..20_000)) {
            prop_assert_eq!(decoded(&gzip(&bytes), bytes.len()), Ok(bytes));
        }

        #[test]
        fn survives_anything(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            let mut damaged = gzip(&bytes);
            let at = at % damaged.len();
            damaged[at] ^= 0x55;
            drop(decoded(&damaged, 1000));
            drop(decoded(&bytes, 1000));
        }
    }
}
