//! The files around sled: its folder, the mark of the last flush, the marker of an open under way.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::super::error::{Error, Subject, Verb};
use super::super::panics::{self, Scope};
use super::super::slots::Slots;
use super::super::{Folder, fsutil};
use super::aside_path;

/// Where things are.
#[derive(Debug, Clone)]
pub(super) struct Files {
    parent: PathBuf,
    state: PathBuf,
    mark: PathBuf,
    opening: PathBuf,
    /// Blob files are written once, so each is synced once.
    synced_blobs: BTreeSet<OsString>,
}

impl Files {
    pub(super) fn of(folder: &Folder) -> Files {
        let (parent, state) = (folder.path().to_path_buf(), folder.state());
        let (mark, opening) = (parent.join("state-mark"), parent.join("state.opening"));
        Files { parent, state, mark, opening, synced_blobs: BTreeSet::new() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.state
    }

    pub(super) fn error(&self, verb: Verb, detail: &str) -> Error {
        Error::io(Subject::State, verb, &self.state, &io::Error::other(detail.to_owned()))
    }

    /// Neither the folder nor the mark is there.
    pub(super) fn is_new(&self) -> Result<bool, Error> {
        let there = fs::exists(&self.state).and_then(|state| Ok(state || fs::exists(&self.mark)?));
        Ok(!there.map_err(|e| self.error(Verb::Open, &e.to_string()))?)
    }

    pub(super) fn create_mark(&self) -> Result<(), Error> {
        Slots::create(&self.mark, Subject::State, &[])
    }

    /// The mark, and the write that the last flush covered.
    pub(super) fn open_mark(&self) -> Result<(Slots, u64), Error> {
        let (mark, latest) = Slots::open(&self.mark, Subject::State)?;
        Ok((mark, latest.sequence))
    }

    pub(super) fn last_open_failed(&self) -> bool {
        self.opening.exists()
    }

    /// Runs something that opens sled and may panic, end the process or hang. A marker tells the
    /// next start about the last two.
    pub(super) fn guard<T>(&self, work: impl FnOnce() -> T) -> Result<Result<T, String>, Error> {
        let io = |e: io::Error| self.error(Verb::Open, &e.to_string());
        File::create(&self.opening).map_err(io)?;
        let result = panics::catching(Scope::Sled, work);
        fs::remove_file(&self.opening).map_err(io)?;
        Ok(result)
    }

    /// Moves the database out of the way, keeping only this one for inspection.
    pub(super) fn set_aside(&self) -> Result<(), Error> {
        let io = |e: io::Error| self.error(Verb::Write, &e.to_string());
        let older = self.set_aside_before().map_err(io)?;
        let number = older.iter().map(|(number, _)| *number).max().unwrap_or(0) + 1;
        match fs::rename(&self.state, aside_path(&self.state, number)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(io)?,
        }
        fsutil::sync_dir(&self.parent).map_err(io)?;
        for (_, path) in older {
            // What cannot be removed costs space only.
            drop(fs::remove_dir_all(path));
        }
        Ok(())
    }

    /// Removes the database, which nobody needs any more.
    pub(super) fn remove(&self) -> Result<(), Error> {
        let io = |e: io::Error| self.error(Verb::Write, &e.to_string());
        match fs::remove_dir_all(&self.state) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(io)?,
        }
        fsutil::sync_dir(&self.parent).map_err(io)
    }

    fn set_aside_before(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.parent)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix("state.damaged-"));
            if let Some(number) = number.and_then(|n| n.parse().ok()) {
                found.push((number, entry.path()));
            }
        }
        Ok(found)
    }

    /// Makes the names of sled's files durable; sled itself never does.
    pub(super) fn sync_names(&self) -> Result<(), Error> {
        let sync = || {
            fsutil::sync_dir(&self.state.join("blobs"))?;
            fsutil::sync_dir(&self.state)?;
            fsutil::sync_dir(&self.parent)
        };
        sync().map_err(|e| self.error(Verb::Sync, &e.to_string()))
    }

    /// Makes what sled wrote to its files durable; its own flush does not.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.state)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                sync_data(&entry.path())?;
            }
        }
        let blobs = self.state.join("blobs");
        let mut present = BTreeSet::new();
        for entry in fs::read_dir(&blobs)? {
            let entry = entry?;
            if !self.synced_blobs.contains(&entry.file_name()) {
                sync_data(&entry.path())?;
            }
            present.insert(entry.file_name());
        }
        if present != self.synced_blobs {
            fsutil::sync_dir(&blobs)?;
            self.synced_blobs = present;
        }
        fsutil::sync_dir(&self.state)
    }
}

/// sled removes files when it likes; one that is gone needs no sync.
fn sync_data(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.sync_data(),
    }
}
