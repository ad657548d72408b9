//! Reading a snapshot, trusting nothing in it before its checksum fits.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::codec::{self, Fields};
use super::super::error::{Error, Kind, Subject, Verb};
use super::format::{
    BLOCK, BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, FOOTER, FOOTER_BYTES, FileHash, HEADER_BYTES,
    MAGIC, MAGIC_STEM, META_BYTES_MAX,
};
use super::{SnapshotFile, measure};

/// The items of a snapshot, in order. After an error, and after the last item, there are no more;
/// the whole file is proven right only once the last item was followed by nothing.
#[derive(Debug)]
pub(crate) struct Items {
    file: BufReader<File>,
    path: PathBuf,
    head: Head,
    hash: FileHash,
    /// The rest of the current block.
    block: Vec<u8>,
    block_at: usize,
    item_count: u64,
    bytes: u64,
    ended: bool,
}

#[derive(Debug, Clone)]
struct Head {
    index: u64,
    term: u64,
    meta: Bytes,
}

/// Reads a whole file and tells what it is.
pub(super) fn verify(path: &Path) -> Result<SnapshotFile, Error> {
    let mut items = Items::open(path)?;
    while items.skip_item()? {}
    let measured = measure(items.file.get_ref());
    let (bytes, created) = measured.map_err(|e| items.io(&e))?;
    let Head { index, term, meta } = items.head;
    Ok(SnapshotFile { index, term, meta, path: items.path, bytes, created })
}

impl Items {
    pub(super) fn open(path: &Path) -> Result<Items, Error> {
        let file = File::open(path);
        let file = file.map_err(|e| Error::io(Subject::Snapshot, Verb::Open, path, &e))?;
        let mut items = Items {
            file: BufReader::with_capacity(64 << 10, file),
            path: path.to_path_buf(),
            head: Head { index: 0, term: 0, meta: Bytes::new() },
            hash: FileHash::new(),
            block: Vec::new(),
            block_at: 0,
            item_count: 0,
            bytes: 0,
            ended: false,
        };
        items.head = items.header()?;
        Ok(items)
    }

    fn header(&mut self) -> Result<Head, Error> {
        let mut header = self.exact(HEADER_BYTES)?;
        let mut fields = Fields(&header);
        let cut = || self.damaged("its header is cut short");
        let magic: [u8; 8] = fields.array().ok_or_else(cut)?;
        if magic != *MAGIC {
            if magic.starts_with(MAGIC_STEM) {
                let detail = "a newer version wrote it, or its first bytes are damaged";
                let kind = Kind::WrongFormat;
                return Err(Error::new(kind, Subject::Snapshot, Verb::Read, &self.path, detail));
            }
            return Err(self.damaged("it is no snapshot"));
        }
        let (index, term) = fields.u64().zip(fields.u64()).ok_or_else(cut)?;
        let meta_len = fields.u32().and_then(|len| usize::try_from(len).ok());
        let meta_len = meta_len.filter(|len| *len <= META_BYTES_MAX);
        let meta_len = meta_len.ok_or_else(|| self.damaged("its header is unreadable"))?;
        let rest = self.exact(meta_len + 4)?;
        header.extend_from_slice(&rest);
        let body = codec::unseal(&header);
        let body = body.ok_or_else(|| self.damaged("the checksum of its header does not fit"))?;
        let meta = Bytes::copy_from_slice(body.get(HEADER_BYTES..).unwrap_or_default());
        self.hash.update(&header);
        Ok(Head { index, term, meta })
    }

    /// Reads the next item, if there is one.
    fn item(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some(len) = self.item_len()? else { return Ok(None) };
        // The announced length is only a promise: memory is taken as the bytes arrive.
        let mut item = Vec::with_capacity(len.min(BLOCK_BYTES_MAX));
        while item.len() < len {
            let part = self.stream(len - item.len())?;
            item.extend_from_slice(part);
        }
        self.item_count += 1;
        Ok(Some(item))
    }

    /// Reads over the next item; whether there was one.
    fn skip_item(&mut self) -> Result<bool, Error> {
        let Some(mut len) = self.item_len()? else { return Ok(false) };
        while len > 0 {
            len -= self.stream(len)?.len();
        }
        self.item_count += 1;
        Ok(true)
    }

    fn item_len(&mut self) -> Result<Option<usize>, Error> {
        if self.ended || (self.block_at == self.block.len() && !self.next_block()?) {
            return Ok(None);
        }
        let mut encoded = [0; 4];
        let mut filled = 0;
        while filled < encoded.len() {
            let part = self.stream(encoded.len() - filled)?;
            let len = part.len();
            encoded.iter_mut().skip(filled).zip(part).for_each(|(to, from)| *to = *from);
            filled += len;
        }
        let len = usize::try_from(u32::from_le_bytes(encoded));
        len.map(Some).map_err(|_| self.damaged("an item is too long"))
    }

    /// The next bytes of the item stream: at least one, at most `max`.
    fn stream(&mut self, max: usize) -> Result<&[u8], Error> {
        if self.block_at == self.block.len() && !self.next_block()? {
            return Err(self.damaged("it ends within an item"));
        }
        let start = self.block_at;
        let end = start.saturating_add(max).min(self.block.len());
        self.block_at = end;
        self.bytes += (end - start) as u64;
        Ok(self.block.get(start..end).unwrap_or_default())
    }

    /// Reads the next block; `false` after the footer, once all that it says was found true.
    fn next_block(&mut self) -> Result<bool, Error> {
        let mut kind = self.exact(1)?;
        match kind.first() {
            Some(&BLOCK) => {}
            Some(&FOOTER) => return self.footer(kind).map(|()| false),
            _ => return Err(self.damaged("a block has an unknown kind")),
        }
        kind.append(&mut self.exact(BLOCK_HEADER_BYTES - 1)?);
        let len = Fields(kind.get(1..).unwrap_or_default()).u32();
        let len = len.and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|len| (1..=BLOCK_BYTES_MAX).contains(len));
        let len = len.ok_or_else(|| self.damaged("a block has an impossible length"))?;
        let mut sealed = kind;
        sealed.append(&mut self.exact(len + 4)?);
        if codec::unseal(&sealed).is_none() {
            return Err(self.damaged("the checksum of a block does not fit"));
        }
        self.hash.update(&sealed);
        sealed.truncate(BLOCK_HEADER_BYTES + len);
        self.block = sealed;
        self.block_at = BLOCK_HEADER_BYTES;
        Ok(true)
    }

    fn footer(&mut self, mut sealed: Vec<u8>) -> Result<(), Error> {
        sealed.append(&mut self.exact(FOOTER_BYTES + 4)?);
        let body = codec::unseal(&sealed);
        let body = body.ok_or_else(|| self.damaged("the checksum of its footer does not fit"))?;
        let mut fields = Fields(body.get(1..).unwrap_or_default());
        let found = (Some(self.item_count), Some(self.bytes), Some(self.hash.value()));
        if (fields.u64(), fields.u64(), fields.u128()) != found {
            return Err(self.damaged("it is not what its footer says"));
        }
        match self.file.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(self.damaged("something follows its footer")),
            Err(e) => return Err(self.io(&e)),
        }
        self.ended = true;
        Ok(())
    }

    /// Exactly `len` bytes; `len` has been checked against a limit.
    fn exact(&mut self, len: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; len];
        self.file.read_exact(&mut bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it is cut short"),
            _ => self.io(&e),
        })?;
        Ok(bytes)
    }

    fn damaged(&self, detail: &str) -> Error {
        Error::damaged(Subject::Snapshot, &self.path, detail)
    }

    fn io(&self, cause: &io::Error) -> Error {
        Error::io(Subject::Snapshot, Verb::Read, &self.path, cause)
    }
}

impl Iterator for Items {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.item();
        self.ended |= item.is_err();
        item.transpose()
    }
}
