//! A small record that is overwritten in place again and again without ever being lost.
//!
//! Two slots, each in a page of its own, are written in turn. A crash in the middle of a write can
//! spoil the slot being written, never the other one. The valid slot with the higher sequence
//! counts. A record fits one disk sector, so that in practice even the slot being written survives.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::codec::{self, Fields};
use super::error::{Error, Kind, Subject, Verb};
use super::fsutil;
use crate::trials::{self, Bug};

const MAGIC: &[u8; 8] = b"QG-SLOT\x01";
const SLOT_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;
/// Magic, sequence, length and checksum around the record.
const FRAME_BYTES: usize = 8 + 8 + 2 + 4;
/// The longest record.
pub(super) const RECORD_BYTES_MAX: usize = SECTOR_BYTES - FRAME_BYTES;

/// The two-slot file.
#[derive(Debug)]
pub(super) struct Slots {
    file: File,
    path: PathBuf,
    subject: Subject,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Latest {
    /// The sequence of the newest valid record.
    pub(super) sequence: u64,
    /// The newest valid record.
    pub(super) record: Vec<u8>,
    /// Whether the other slot is spoiled: by a crash while it was written, or by damage.
    pub(super) other_spoiled: bool,
}

impl Slots {
    /// Makes the file durable with `record` at sequence 0 in both slots, replacing what was there.
    pub(super) fn create(path: &Path, subject: Subject, record: &[u8]) -> Result<(), Error> {
        let slot = frame(0, record);
        let mut content = vec![0; 2 * SLOT_BYTES];
        for half in content.chunks_exact_mut(SLOT_BYTES) {
            half.iter_mut().zip(&slot).for_each(|(to, from)| *to = *from);
        }
        fsutil::replace_file(path, &content).map_err(|e| Error::io(subject, Verb::Write, path, &e))
    }

    /// Opens the file and reads the newest record. A missing file is damage: the caller knows when
    /// there cannot be one yet.
    pub(super) fn open(path: &Path, subject: Subject) -> Result<(Slots, Latest), Error> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::damaged(subject, path, "the file is missing"));
            }
            opened => opened.map_err(|e| Error::io(subject, Verb::Open, path, &e))?,
        };
        let mut content = vec![0; 2 * SLOT_BYTES];
        file.read_exact_at(&mut content, 0).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => Error::damaged(subject, path, "the file is cut short"),
            _ => Error::io(subject, Verb::Read, path, &e),
        })?;
        let mut slots = Vec::new();
        for half in content.chunks_exact(SLOT_BYTES) {
            match unframe(half) {
                Frame::Valid(sequence, record) => slots.push((sequence, record.to_vec())),
                Frame::Spoiled => {}
                Frame::Newer => {
                    let detail = "a newer version wrote it";
                    return Err(Error::new(Kind::WrongFormat, subject, Verb::Read, path, detail));
                }
            }
        }
        let other_spoiled = slots.len() == 1;
        let newest = slots.into_iter().max_by_key(|slot| slot.0);
        let (sequence, record) = newest
            .ok_or_else(|| Error::damaged(subject, path, "neither of its two slots is valid"))?;
        let latest = Latest { sequence, record, other_spoiled };
        Ok((Slots { file, path: path.to_path_buf(), subject }, latest))
    }

    /// Overwrites the older slot. Not durable until [`Slots::sync`].
    ///
    /// # Panics
    /// When the record is longer than [`RECORD_BYTES_MAX`].
    pub(super) fn write(&self, sequence: u64, record: &[u8]) -> io::Result<()> {
        let offset = if sequence.is_multiple_of(2) { 0 } else { SLOT_BYTES as u64 };
        let slot = frame(sequence, record);
        fsutil::writing(&self.path, offset, slot.len(), || {
            let mut old = vec![0; slot.len()];
            self.file.read_exact_at(&mut old, offset)?;
            Ok(old)
        })?;
        self.file.write_all_at(&slot, offset)
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        if trials::bug(Bug::BareSledFlush) {
            return Ok(());
        }
        match fsutil::synced(&self.path, || self.file.sync_data()) {
            Err(_) if trials::bug(Bug::FsyncErrorIgnored) => Ok(()),
            synced => synced,
        }
    }

    /// An error about this file.
    pub(super) fn error(&self, verb: Verb, cause: &io::Error) -> Error {
        Error::io(self.subject, verb, &self.path, cause)
    }
}

fn frame(sequence: u64, record: &[u8]) -> Vec<u8> {
    assert!(record.len() <= RECORD_BYTES_MAX, "a slot's record fits one sector");
    let mut out = Vec::with_capacity(SECTOR_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&sequence.to_le_bytes());
    codec::put_short_bytes(&mut out, record).expect("the length was checked");
    codec::seal(&mut out);
    out
}

enum Frame<'a> {
    Valid(u64, &'a [u8]),
    Spoiled,
    Newer,
}

fn unframe(slot: &[u8]) -> Frame<'_> {
    let parse = || {
        let mut fields = Fields(slot);
        let magic: [u8; 8] = fields.array()?;
        let sequence = fields.u64()?;
        let record = fields.short_bytes()?;
        let sealed = slot.get(..FRAME_BYTES + record.len())?;
        codec::unseal(sealed)?;
        Some((magic, sequence, record))
    };
    match parse() {
        Some((magic, sequence, record)) if magic == *MAGIC => Frame::Valid(sequence, record),
        Some((magic, ..)) if magic.starts_with(b"QG-SLOT") => Frame::Newer,
        _ => Frame::Spoiled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latest(path: &Path) -> Result<Latest, Error> {
        Slots::open(path, Subject::HighWater).map(|opened| opened.1)
    }

    #[test]
    fn the_newest_record_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots");
        assert_eq!(latest(&path).unwrap_err().kind, Kind::Damaged);
        Slots::create(&path, Subject::HighWater, b"zero").unwrap();
        let (slots, first) = Slots::open(&path, Subject::HighWater).unwrap();
        assert_eq!(first, Latest { sequence: 0, record: b"zero".to_vec(), other_spoiled: false });
        for sequence in 1..=5_u64 {
            slots.write(sequence, &sequence.to_le_bytes()).unwrap();
            let read = latest(&path).unwrap();
            assert_eq!((read.sequence, read.record), (sequence, sequence.to_le_bytes().to_vec()));
        }
        slots.sync().unwrap();
    }

    #[test]
    fn any_spoiled_byte_yields_an_older_record_or_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots");
        Slots::create(&path, Subject::HighWater, b"zero").unwrap();
        let (slots, _) = Slots::open(&path, Subject::HighWater).unwrap();
        slots.write(6, b"six").unwrap();
        slots.write(7, b"seven").unwrap();
        let good = std::fs::read(&path).unwrap();
        for offset in 0..60 {
            for bit in 0..8 {
                let mut spoiled = good.clone();
                spoiled[SLOT_BYTES + offset] ^= 1 << bit;
                std::fs::write(&path, &spoiled).unwrap();
                match latest(&path) {
                    Ok(read) if read.sequence == 7 => assert_eq!(read.record, b"seven"),
                    Ok(read) => assert_eq!((read.sequence, read.other_spoiled), (6, true)),
                    Err(e) => assert_eq!(e.kind, Kind::WrongFormat),
                }
                spoiled[offset] ^= 1 << bit;
                std::fs::write(&path, &spoiled).unwrap();
                if let Ok(read) = latest(&path) {
                    assert!(offset >= FRAME_BYTES + 3 && read.record.len() >= 3, "{offset}");
                }
            }
        }
        std::fs::write(&path, &good[..SLOT_BYTES]).unwrap();
        assert_eq!(latest(&path).unwrap_err().kind, Kind::Damaged);
    }
}
