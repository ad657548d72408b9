//! Who this replica is: the `IDENTITY` file. It belongs to the disk, not to the machine or its name.

use std::path::Path;
use std::{fs, io};

use super::codec::{self, Fields};
use super::error::{Error, Kind, Subject, Verb};
use super::fsutil;

const MAGIC: &[u8; 8] = b"QG-IDENT";
/// The version of everything on disk. A newer one is refused, an older one is read.
pub(crate) const FORMAT: u32 = 1;
const NAME_BYTES_MAX: usize = 1024;

/// In place of the cluster of a replica that waits for one.
pub(crate) const NO_CLUSTER: [u8; 16] = [0; 16];

/// The identity that a storage folder got at its first start and keeps for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster this replica belongs to, random; [`NO_CLUSTER`] until it has one.
    pub(crate) cluster: [u8; 16],
    /// This replica's id in the cluster, random, never 0 and never used again for another disk.
    pub(crate) node: u64,
    /// The name that the operator knows it by.
    pub(crate) name: String,
}

/// Reads the file; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Identity>, Error> {
    let content = match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|e| Error::io(Subject::Identity, Verb::Read, path, &e))?,
    };
    let damaged = |detail| Error::damaged(Subject::Identity, path, detail);
    let body = codec::unseal(&content).ok_or_else(|| damaged("its checksum does not fit"))?;
    let mut fields = Fields(body);
    if fields.array() != Some(*MAGIC) {
        return Err(damaged("it is no identity file"));
    }
    let format = fields.u32().ok_or_else(|| damaged("it is cut short"))?;
    if format > FORMAT {
        let detail = format!("its format is {format}, this version knows {FORMAT}");
        return Err(Error::new(Kind::WrongFormat, Subject::Identity, Verb::Read, path, detail));
    }
    let mut parse = || {
        let (cluster, node) = (fields.array()?, fields.u64()?);
        let name = String::from_utf8(fields.short_bytes()?.to_vec()).ok()?;
        (node != 0 && fields.0.is_empty()).then_some(Identity { cluster, node, name })
    };
    parse().map(Some).ok_or_else(|| damaged("its fields do not fit"))
}

/// Writes the file durably and atomically.
pub(super) fn write(path: &Path, identity: &Identity) -> Result<(), Error> {
    let invalid = |text: &str| {
        let cause = io::Error::new(io::ErrorKind::InvalidInput, text);
        Error::io(Subject::Identity, Verb::Write, path, &cause)
    };
    if identity.node == 0 {
        return Err(invalid("the node id is 0"));
    }
    if identity.name.len() > NAME_BYTES_MAX {
        return Err(invalid("the replica's name is longer than 1024 bytes"));
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&identity.cluster);
    out.extend_from_slice(&identity.node.to_le_bytes());
    codec::put_short_bytes(&mut out, identity.name.as_bytes()).expect("the length was checked");
    codec::seal(&mut out);
    fsutil::replace_file(path, &out)
        .map_err(|e| Error::io(Subject::Identity, Verb::Write, path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { cluster: [7; 16], node: 42, name: "gate-0".into() }
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("IDENTITY");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, &identity()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(identity()));
        assert!(write(&path, &Identity { node: 0, ..identity() }).is_err());
        assert!(write(&path, &Identity { name: "x".repeat(2000), ..identity() }).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("IDENTITY");
        write(&path, &identity()).unwrap();
        let good = fs::read(&path).unwrap();
        for offset in 0..good.len() {
            for bit in 0..8 {
                let mut spoiled = good.clone();
                spoiled[offset] ^= 1 << bit;
                fs::write(&path, &spoiled).unwrap();
                assert_eq!(read(&path).unwrap_err().kind, Kind::Damaged, "{offset} {bit}");
            }
            fs::write(&path, &good[..offset]).unwrap();
            assert_eq!(read(&path).unwrap_err().kind, Kind::Damaged, "cut at {offset}");
        }
    }

    #[test]
    fn a_newer_format_is_refused_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("IDENTITY");
        write(&path, &identity()).unwrap();
        let mut content = fs::read(&path).unwrap();
        content.truncate(content.len() - 4);
        content[8] = 9;
        codec::seal(&mut content);
        fs::write(&path, &content).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind, Kind::WrongFormat);
        assert!(error.to_string().contains("its format is 9"), "{error}");
    }
}
