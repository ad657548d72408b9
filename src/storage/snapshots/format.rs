//! The fixed parts of a snapshot file.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

pub(super) const MAGIC: &[u8; 8] = b"QG-SNAP\x01";
/// What every version's magic begins with.
pub(super) const MAGIC_STEM: &[u8; 7] = b"QG-SNAP";
pub(super) const BLOCK: u8 = 1;
pub(super) const FOOTER: u8 = 2;
pub(super) const BLOCK_BYTES_MAX: usize = 256 << 10;
pub(super) const META_BYTES_MAX: usize = 64 << 10;
/// Magic, index, term and length of meta.
pub(super) const HEADER_BYTES: usize = 8 + 8 + 8 + 4;
/// Kind and length.
pub(super) const BLOCK_HEADER_BYTES: usize = 1 + 4;
/// Items, bytes and hash.
pub(super) const FOOTER_BYTES: usize = 8 + 8 + 16;

/// The hash of a whole file. It guards against accidents: its key is arbitrary.
#[derive(Debug)]
pub(super) struct FileHash(SipHasher13);

impl FileHash {
    pub(super) fn new() -> FileHash {
        FileHash(SipHasher13::new_with_key(b"quorumgate-files"))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(super) fn value(&self) -> u128 {
        self.0.finish128().as_u128()
    }
}
