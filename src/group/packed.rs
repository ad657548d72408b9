//! Encoded metrics as they are kept: compressed, since the series of a family repeat each other's
//! labels.

use std::borrow::Cow;

/// Snappy never makes more of its bytes: a copy of 64 bytes takes three.
const RATIO_MAX: usize = 22;

/// Encoded metrics (see [`crate::exposition::wire`]), as one raw block of snappy where that is
/// shorter.
#[derive(Debug)]
pub(crate) struct Packed {
    bytes: Box<[u8]>,
    len: usize,
}

impl Packed {
    pub(crate) fn new(metrics: &[u8]) -> Packed {
        // It fails only beyond 4 GiB, and then they are kept as they are.
        let mut room = vec![0; snap::raw::max_compress_len(metrics.len())];
        let compressed = snap::raw::Encoder::new().compress(metrics, &mut room).ok();
        let shorter =
            compressed.and_then(|len| room.get(..len)).filter(|c| c.len() < metrics.len());
        Packed { bytes: Box::from(shorter.unwrap_or(metrics)), len: metrics.len() }
    }

    /// Bytes of the metrics, unpacked.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn unpack(&self) -> Cow<'_, [u8]> {
        match self.compressed() {
            None => Cow::Borrowed(&self.bytes),
            Some(block) => Cow::Owned(unpack(block).expect("it was compressed here")),
        }
    }

    /// The block of snappy, if that is how they are kept.
    pub(crate) fn compressed(&self) -> Option<&[u8]> {
        (self.bytes.len() < self.len).then_some(&*self.bytes)
    }
}

/// Reads a block of snappy. None if it is damaged.
pub(crate) fn unpack(block: &[u8]) -> Option<Vec<u8>> {
    let len = snap::raw::decompress_len(block).ok()?;
    if len > block.len().saturating_mul(RATIO_MAX) {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(block).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn unpacks_what_was_packed(
            piece in prop::collection::vec(any::<u8>(), 0..200),
            times in 0_usize..50,
        ) {
            let metrics = piece.repeat(times);
            let packed = Packed::new(&metrics);
            prop_assert_eq!(packed.len(), metrics.len());
            prop_assert_eq!(&*packed.unpack(), &metrics[..]);
            prop_assert!(packed.bytes.len() <= metrics.len());
            if let Some(block) = packed.compressed() {
                prop_assert_eq!(unpack(block), Some(metrics));
            }
        }

        #[test]
        fn damage_is_noticed_or_stays_small(block in prop::collection::vec(any::<u8>(), 0..200)) {
            let unpacked = unpack(&block);
            prop_assert!(unpacked.is_none_or(|bytes| bytes.len() <= RATIO_MAX * block.len()));
        }
    }

    #[test]
    fn the_best_that_snappy_can_do_is_within_the_bound() {
        let metrics = vec![b'x'; 1 << 20];
        let packed = Packed::new(&metrics);
        assert!(packed.compressed().is_some_and(|block| block.len() * 20 < metrics.len()));
        assert_eq!(*packed.unpack(), *metrics);
    }
}
