//! The storage folder: its lock, its layout and its first start.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::{Error, Kind, Subject, Verb};
use super::hard_state::HardState;
use super::identity::{self, Identity};
use super::slots::Slots;
use super::witness::{self, Known};
use super::{fsutil, high_water};
use crate::trials::{self, Place};

/// Stands in the folder while its content is being moved aside.
const MOVING: &str = "MOVING";

/// Where new content is made before it takes the place of the old.
const NEW_CONTENT: &str = "new-content";

/// Everything that is moved aside, and what of it new content has. The identity is last: as long as
/// it is not there, nothing of the rest is in use.
const CONTENT: [&str; 7] =
    ["raft-log", "high-water", "state", "state-mark", "snapshots", "WITNESS", "IDENTITY"];

/// Numbers that the folders for what is moved aside may have.
const ASIDES_MAX: u32 = 10_000;

/// A storage folder that this process alone works on.
///
/// First start: [`Folder::lock`], [`Folder::identity`] says `None`, [`Folder::initialise`]. The
/// mark and an empty log folder are made first and the identity last, so that an identity proves
/// that they were there: if one of them is missing later, that is damage and not a new disk.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held for as long as the folder is in use; the lock ends with the process, however it ends.
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process, creating it if need be.
    pub(crate) fn lock(path: &Path) -> Result<Folder, Error> {
        let io = |e| Error::io(Subject::Folder, Verb::Open, path, &e);
        fsutil::create_dir(path).map_err(io)?;
        let lock_path = path.join("LOCK");
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&lock_path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Folder { path: path.to_path_buf(), _lock: file }),
            Err(TryLockError::WouldBlock) => {
                let detail = "another process holds its lock";
                Err(Error::new(Kind::InUse, Subject::Folder, Verb::Open, path, detail))
            }
            Err(TryLockError::Error(e)) => Err(io(e)),
        }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The identity, or `None` when the folder holds nothing of ours yet.
    ///
    /// A missing identity beside data is damage: taking it for a new disk would let this replica
    /// vote twice in one term.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, Error> {
        self.resume_moving()?;
        self.resume_taking_over()?;
        let path = self.path.join("IDENTITY");
        if let Some(identity) = identity::read(&path)? {
            for (needed, subject) in
                [(self.high_water(), Subject::HighWater), (self.raft_log(), Subject::RaftLog)]
            {
                if !needed.exists() {
                    return Err(Error::damaged(subject, &needed, "it is missing"));
                }
            }
            return Ok(Some(identity));
        }
        match self.data_found()? {
            None => Ok(None),
            Some(found) => {
                let detail = format!("the file is missing beside {}", found.display());
                Err(Error::damaged(Subject::Identity, &path, detail))
            }
        }
    }

    /// Makes a folder that [`Folder::identity`] found empty ready for use, durably.
    pub(crate) fn initialise(&self, identity: &Identity) -> Result<(), Error> {
        self.prepare()?;
        self.identify(identity)
    }

    /// The first half of [`Folder::initialise`]: makes an empty log, with its mark.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        high_water::create(&self.high_water())?;
        let log = self.raft_log();
        fsutil::create_dir(&log).map_err(|e| Error::io(Subject::RaftLog, Verb::Open, &log, &e))
    }

    /// Changes who the folder says it is, durably and atomically.
    pub(crate) fn identify(&self, identity: &Identity) -> Result<(), Error> {
        let io = |e| Error::io(Subject::Identity, Verb::Write, &self.path, &e);
        trials::at(Place::IdentityWriteBefore).map_err(io)?;
        identity::write(&self.path.join("IDENTITY"), identity)?;
        trials::at(Place::IdentityWriteAfter).map_err(io)
    }

    /// Moves everything aside, so that the folder is as new, and tells where it is now. Cut short,
    /// it is completed by [`Folder::identity`] at the next start.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, Error> {
        let io = |path: &Path, e| Error::io(Subject::Folder, Verb::Write, path, &e);
        let mut asides = self.asides();
        let free = asides.find(|path| !path.exists());
        let aside = free.unwrap_or_else(|| self.path.join("set-aside"));
        fsutil::create_dir(&aside).map_err(|e| io(&aside, e))?;
        let marker = self.path.join(MOVING);
        fsutil::replace_file(&marker, aside.as_os_str().as_encoded_bytes())
            .map_err(|e| io(&marker, e))?;
        self.finish_moving(&aside)?;
        Ok(aside)
    }

    /// An empty folder within this one, for content that is to take the place of what is here.
    pub(crate) fn new_content(&self) -> Result<Folder, Error> {
        let path = self.path.join(NEW_CONTENT);
        if path.exists() {
            // Of a command that was cut short: nothing else was ever made of it.
            fs::remove_dir_all(&path)
                .map_err(|e| Error::io(Subject::Folder, Verb::Write, &path, &e))?;
        }
        Folder::lock(&path)
    }

    /// Takes over the complete content that was made in [`Folder::new_content`], once nothing else is
    /// here any more. Cut short, it is completed by [`Folder::identity`].
    pub(crate) fn take_over(&self, new: Folder) -> Result<(), Error> {
        drop(new);
        self.finish_taking_over()
    }

    /// Completes what a process that died before or in [`Folder::take_over`] had begun: content that
    /// has an identity is complete.
    fn resume_taking_over(&self) -> Result<(), Error> {
        let here = self.path.join("IDENTITY").exists();
        let waits = self.path.join(NEW_CONTENT).join("IDENTITY").exists();
        if waits && !here { self.finish_taking_over() } else { Ok(()) }
    }

    fn finish_taking_over(&self) -> Result<(), Error> {
        let io = |path: &Path, e| Error::io(Subject::Folder, Verb::Write, path, &e);
        let new = self.path.join(NEW_CONTENT);
        for name in CONTENT {
            let (from, to) = (new.join(name), self.path.join(name));
            if from.exists() {
                fsutil::sync_dir(&self.path).map_err(|e| io(&self.path, e))?;
                fs::rename(&from, &to).map_err(|e| io(&to, e))?;
            }
        }
        fsutil::sync_dir(&self.path).map_err(|e| io(&self.path, e))?;
        fs::remove_dir_all(&new).map_err(|e| io(&new, e))
    }

    /// Where things may be moved aside to.
    fn asides(&self) -> impl Iterator<Item = PathBuf> {
        (1..=ASIDES_MAX).map(|number| self.path.join(format!("set-aside-{number}")))
    }

    /// Completes what a process that died in [`Folder::set_aside`] had begun.
    fn resume_moving(&self) -> Result<(), Error> {
        let marker = self.path.join(MOVING);
        let newest = self.asides().take_while(|path| path.exists()).last();
        match newest {
            Some(aside) if marker.exists() => self.finish_moving(&aside),
            _ => Ok(()),
        }
    }

    fn finish_moving(&self, aside: &Path) -> Result<(), Error> {
        let io = |path: &Path, e| Error::io(Subject::Folder, Verb::Write, path, &e);
        // The identity goes last but one: as long as it is here, so is the marker.
        for name in CONTENT {
            let path = self.path.join(name);
            if path.exists() {
                fsutil::rename(&path, &aside.join(name)).map_err(|e| io(&path, e))?;
            }
        }
        fsutil::sync_dir(aside).map_err(|e| io(aside, e))?;
        fsutil::sync_dir(&self.path).map_err(|e| io(&self.path, e))?;
        let marker = self.path.join(MOVING);
        fs::remove_file(&marker).map_err(|e| io(&marker, e))?;
        fsutil::sync_dir(&self.path).map_err(|e| io(&self.path, e))
    }

    /// What is known to be durable on other replicas.
    pub(crate) fn known(&self) -> Result<Known, Error> {
        witness::read(&self.path.join("WITNESS"))
    }

    /// Keeps what is known to be durable on other replicas.
    pub(crate) fn remember(&self, known: &Known) -> Result<(), Error> {
        witness::write(&self.path.join("WITNESS"), known)
    }

    /// Where the Raft log is.
    pub(crate) fn raft_log(&self) -> PathBuf {
        self.path.join("raft-log")
    }

    /// Where the high-water mark is.
    pub(crate) fn high_water(&self) -> PathBuf {
        self.path.join("high-water")
    }

    /// Where the state database is.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Where the snapshots are.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// Bytes that can still be written to its file system.
    pub(crate) fn free_bytes(&self) -> Result<u64, Error> {
        fsutil::free_bytes(&self.path)
            .map_err(|e| Error::io(Subject::Folder, Verb::Read, &self.path, &e))
    }

    /// Something that only a folder in use has. What an interrupted first start leaves (a mark that
    /// never moved and an empty log folder) is not.
    fn data_found(&self) -> Result<Option<PathBuf>, Error> {
        for dir in [self.raft_log(), self.state(), self.snapshots()] {
            let found = fsutil::has_entries(&dir)
                .map_err(|e| Error::io(Subject::Folder, Verb::Read, &dir, &e))?;
            if found {
                return Ok(Some(dir));
            }
        }
        let mark = self.high_water();
        if !fs::exists(&mark).map_err(|e| Error::io(Subject::HighWater, Verb::Read, &mark, &e))? {
            return Ok(None);
        }
        let (_, latest) = Slots::open(&mark, Subject::HighWater)?;
        let untouched =
            latest.sequence == 0 && HardState::decode(&latest.record) == Some(HardState::default());
        Ok((!untouched).then_some(mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_identity() -> Identity {
        Identity { cluster: [1; 16], node: 5, name: "a".into() }
    }

    #[test]
    fn two_holders_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("storage");
        let first = Folder::lock(&path).unwrap();
        assert_eq!(Folder::lock(&path).unwrap_err().kind, Kind::InUse);
        drop(first);
        assert!(Folder::lock(&path).is_ok());
    }

    #[test]
    fn a_first_start_can_be_interrupted_anywhere() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path()).unwrap();
        assert_eq!(folder.identity().unwrap(), None);
        high_water::create(&folder.high_water()).unwrap();
        assert_eq!(folder.identity().unwrap(), None);
        fs::create_dir(folder.raft_log()).unwrap();
        assert_eq!(folder.identity().unwrap(), None);
        fs::write(dir.path().join("IDENTITY.tmp"), b"half").unwrap();
        assert_eq!(folder.identity().unwrap(), None);
        folder.initialise(&new_identity()).unwrap();
        assert_eq!(folder.identity().unwrap(), Some(new_identity()));
    }

    #[test]
    fn new_content_takes_the_place_of_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::lock(dir.path()).unwrap();
        folder.initialise(&new_identity()).unwrap();
        fs::write(folder.raft_log().join("old"), b"x").unwrap();
        // Left by one that was cut short.
        folder.new_content().unwrap().initialise(&new_identity()).unwrap();
        let (new, other) = (folder.new_content().unwrap(), Identity { node: 6, ..new_identity() });
        assert_eq!(new.identity().unwrap(), None);
        new.initialise(&other).unwrap();
        assert_eq!(folder.identity().unwrap(), Some(new_identity()), "not yet");
        let aside = folder.set_aside().unwrap();
        // Cut short in the middle, and completed by a start.
        fs::rename(new.raft_log(), folder.raft_log()).unwrap();
        assert_eq!(folder.identity().unwrap(), Some(other));
        drop(new);
        let new = folder.new_content().unwrap();
        new.initialise(&new_identity()).unwrap();
        folder.set_aside().unwrap();
        folder.take_over(new).unwrap();
        assert_eq!(folder.identity().unwrap(), Some(new_identity()));
        assert!(aside.join("raft-log/old").exists() && !folder.raft_log().join("old").exists());
        assert!(!dir.path().join(NEW_CONTENT).exists());
    }

    #[test]
    fn a_missing_part_is_damage_and_not_a_new_disk() {
        let cases: [(&str, Subject); 3] = [
            ("IDENTITY", Subject::Identity),
            ("high-water", Subject::HighWater),
            ("raft-log", Subject::RaftLog),
        ];
        for (part, subject) in cases {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder::lock(dir.path()).unwrap();
            folder.initialise(&new_identity()).unwrap();
            fs::write(folder.raft_log().join("0000000000000001.raftlog"), b"x").unwrap();
            let path = dir.path().join(part);
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            let error = folder.identity().unwrap_err();
            assert_eq!((error.kind, error.subject), (Kind::Damaged, subject), "{part}");
        }
    }
}
