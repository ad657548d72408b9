//! What the Raft log remembers beside its entries, as one small record.
//!
//! Every batch written to the log carries the whole record, and the high-water mark keeps a copy of
//! the newest durable one. So vote, purge point and log end can never be of different ages, and
//! comparing two sequences tells whether the log lost anything at all.

use bytes::Bytes;

use super::codec::{self, Fields};
use super::slots;

/// The longest encoded vote, committed id or purge marker.
pub(crate) const FIELD_BYTES_MAX: usize = 128;

const _: () = assert!(ENCODED_BYTES_MAX <= slots::RECORD_BYTES_MAX);
const ENCODED_BYTES_MAX: usize = 3 * 8 + 3 * (3 + FIELD_BYTES_MAX) + 4;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct HardState {
    /// Counts the batches written; 0 before the first.
    pub(super) sequence: u64,
    /// The lowest index that is not purged.
    pub(super) first: u64,
    /// One past the highest index. Equal to `first` when the log is empty.
    pub(super) next: u64,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    pub(super) marker: Option<Bytes>,
}

impl HardState {
    /// Encodes with a checksum. The fields must not exceed [`FIELD_BYTES_MAX`].
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENCODED_BYTES_MAX);
        for number in [self.sequence, self.first, self.next] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for field in [&self.vote, &self.committed, &self.marker] {
            out.push(u8::from(field.is_some()));
            let bytes = field.as_deref().unwrap_or_default();
            codec::put_short_bytes(&mut out, bytes).expect("fields are checked when submitted");
        }
        codec::seal(&mut out);
        out
    }

    /// Decodes; `None` for anything that [`HardState::encode`] did not produce.
    pub(super) fn decode(sealed: &[u8]) -> Option<HardState> {
        let mut fields = Fields(codec::unseal(sealed)?);
        let (sequence, first, next) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let mut field = || {
            let present = fields.array::<1>()? != [0];
            let bytes = Bytes::copy_from_slice(fields.short_bytes()?);
            Some(present.then_some(bytes))
        };
        let (vote, committed, marker) = (field()?, field()?, field()?);
        let whole = fields.0.is_empty() && first <= next;
        whole.then_some(HardState { sequence, first, next, vote, committed, marker })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(
            proptest::collection::vec(any::<u8>(), 0..=FIELD_BYTES_MAX).prop_map(Bytes::from),
        )
    }

    proptest! {
        #[test]
        fn decoding_reverses_encoding_and_notices_flips(
            sequence: u64, first: u64, more: u64, vote in field(), committed in field(),
            marker in field(), at: prop::sample::Index, bit in 0_u8..8,
        ) {
            let next = first.saturating_add(more);
            let state = HardState { sequence, first, next, vote, committed, marker };
            let mut encoded = state.encode();
            prop_assert!(encoded.len() <= slots::RECORD_BYTES_MAX);
            prop_assert_eq!(HardState::decode(&encoded), Some(state));
            let offset = at.index(encoded.len());
            encoded[offset] ^= 1 << bit;
            prop_assert_eq!(HardState::decode(&encoded), None);
        }
    }
}
