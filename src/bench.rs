//! What the benchmarks in `benches/` call that is nobody else's business. No promise is made here.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::storage::{Folder, Identity, Options, RaftLog, Record};

/// The Raft log without a Raft around it.
#[derive(Debug)]
pub struct Log {
    inner: RaftLog,
    next: Mutex<u64>,
    _folder: Folder,
}

impl Log {
    /// Makes a log in a new folder, with the options of one in use. `synced` is told of each fsync.
    pub fn create(path: &Path, synced: Box<dyn Fn() + Send + Sync>) -> io::Result<Log> {
        let folder = Folder::lock(path).map_err(io::Error::other)?;
        let identity = Identity { cluster: [1; 16], node: 1, name: "bench".to_owned() };
        folder.initialise(&identity).map_err(io::Error::other)?;
        let options = Options { on_sync: Box::new(move |_, _, _| synced()), ..Options::default() };
        let opened = RaftLog::open(&folder.raft_log(), &folder.high_water(), options);
        let (log, _new) = opened.map_err(io::Error::other)?;
        Ok(Log { inner: log, next: Mutex::new(1), _folder: folder })
    }

    /// Appends an entry; `done` is told once it is durable.
    pub fn append(&self, bytes: Bytes, done: Box<dyn FnOnce(io::Result<()>) + Send>) {
        // Held until the entry is in the queue: the order of indexes is the order of submission.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.inner.append(vec![Record { index: *next, bytes }], done);
        *next += 1;
    }
}
