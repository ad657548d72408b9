//! Decoding of compressed request bodies, bounded while decoding.
//!
//! Error texts are those of the Go libraries that upstream uses, since they reach clients.

use super::budget::{Exhausted, Lease};

pub(super) mod gzip;
pub(super) mod snappy;

/// Why a body was not decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// The body is not what its encoding claims; the text is for the client.
    Corrupt(String),
    /// It would become longer than allowed.
    TooLarge,
    /// All requests together hold as much memory as they may.
    Exhausted,
}

impl From<Exhausted> for DecodeError {
    fn from(Exhausted: Exhausted) -> DecodeError {
        DecodeError::Exhausted
    }
}

fn corrupt(text: &str) -> DecodeError {
    DecodeError::Corrupt(text.to_owned())
}

const UNEXPECTED_EOF: &str = "unexpected EOF";

/// A decoded body under construction: it grows step by step, never past its bounds.
struct Output<'a> {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// What the request holds beside the decoded body.
    base_bytes: usize,
    lease: &'a mut Lease,
}

const GROWTH_BYTES_MIN: usize = 16 << 10;

impl<'a> Output<'a> {
    fn new(encoded_len: usize, bytes_max: usize, lease: &'a mut Lease) -> Output<'a> {
        Output { bytes: Vec::new(), bytes_max, base_bytes: encoded_len, lease }
    }

    /// Makes room for more; the room may exceed the bound by one byte, which tells that it is
    /// exceeded.
    fn make_room(&mut self) -> Result<(), DecodeError> {
        if self.bytes.len() > self.bytes_max {
            return Err(DecodeError::TooLarge);
        }
        if self.bytes.len() < self.bytes.capacity() {
            return Ok(());
        }
        let wanted = self.bytes.len().saturating_mul(2).max(GROWTH_BYTES_MIN);
        let wanted = wanted.min(self.bytes_max.saturating_add(1));
        self.lease.grow_to(self.base_bytes.saturating_add(wanted))?;
        self.bytes.reserve_exact(wanted - self.bytes.len());
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, DecodeError> {
        if self.bytes.len() > self.bytes_max { Err(DecodeError::TooLarge) } else { Ok(self.bytes) }
    }
}
