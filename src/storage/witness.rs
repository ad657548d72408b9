//! What this replica knows to be durable on its peers: the `WITNESS` file.
//!
//! A replica whose disk was put back to an old copy cannot tell by itself; its peers can. What they
//! know must outlive them, and need not be the latest: it is a lower bound.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use super::codec::{self, Fields};
use super::error::{Error, Subject, Verb};
use super::fsutil;

const MAGIC: &[u8; 8] = b"QG-WITN1";

/// Log indexes by node id.
pub(crate) type Known = BTreeMap<u64, u64>;

/// Reads the file. A file that is missing or damaged knows nothing.
pub(super) fn read(path: &Path) -> Result<Known, Error> {
    let content = match fs::read(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Known::new()),
        read => read.map_err(|err| Error::io(Subject::Witness, Verb::Read, path, &err))?,
    };
    Ok(parse(&content).unwrap_or_default())
}

fn parse(content: &[u8]) -> Option<Known> {
    let mut fields = Fields(codec::unseal(content)?);
    if fields.array() != Some(*MAGIC) {
        return None;
    }
    let mut known = Known::new();
    while !fields.0.is_empty() {
        known.insert(fields.u64()?, fields.u64()?);
    }
    Some(known)
}

/// Writes the file durably and atomically.
pub(super) fn write(path: &Path, known: &Known) -> Result<(), Error> {
    let mut out = MAGIC.to_vec();
    for (node, index) in known {
        out.extend_from_slice(&node.to_le_bytes());
        out.extend_from_slice(&index.to_le_bytes());
    }
    codec::seal(&mut out);
    fsutil::replace_file(path, &out)
        .map_err(|err| Error::io(Subject::Witness, Verb::Write, path, &err))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_damage_knows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("WITNESS");
        assert!(read(&path).unwrap().is_empty());
        let known = Known::from([(7, 100), (u64::MAX, 3)]);
        write(&path, &known).unwrap();
        assert_eq!(read(&path).unwrap(), known);
        let good = fs::read(&path).unwrap();
        for offset in 0..good.len() {
            let mut spoiled = good.clone();
            spoiled[offset] ^= 1;
            fs::write(&path, &spoiled).unwrap();
            assert!(read(&path).unwrap().is_empty(), "{offset}");
            fs::write(&path, &good[..offset]).unwrap();
            assert!(read(&path).unwrap().is_empty(), "cut at {offset}");
        }
    }
}
