//! Everything on disk, as bytes and indexes. It knows neither groups nor openraft; nothing else in
//! the process names raft-engine or sled.
//!
//! | under the storage folder | what | written | durable | when it is damaged |
//! |---|---|---|---|---|
//! | `LOCK` | held by the one process that works here | at start | no need | made anew |
//! | `IDENTITY` | cluster, node id, name, format version | once, at first start | before anything is served | refuse to start |
//! | `raft-log/` | entries, vote, purge marker (raft-engine) | each batch | before each answer | refuse to vote, or heal from newer verified state |
//! | `high-water` | what the Raft log had made durable | each batch | 100 ms behind | refuse to vote |
//! | `state/` | what the log adds up to (sled) | behind the apply path | at checkpoints | set aside, rebuild |
//! | `state-mark` | the write that the last checkpoint covered | each checkpoint | with it | set `state/` aside, rebuild |
//! | `state.opening` | the state database is being opened | at start | no need | – |
//! | `state.damaged-N` | the last state database set aside, for inspection | rarely | – | – |
//! | `set-aside-N/` | all of the above, of a replica that had to begin anew | then | then | for inspection only |
//! | `WITNESS` | what is known to be durable on peers | every few seconds | then | taken for empty |
//! | `MOVING` | the content is being moved aside | then | before the first move | – |
//! | `new-content/` | what an operator's command is about to put in the place of all of the above | then | before anything is moved | made anew |
//! | `snapshots/` | the two newest snapshots | now and then | before the log is purged below | fall back to the older |
//!
//! Promises:
//! - What was reported as done survives the death of the process and a power cut.
//! - What is read is what was written, or an [`Error`] or a field of [`Recovered`] says what is not.
//!   Nothing is silently shorter, older or different.
//! - One fsync serves everything that waits for one. A failed fsync is never tried again.
//! - Nothing here is asynchronous: what may block says so, and belongs on a thread for it.
//!
//! raft-engine panics when an fsync fails. The process's panic hook ends the process on it, before
//! any waiter is told; [`tolerating_panics`] tells the hook about the few panics that are answered
//! instead. Without such a hook the panic becomes an error of this and every later operation.
//!
//! Never: interpret an entry, read a clock, retry a failed write, delete the only copy of anything
//! that was acknowledged.

mod codec;
mod error;
mod folder;
mod fsutil;
mod hard_state;
mod high_water;
mod identity;
mod panics;
#[cfg(test)]
pub(crate) mod power;
mod raft_log;
mod slots;
mod snapshots;
mod state_db;
#[cfg(test)]
pub(crate) mod testing;
mod witness;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) use error::{Error, Kind};
pub(crate) use folder::Folder;
pub(crate) use identity::{Identity, NO_CLUSTER};
pub(crate) use panics::tolerating_panics;
#[cfg(test)]
pub(crate) use raft_log::{ByHand, Hands};
pub(crate) use raft_log::{Damage, Done, LostTail, Options, RaftLog, Record, Recovered};
pub(crate) use snapshots::{Encoder, Incoming, Newest, SnapshotFile, Snapshots};
pub(crate) use state_db::{Change, Item, Opened, StateDb};
pub(crate) use witness::Known;

/// Locks; a panic of another holder changes nothing, since every critical section here leaves its
/// data consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a change of what the guard protects.
fn wait<'a, T>(changed: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
