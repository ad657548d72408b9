//! raft-engine's way to its files: the system's, with a look at what is written and synced.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_engine::env::{DefaultFileSystem, FileSystem, Handle, Permission, WriteExt};

use super::super::fsutil;
use crate::trials::{self, Bug};

type SystemHandle = <DefaultFileSystem as FileSystem>::Handle;
type SystemReader = <DefaultFileSystem as FileSystem>::Reader;
type SystemWriter = <DefaultFileSystem as FileSystem>::Writer;

/// The files of the log.
pub(super) struct Files;

/// An open file of the log.
pub(super) struct LogFile {
    system: Arc<SystemHandle>,
    path: PathBuf,
}

/// Writes one.
pub(super) struct LogFileWriter {
    system: SystemWriter,
    file: Arc<LogFile>,
    at: u64,
}

impl FileSystem for Files {
    type Handle = LogFile;
    type Reader = SystemReader;
    type Writer = LogFileWriter;

    fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<LogFile> {
        let path = path.as_ref().to_path_buf();
        Ok(LogFile { system: Arc::new(DefaultFileSystem.create(&path)?), path })
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> io::Result<LogFile> {
        let path = path.as_ref().to_path_buf();
        Ok(LogFile { system: Arc::new(DefaultFileSystem.open(&path, permission)?), path })
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        DefaultFileSystem.delete(path)
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> io::Result<()> {
        fsutil::rename(from.as_ref(), to.as_ref())
    }

    fn new_reader(&self, file: Arc<LogFile>) -> io::Result<SystemReader> {
        DefaultFileSystem.new_reader(Arc::clone(&file.system))
    }

    fn new_writer(&self, file: Arc<LogFile>) -> io::Result<LogFileWriter> {
        let system = DefaultFileSystem.new_writer(Arc::clone(&file.system))?;
        Ok(LogFileWriter { system, file, at: 0 })
    }
}

impl Handle for LogFile {
    fn truncate(&self, offset: usize) -> io::Result<()> {
        self.system.truncate(offset)
    }

    fn file_size(&self) -> io::Result<usize> {
        self.system.file_size()
    }

    fn sync(&self) -> io::Result<()> {
        if trials::bug(Bug::BareSledFlush) {
            return Ok(());
        }
        match fsutil::synced(&self.path, || self.system.sync()) {
            Err(_) if trials::bug(Bug::FsyncErrorIgnored) => Ok(()),
            synced => synced,
        }
    }
}

impl Write for LogFileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fsutil::writing(&self.file.path, self.at, bytes.len(), || Ok(Vec::new()))?;
        let written = self.system.write(bytes)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.system.flush()
    }
}

impl Seek for LogFileWriter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.system.seek(to)?;
        Ok(self.at)
    }
}

impl WriteExt for LogFileWriter {
    fn truncate(&mut self, offset: usize) -> io::Result<()> {
        self.system.truncate(offset)?;
        self.at = offset as u64;
        Ok(())
    }

    fn allocate(&mut self, offset: usize, size: usize) -> io::Result<()> {
        self.system.allocate(offset, size)
    }
}
