//! What runs beside the requests: when a snapshot is due, what may be purged, how full the disk is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::storage::Folder;

use super::disk_space::DiskSpace;
use super::log_meter::LogMeter;
use super::log_tail::LogTail;
use super::machine::Machine;
use super::snapshot::Snapshots;
use super::types::{LogId, Raft, TypeConfig};

const INTERVAL: Duration = Duration::from_millis(250);

/// When a snapshot is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Entries applied since the newest snapshot.
    pub(crate) entries: u64,
    /// Bytes of log written since the newest snapshot.
    pub(crate) bytes: u64,
}

pub(crate) struct Parts {
    pub(crate) raft: Raft,
    pub(crate) folder: Arc<Folder>,
    pub(crate) meter: Arc<LogMeter>,
    pub(crate) tail: Arc<LogTail>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) disk_space: Arc<DiskSpace>,
    pub(crate) policy: Policy,
}

/// The running task.
pub(crate) struct Housekeeping {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<Option<()>>>>,
}

/// Starts the task.
pub(crate) fn start(parts: Parts) -> Housekeeping {
    let stop = CancellationToken::new();
    let task = tokio::spawn(stop.clone().run_until_cancelled_owned(run(parts)));
    Housekeeping { stop, task: Mutex::new(Some(task)) }
}

impl Housekeeping {
    /// Ends the task and waits until it has let go of everything.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // It only fails by a panic, which has already been reported.
            let _ended = task.await;
        }
    }
}

async fn run(parts: Parts) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = SinceSnapshot::default();
    let mut disk_unknown = false;
    loop {
        ticks.tick().await;
        watch_disk(&parts, &mut disk_unknown);
        parts.tail.age();
        if let Err(err) = state.tend(&parts).await {
            // The replica's own watch on Raft reports the failure and stops the process.
            tracing::debug!(err = %err, "housekeeping ends");
            return;
        }
    }
}

/// Asks how much space is free; `unknown` is whether that could not be told the last time, so that
/// trouble that lasts is logged once.
fn watch_disk(parts: &Parts, unknown: &mut bool) {
    let free = parts.folder.free_bytes();
    let was_unknown = std::mem::replace(unknown, free.is_err());
    match free {
        Ok(free) => {
            parts.disk_space.set_free(free);
            if was_unknown {
                tracing::info!(free, "it can be told again how much disk space is free");
            }
        }
        Err(err) if !was_unknown => {
            tracing::warn!(err = %err, "cannot tell how much disk space is free");
        }
        Err(_) => {}
    }
}

/// What has been logged since the newest snapshot.
#[derive(Default)]
struct SinceSnapshot {
    snapshot: Option<u64>,
    bytes_before: u64,
    /// Whether the next snapshot has been asked for.
    asked: bool,
    /// Whether it was said that the next snapshot has to wait for disk space.
    held_back: bool,
}

impl SinceSnapshot {
    async fn tend(&mut self, parts: &Parts) -> Result<(), openraft::errors::Fatal<TypeConfig>> {
        let (applied, snapshot, purged) = {
            let metrics = parts.raft.metrics();
            let metrics = metrics.borrow_watched();
            let index = |id: &Option<LogId>| id.map(|id| id.index);
            (index(&metrics.last_applied), index(&metrics.snapshot), index(&metrics.purged))
        };
        let appended = parts.meter.bytes();
        if snapshot != self.snapshot {
            if self.held_back {
                tracing::info!(index = snapshot, "the snapshot that was held back is made");
            }
            *self = SinceSnapshot { snapshot, bytes_before: appended, ..SinceSnapshot::default() };
        }
        let entries = applied.unwrap_or(0).saturating_sub(snapshot.unwrap_or(0));
        let bytes = appended.saturating_sub(self.bytes_before);
        let due = entries >= parts.policy.entries || bytes >= parts.policy.bytes;
        // A snapshot that cannot be written would stop Raft; a snapshot is about the state's size.
        let needed = parts.machine.view().state_bytes().saturating_mul(2);
        let needed = parts.disk_space.reserve().saturating_add(needed);
        let free = parts.disk_space.free();
        let room = free.is_none_or(|free| free >= needed);
        if due && entries > 0 && room {
            self.bytes_before = appended;
            self.asked = true;
            parts.raft.trigger().snapshot().await?;
        } else if due && entries > 0 && !self.asked && !self.held_back {
            // A snapshot being written takes space as well, and is not held back by that.
            self.held_back = true;
            tracing::warn!(free, needed, "no disk space for a snapshot; the log grows meanwhile");
        }
        // The log is kept down to the second newest snapshot, so that one damaged snapshot file
        // and a damaged state database together still leave a way to the whole state.
        let keep_above = parts.snapshots.second_newest_index();
        match keep_above {
            Some(upto) if purged.is_none_or(|purged| purged < upto) => {
                parts.raft.trigger().purge_log(upto).await
            }
            _ => Ok(()),
        }
    }
}
