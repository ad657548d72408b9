//! Keeps the state database close behind the applied state, on a thread of its own.
//!
//! The database spares a restart the replay of the log; it is never the only copy of anything.
//! So changes are collected and written some time after they were applied, each time as one atomic
//! batch together with the position that they add up to, and trouble with the database never
//! holds up a push: it is set aside and written anew.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::group::View;
use crate::storage::{self, Folder, StateDb};

use super::machine::{Machine, Position};

/// How long changes are collected before they are written.
const INTERVAL: Duration = Duration::from_millis(500);
/// Changes that are written at once. sled keeps a copy of a page for each until they are all written,
/// and what is freed then leaves holes between what stays.
const PIECE_CHANGES: usize = 512;
/// How long a failed database is left alone before it is written anew.
const RECREATE_PAUSE: Duration = Duration::from_secs(10);
/// How many times its size sled may take on disk until it has cleaned up.
const WRITE_AMPLIFICATION: u64 = 3;
/// Bytes of the state that are encoded at once while it is written from scratch.
const REWRITE_BATCH_BYTES: usize = 1 << 20;
/// Orders waiting; they are rare, and each is answered or needs no answer.
const ORDERS_MAX: usize = 16;

/// The key of the log position among the state machine's own items.
pub(crate) const POSITION_KEY: &[u8] = b"position";

enum Order {
    /// Write everything and make it durable.
    Checkpoint(oneshot::Sender<()>),
    /// The whole state was replaced.
    StartAnew,
    /// Write everything, make it durable and end.
    Stop,
}

/// The handle of the writing thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct StateWriter {
    orders: SyncSender<Order>,
    up: Arc<AtomicBool>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl StateWriter {
    /// Starts the thread. Without a database (`None`), one is written from scratch at once.
    pub(crate) fn start(
        db: Option<StateDb>,
        folder: Arc<Folder>,
        machine: Arc<Machine>,
        disk_free_min: u64,
    ) -> std::io::Result<StateWriter> {
        let (orders, incoming) = sync_channel(ORDERS_MAX);
        let up = Arc::new(AtomicBool::new(db.is_some()));
        let taken = machine.position().index();
        let thread = Thread {
            db,
            folder,
            machine,
            pending: BTreeMap::new(),
            taken,
            disk_free_min,
            retry_at: Instant::now(),
            up: Arc::clone(&up),
        };
        let handle = std::thread::Builder::new()
            .name("state-db".to_owned())
            .spawn(move || thread.run(&incoming))?;
        Ok(StateWriter { orders, up, thread: Arc::new(Mutex::new(Some(handle))) })
    }

    /// Of a replica that has no state database.
    #[cfg(test)]
    pub(crate) fn absent() -> StateWriter {
        let (orders, _) = sync_channel(ORDERS_MAX);
        StateWriter { orders, up: Arc::default(), thread: Arc::default() }
    }

    /// Whether the database takes what it is given.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Makes the database durable up to now.
    pub(crate) async fn checkpoint(&self) {
        let (done, finished) = oneshot::channel();
        if self.orders.try_send(Order::Checkpoint(done)).is_ok() {
            // An error means that the thread has ended, which leaves nothing to wait for.
            let _ended = finished.await;
        }
    }

    /// Writes the database from scratch, since the state was replaced.
    pub(crate) fn start_anew(&self) {
        // The channel is only full or closed when the thread is about to write or gone.
        let _full = self.orders.try_send(Order::StartAnew);
    }

    /// Writes what is left, makes it durable and ends the thread.
    pub(crate) fn stop(&self) {
        let _gone = self.orders.send(Order::Stop);
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            // A panic of the thread has already been reported and has aborted the process.
            let _ended = handle.join();
        }
    }
}

struct Thread {
    db: Option<StateDb>,
    folder: Arc<Folder>,
    machine: Arc<Machine>,
    /// Items that the database does not have yet, by key.
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The position that the database and what is pending add up to.
    taken: Option<u64>,
    /// Free disk space that is left to the log.
    disk_free_min: u64,
    retry_at: Instant,
    up: Arc<AtomicBool>,
}

impl Thread {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = orders.recv_timeout(INTERVAL);
            if matches!(order, Ok(Order::StartAnew)) {
                self.db = None;
                self.retry_at = Instant::now();
            }
            self.write();
            match order {
                Ok(Order::Checkpoint(done)) => {
                    self.flush();
                    let _gone = done.send(());
                }
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return self.flush(),
                Ok(Order::StartAnew) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn write(&mut self) {
        let Some(db) = &mut self.db else { return self.recreate() };
        if self.machine.position().index() != self.taken {
            let changes = self.machine.take_changes();
            self.pending.extend(changes.dirty.into_items());
            self.pending.extend([position_item(&changes.position)]);
            self.taken = changes.position.index();
        }
        let written = if self.pending.is_empty() {
            db.tidy()
        } else {
            let bytes = self.pending.values().flatten().map(Vec::len).sum::<usize>() as u64;
            // sled writes a small item together with its neighbours, which may be all there is.
            let bytes = bytes.saturating_add(self.machine.view().state_bytes());
            if !has_room(&self.folder, self.disk_free_min, bytes) {
                return;
            }
            let mut pieces = pieces(std::mem::take(&mut self.pending)).into_iter();
            pieces.try_for_each(|piece| db.write(piece))
        };
        if let Err(err) = written {
            self.give_up(&err);
        }
    }

    fn flush(&mut self) {
        if let Some(db) = &mut self.db
            && let Err(err) = db.flush()
        {
            self.give_up(&err);
        }
    }

    fn give_up(&mut self, err: &storage::Error) {
        tracing::error!(
            err = %err,
            retry_seconds = RECREATE_PAUSE.as_secs(),
            "the state database failed and will be written anew; no push is affected"
        );
        self.db = None;
        // What has failed for want of space must not keep the space that the next one needs.
        if let Err(err) = StateDb::discard(&self.folder) {
            tracing::warn!(err = %err, "the failed state database cannot be removed");
        }
        self.retry_at = Instant::now() + RECREATE_PAUSE;
        self.up.store(false, Ordering::Relaxed);
    }

    fn recreate(&mut self) {
        let bytes = self.machine.view().state_bytes();
        if Instant::now() < self.retry_at || !has_room(&self.folder, self.disk_free_min, bytes) {
            return;
        }
        let mut db = match StateDb::rewrite(&self.folder) {
            Ok(db) => db,
            Err(err) => return self.give_up(&err),
        };
        let (view, position) = self.machine.restart_changes();
        match write_all(&mut db, &view, &position) {
            Ok(()) => {
                self.db = Some(db);
                self.pending.clear();
                self.taken = position.index();
                self.up.store(true, Ordering::Relaxed);
            }
            Err(err) => self.give_up(&err),
        }
    }
}

/// Cuts changes into pieces that are written one after the other. With more than one, the position is
/// gone from the first to the last, so that nobody takes a part for the whole.
fn pieces(mut changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Vec<Vec<storage::Change>> {
    let position = changes.remove_entry(POSITION_KEY);
    let no_position = (POSITION_KEY.to_vec(), None);
    let parts = changes.len().div_ceil(PIECE_CHANGES);
    let mut changes = Some(no_position).filter(|_| parts > 1).into_iter().chain(changes);
    let part = || changes.by_ref().take(PIECE_CHANGES).collect::<Vec<_>>();
    let mut pieces: Vec<_> = std::iter::repeat_with(part).take_while(|p| !p.is_empty()).collect();
    match pieces.last_mut() {
        Some(last) => last.extend(position),
        None => pieces.push(position.into_iter().collect()),
    }
    pieces
}

/// Writes the whole state, a bounded piece at a time. The position comes last: whoever opens a
/// database without one knows that it was not finished.
pub(super) fn write_all(
    db: &mut StateDb,
    view: &View,
    position: &Position,
) -> Result<(), storage::Error> {
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for item in view.items() {
        bytes += item.key.len() + item.value.len();
        piece.push((item.key.into(), Some(item.value.into())));
        if bytes >= REWRITE_BATCH_BYTES {
            db.write(std::mem::take(&mut piece))?;
            bytes = 0;
        }
    }
    piece.push(position_item(position));
    db.write(piece)
}

/// Whether the disk can take `bytes` of the state, which sled may write several times over, and
/// leave the log its reserve.
fn has_room(folder: &Folder, disk_free_min: u64, bytes: u64) -> bool {
    let needed = disk_free_min.saturating_add(bytes.saturating_mul(WRITE_AMPLIFICATION));
    folder.free_bytes().is_ok_and(|free| free >= needed)
}

fn position_item(position: &Position) -> storage::Change {
    (POSITION_KEY.to_vec(), Some(position.encode().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    #[test]
    fn a_part_of_the_changes_never_has_a_position() {
        let before = BTreeMap::from([(POSITION_KEY.to_vec(), vec![1])]);
        for count in [0, 1, PIECE_CHANGES, PIECE_CHANGES + 1, 3 * PIECE_CHANGES] {
            let items = (0..count).map(|i| (format!("z{i:05}").into_bytes(), Some(vec![3])));
            let position = (POSITION_KEY.to_vec(), Some(vec![2]));
            let changes: Changes = items.chain([position]).collect();
            let (mut db, pieces) = (before.clone(), pieces(changes.clone()));
            let last = pieces.len() - 1;
            for (at, piece) in pieces.into_iter().enumerate() {
                assert!(piece.len() <= PIECE_CHANGES + 1);
                for (key, value) in piece {
                    match value {
                        Some(value) => drop(db.insert(key, value)),
                        None => drop(db.remove(&key)),
                    }
                }
                assert_eq!(db.contains_key(POSITION_KEY), at == last);
            }
            let written: Changes = db.into_iter().map(|(key, value)| (key, Some(value))).collect();
            assert_eq!(written, changes);
        }
    }
}
