//! snappy bodies in the framing format.

use std::io::Read as _;

use snap::read::FrameDecoder;

use super::{DecodeError, Output, corrupt};
use crate::http::budget::Lease;

const CORRUPT: &str = "snappy: corrupt input";
const UNSUPPORTED: &str = "snappy: unsupported input";
const STEP_BYTES: usize = 64 << 10;

/// Decodes a whole body.
pub(in crate::http) fn decode(
    encoded: &[u8],
    bytes_max: usize,
    lease: &mut Lease,
) -> Result<Vec<u8>, DecodeError> {
    let mut output = Output::new(encoded.len(), bytes_max, lease);
    let mut decoder = FrameDecoder::new(encoded);
    loop {
        output.make_room()?;
        let room = output.bytes.capacity() - output.bytes.len();
        let mut step = decoder.by_ref().take(room.min(STEP_BYTES) as u64);
        match step.read_to_end(&mut output.bytes) {
            Ok(0) => return output.finish(),
            Ok(_) => {}
            Err(error) => return Err(corrupt(text_of(&error))),
        }
    }
}

fn text_of(error: &std::io::Error) -> &'static str {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<snap::Error>());
    match cause {
        Some(snap::Error::UnsupportedChunkType { .. }) => UNSUPPORTED,
        // Longer than the format lets a chunk be; shorter ones that are wrong count as corrupt.
        Some(snap::Error::UnsupportedChunkLength { len, header: false }) if *len > 1 << 16 => {
            UNSUPPORTED
        }
        _ => CORRUPT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::budget::Budget;
    use crate::limits::Limits;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn snappy(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.into_inner().unwrap()
    }

    fn decoded(encoded: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
        decode(encoded, bytes_max, &mut Budget::of_bodies(&Limits::default()).lease())
    }

    #[test]
    fn decodes_frames() {
        let large = "metric_name{label=\"value\"} 12345\n".repeat(10_000);
        for bytes in [&b""[..], b"a 1\n", large.as_bytes()] {
            assert_eq!(decoded(&snappy(bytes), 1 << 20), Ok(bytes.to_vec()));
        }
        assert_eq!(decoded(b"", 0), Ok(Vec::new()));
    }

    #[test]
    fn reports_damage_as_go_does() {
        let whole = snappy(b"metric 12345\n");
        let block = snap::raw::Encoder::new().compress_vec(b"metric 12345\n").unwrap();
        let mut bad_crc = whole.clone();
        bad_crc[14] ^= 1;
        for (encoded, text) in [
            (&block[..], CORRUPT),
            (b"a 1\n", CORRUPT),
            (b"a", CORRUPT),
            (&whole[..5], CORRUPT),
            (&whole[..whole.len() - 1], CORRUPT),
            (&bad_crc, CORRUPT),
            (&[&whole[..10], b"\x02\0\0\0"].concat(), UNSUPPORTED),
            (&[&whole[..10], b"\x00\xff\xff\xff"].concat(), UNSUPPORTED),
            (&[&whole[..10], b"\x01\x03\0\0abc"].concat(), CORRUPT),
        ] {
            assert_eq!(decoded(encoded, 1 << 20), Err(corrupt(text)), "{encoded:?}");
        }
        let skippable = [&whole[..10], b"\x80\x02\0\0ab", &whole[10..]].concat();
        assert_eq!(decoded(&skippable, 100), Ok(b"metric 12345\n".to_vec()));
    }

    #[test]
    fn stops_at_the_bound() {
        let bomb = snappy(&vec![b'a'; 3_000_000]);
        assert_eq!(decoded(&bomb, 1_000_000), Err(DecodeError::TooLarge));
        assert_eq!(decoded(&bomb, 2_999_999), Err(DecodeError::TooLarge));
        assert_eq!(decoded(&bomb, 3_000_000).map(|bytes| bytes.len()), Ok(3_000_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn restores_what_was_encoded(seed in any::<[u8; 7]>(), len in 0..200_000_usize) {
            let bytes: Vec<u8> = seed.iter().copied().cycle().take(len).collect();
            prop_assert_eq!(decoded(&snappy(&bytes), bytes.len()), Ok(bytes));
        }
    }

    proptest! {
        #[test]
        fn survives_anything(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            let mut damaged = snappy(&bytes);
            if !damaged.is_empty() {
                let at = at % damaged.len();
                damaged[at] ^= 0x55;
            }
            drop(decoded(&damaged, 1000));
            drop(decoded(&bytes, 1000));
        }
    }
}
