//! Pieces of a gzip body that are compressed apart and joined later.
//!
//! Each piece is a run of deflate blocks that refers to nothing before it and ends at a byte
//! boundary. So pieces can be put one behind the other in any selection; the checksum of the whole
//! follows from the checksums of the pieces.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

/// How hard to compress. Pieces are small and often changed: level 6 would make a scrape a fifth
/// smaller for three times the work.
const LEVEL: u32 = 1;
/// The most that a stored block holds.
const STORED_BLOCK_MAX: usize = 0xffff;
/// Identification, deflate, no flags, no time, no hint, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty block that ends the stream.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A compressed piece.
#[derive(Debug, Clone)]
pub(crate) struct Deflated {
    pub(crate) bytes: Bytes,
    checksum: Checksum,
    /// Bytes that were compressed.
    len: usize,
}

/// The CRC-32 of some bytes, and what it takes to put them behind others.
///
/// As polynomials over GF(2), the checksum of two pieces is that of the first, times x to the number
/// of bits of the second, plus that of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Checksum {
    crc: u32,
    shift: u32,
}

/// The polynomial of CRC-32. The lowest power is the highest bit, as everywhere below.
const POLYNOMIAL: u32 = 0xedb8_8320;
/// The polynomial 1.
const ONE: u32 = 1 << 31;
/// The polynomial x^8: one byte.
const BYTE: u32 = 1 << 23;

impl Checksum {
    fn of(bytes: &[u8]) -> Checksum {
        let (mut shift, mut square, mut left) = (ONE, BYTE, bytes.len());
        while left > 0 {
            if left % 2 == 1 {
                shift = product(shift, square);
            }
            square = product(square, square);
            left /= 2;
        }
        Checksum { crc: crc32fast::hash(bytes), shift }
    }
}

/// The product of two polynomials, modulo that of CRC-32.
fn product(a: u32, mut b: u32) -> u32 {
    let mut sum = 0;
    for power in (0..u32::BITS).rev() {
        // Without branches: the bits are as good as random.
        sum ^= b & ((a >> power) & 1).wrapping_neg();
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    sum
}

/// Compresses pieces.
#[derive(Debug)]
pub(crate) struct Deflater {
    state: Compress,
}

impl Default for Deflater {
    fn default() -> Self {
        Deflater { state: Compress::new(Compression::new(LEVEL), false) }
    }
}

impl Deflater {
    /// Compresses one piece. The same bytes always give the same piece.
    pub(crate) fn deflate(&mut self, plain: &[u8]) -> Deflated {
        let bytes = if plain.is_empty() {
            Vec::new()
        } else {
            self.try_deflate(plain).unwrap_or_else(|| store(plain))
        };
        let checksum = Checksum::of(plain);
        Deflated { bytes: Bytes::from(bytes.into_boxed_slice()), checksum, len: plain.len() }
    }

    fn try_deflate(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        self.state.reset();
        let mut out = Vec::with_capacity(plain.len() / 3 + 64);
        loop {
            let consumed = usize::try_from(self.state.total_in()).ok()?;
            let status =
                self.state.compress_vec(plain.get(consumed..)?, &mut out, FlushCompress::Sync);
            if status.ok()? != Status::Ok {
                return None;
            }
            // Room left means that the flush is complete.
            if out.len() < out.capacity() && self.state.total_in() == plain.len() as u64 {
                return Some(out);
            }
            out.reserve(plain.len() / 4 + 64);
        }
    }
}

/// Wraps bytes in blocks that are not compressed.
fn store(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() + 5);
    for block in plain.chunks(STORED_BLOCK_MAX) {
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    out
}

/// The frame around the pieces of a gzip body.
#[derive(Debug)]
pub(crate) struct Gzip {
    /// CRC-32 of everything so far, 0 of nothing.
    crc: u32,
    len: usize,
}

impl Gzip {
    /// What comes before the first piece.
    pub(crate) fn begin() -> (Self, &'static [u8]) {
        (Gzip { crc: 0, len: 0 }, &GZIP_HEADER)
    }

    /// Takes account of a piece.
    pub(crate) fn add(&mut self, piece: &Deflated) {
        self.crc = product(self.crc, piece.checksum.shift) ^ piece.checksum.crc;
        self.len += piece.len;
    }

    /// What comes behind the last piece.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = LAST_BLOCK.to_vec();
        out.extend_from_slice(&self.crc.to_le_bytes());
        // By definition the length modulo 2^32.
        let len = u32::try_from(self.len as u64 & u64::from(u32::MAX)).unwrap_or_default();
        out.extend_from_slice(&len.to_le_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn joined<'a>(pieces: impl IntoIterator<Item = &'a Deflated>) -> Vec<u8> {
        let (mut gzip, header) = Gzip::begin();
        let mut out = header.to_vec();
        for piece in pieces {
            gzip.add(piece);
            out.extend_from_slice(&piece.bytes);
        }
        out.extend_from_slice(&gzip.finish());
        out
    }

    fn gunzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::bufread::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    fn samples() -> Vec<Vec<u8>> {
        let noise = |len: usize| {
            let step = |x: &mut u32| {
                *x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Some((*x >> 24) as u8)
            };
            std::iter::successors(Some(1_u32), |x| Some(x.wrapping_mul(1_664_525) + 1))
                .scan(7, move |seed, _| step(seed))
                .take(len)
                .collect::<Vec<u8>>()
        };
        vec![
            vec![],
            b"a".to_vec(),
            b"push_time_seconds{instance=\"\",job=\"j\"} 1\n".repeat(1000),
            noise(100),
            noise(200_000),
            vec![0; 1 << 20],
        ]
    }

    #[test]
    fn any_selection_of_pieces_is_a_gzip_file() {
        let samples = samples();
        let mut deflater = Deflater::default();
        let pieces: Vec<Deflated> = samples.iter().map(|s| deflater.deflate(s)).collect();
        assert_eq!(gunzip(&joined([])), b"");
        for (sample, piece) in samples.iter().zip(&pieces) {
            assert_eq!(&gunzip(&joined([piece])), sample);
        }
        assert_eq!(gunzip(&joined(&pieces)), samples.concat());
        let reversed = samples.iter().rev().flatten().copied().collect::<Vec<u8>>();
        assert_eq!(gunzip(&joined(pieces.iter().rev())), reversed);
    }

    #[test]
    fn a_piece_does_not_depend_on_what_was_compressed_before() {
        let samples = samples();
        let mut used = Deflater::default();
        for sample in samples.iter().chain(samples.iter().rev()) {
            let fresh = Deflater::default().deflate(sample);
            assert_eq!(used.deflate(sample).bytes, fresh.bytes);
        }
    }

    #[test]
    fn stored_blocks_are_a_fallback() {
        for sample in samples() {
            let mut piece = Deflater::default().deflate(&sample);
            piece.bytes = store(&sample).into();
            assert_eq!(gunzip(&joined([&piece])), sample);
        }
    }
}
