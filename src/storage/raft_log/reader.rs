//! The thread that reads entries back from the log's files.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::super::error::{Error, Verb};
use super::engine::LogEngine;
use super::{Damage, Record, closed};

/// Reads waiting at once; one more waits for a place.
const WAITING_MAX: usize = 64;

/// The one reader of an engine's entries.
pub(super) struct Reader {
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// For errors only: callers never read through it.
    engine: Arc<LogEngine>,
}

enum Request {
    Read { range: Range<u64>, bytes_max: usize, answer: SyncSender<Result<Vec<Record>, Error>> },
    Verify { range: Range<u64>, answer: SyncSender<Option<Damage>> },
}

impl Reader {
    pub(super) fn start(engine: Arc<LogEngine>) -> Result<Reader, Error> {
        let (requests, received) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new().name("raft-log-read".into()).spawn({
            let engine = engine.clone();
            move || serve(&engine, &received)
        });
        let thread = thread.map_err(|e| engine.failed(Verb::Open, &e))?;
        Ok(Reader { requests: Some(requests), thread: Some(thread), engine })
    }

    /// Reads entries that are all there, in order, until `bytes_max` is reached but at least one.
    pub(super) fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Record>, Error> {
        self.ask(|answer| Request::Read { range, bytes_max, answer })?
    }

    /// Reads and checks every entry of a range.
    pub(super) fn verify(&self, range: Range<u64>) -> Result<Option<Damage>, Error> {
        self.ask(|answer| Request::Verify { range, answer })
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Result<T, Error> {
        let (answer, answered) = sync_channel(1);
        let sent = self.requests.as_ref().and_then(|r| r.send(request(answer)).ok());
        let received = sent.and_then(|()| answered.recv().ok());
        received.ok_or_else(|| self.engine.failed(Verb::Read, &closed()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(engine: &LogEngine, requests: &Receiver<Request>) {
    // Whoever asked may have gone; then nobody misses the answer.
    while let Ok(request) = requests.recv() {
        match request {
            Request::Read { range, bytes_max, answer } => {
                drop(answer.send(read(engine, range, bytes_max)));
            }
            Request::Verify { range, answer } => drop(answer.send(verify(engine, range))),
        }
    }
}

fn read(engine: &LogEngine, range: Range<u64>, bytes_max: usize) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    let mut bytes = 0;
    for index in range {
        let record = engine.read(index).map_err(|e| engine.damaged_entry(index, &e))?;
        bytes += record.bytes.len();
        if bytes > bytes_max && !records.is_empty() {
            break;
        }
        records.push(record);
    }
    Ok(records)
}

fn verify(engine: &LogEngine, range: Range<u64>) -> Option<Damage> {
    let mut found: Option<Damage> = None;
    for index in range {
        if let Err(detail) = engine.read(index) {
            let damage = found.get_or_insert(Damage { first: index, last: index, detail });
            damage.last = index;
        }
    }
    found
}
