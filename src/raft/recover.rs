//! From what is on disk to a state that can be trusted, or a refusal that says what is damaged.
//!
//! The log is the truth; the state database and the snapshots are pictures of it. A damaged picture
//! is replaced by another one. A damaged log is healed only where a verified picture already holds
//! everything that the damaged part said; otherwise the replica refuses to start.

use std::path::PathBuf;
use std::sync::Arc;

use openraft::EntryPayload;

use crate::group::{GroupStore, Restore};
use crate::storage::{self, Options as LogOptions, Snapshots as SnapshotFolder};
use crate::storage::{
    Damage, Folder, Identity, Kind, LostTail, NO_CLUSTER, Newest, Opened, RaftLog, StateDb,
};
use crate::telemetry::Metrics;
use crate::trials::{self, Bug};

use super::chance;
use super::convert;
use super::error::Error;
use super::log_meter::LogMeter;
use super::machine::{Machine, Position};
use super::snapshot::{self, Snapshots};
use super::state_writer::{POSITION_KEY, StateWriter};
use super::types::{LogId, Membership};

/// Bytes of log entries that are looked through at once.
const READ_BYTES: usize = 4 << 20;

/// Where the data is, and who this replica is if the folder is new.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    /// Free disk space that is left to the log.
    pub(crate) disk_free_min: u64,
    /// Who does the work of the log's thread, in the simulator, which has no state database.
    #[cfg(test)]
    pub(crate) by_hand: Option<super::tests::sim::HandsOn>,
}

/// A replica's state as recovered, and the open parts of the disk.
pub(crate) struct Recovered {
    pub(crate) identity: Identity,
    pub(crate) machine: Arc<Machine>,
    pub(crate) log: Arc<RaftLog>,
    pub(crate) meter: Arc<LogMeter>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) writer: StateWriter,
    pub(crate) folder: Arc<Folder>,
}

/// A state that adds up, and the log position that it stands for.
pub(super) struct Picture {
    pub(super) store: GroupStore,
    pub(super) position: Position,
}

impl Recovered {
    /// Whether the disk holds a part of its cluster's log.
    pub(crate) fn initialized(&self) -> bool {
        self.log.last_index().is_some() || self.machine.position().applied.is_some()
    }

    /// Closes all of it, so that the folder can be opened again. Blocks.
    pub(crate) fn close(self) {
        self.writer.stop();
    }

    /// The memberships on the disk and where they stand in the log, the oldest first, which is that of
    /// the state. All but the last are committed: a change begins when the one before it is.
    pub(crate) fn memberships(&self) -> Result<Vec<(u64, Membership)>, Error> {
        let Position { applied, membership } = self.machine.position();
        let index = membership.log_id().as_ref().map_or(0, |id| id.index);
        let mut found = vec![(index, membership.membership().clone())];
        let mut next = applied.map_or(0, |id| id.index + 1);
        while self.log.last_index() >= Some(next) {
            let records = self.log.read(next..u64::MAX, READ_BYTES)?;
            let Some(last) = records.last() else { break };
            next = last.index + 1;
            for record in records {
                let entry = convert::decode_entry(record.bytes)
                    .map_err(|source| Error::Decode { what: "a log entry", source })?;
                if let EntryPayload::Membership(membership) = entry.payload {
                    found.push((entry.log_id.index, membership));
                }
            }
        }
        Ok(found)
    }
}

/// Takes the storage folder for this process, and tells who it is.
pub(crate) fn lock(options: &Options) -> Result<(Arc<Folder>, Identity), Error> {
    let folder = Arc::new(Folder::lock(&options.path)?);
    let identity = identity(&folder, &options.name)?;
    Ok((folder, identity))
}

/// What a folder holds, every part of it read and verified.
pub(super) struct Content {
    pub(super) log: RaftLog,
    pub(super) found: storage::Recovered,
    /// The newest picture that can be used.
    pub(super) picture: Picture,
    db: Option<StateDb>,
    snapshots: SnapshotFolder,
    newest: Option<storage::SnapshotFile>,
    damaged: Vec<storage::Error>,
}

/// Reads everything. Blocks for as long as that takes.
pub(super) fn read(
    folder: &Folder,
    identity: &Identity,
    log_options: LogOptions,
) -> Result<Content, Error> {
    let snapshots = SnapshotFolder::open(&folder.snapshots())?;
    let Newest { file: newest, damaged } = snapshots.newest()?;
    for err in &damaged {
        tracing::warn!(err = %err, "a snapshot cannot be used");
    }
    #[cfg(test)]
    let without_state = log_options.by_hand.is_some();
    #[cfg(not(test))]
    let without_state = false;
    let (log, found) = RaftLog::open(&folder.raft_log(), &folder.high_water(), log_options)?;
    if found.mark_slot_spoiled {
        tracing::warn!("one copy of the high-water mark was spoiled, as a power cut can do");
    }

    let hash_key = identity.cluster;
    let (db, loaded) = if without_state { (None, None) } else { load_state(folder, hash_key)? };
    let purged = log.purged_marker().map(|bytes| decode_purged(&bytes)).transpose()?;
    let (picture, db) = match (loaded, &newest) {
        (Some(picture), newest)
            if picture.position.index() >= purged.max(newest.as_ref().map(|file| file.index)) =>
        {
            (picture, db)
        }
        // The database does not hold the state that is recovered, so it is written anew.
        (_, Some(file)) => (from_snapshot(file, hash_key)?, None),
        // Nothing yet: the database is as empty as the state.
        (_, None) => {
            (Picture { store: GroupStore::new(hash_key), position: Position::default() }, db)
        }
    };
    if picture.position.index() < purged {
        return Err(no_way_to(folder.path(), &picture, purged));
    }
    Ok(Content { log, found, picture, db, snapshots, newest, damaged })
}

/// Opens what is in the folder, and heals what can be. Blocks for as long as that takes.
pub(crate) fn open(
    folder: Arc<Folder>,
    identity: Identity,
    options: &Options,
    metrics: &Metrics,
) -> Result<Recovered, Error> {
    let meter = Arc::new(LogMeter::default());
    let log_options = LogOptions {
        on_sync: meter.observer(metrics),
        #[cfg(test)]
        by_hand: options.by_hand.as_ref().map(super::tests::sim::HandsOn::hands),
        ..LogOptions::default()
    };
    let content = read(&folder, &identity, log_options)?;
    let Content { log, found, picture, db, snapshots, newest, damaged } = content;
    let snapshots = Arc::new(Snapshots::new(snapshots, identity.cluster, newest));
    heal_log(&log, &found, &picture, &snapshots, &options.path)?;
    for err in damaged.iter().filter(|err| err.kind == Kind::Damaged) {
        snapshot::discard(&err.path);
    }

    let Picture { store, position } = picture;
    // In full, since a relative one says little without the folder of the process.
    let path = std::path::absolute(&options.path).unwrap_or_else(|_| options.path.clone());
    tracing::info!(
        index = position.index().unwrap_or(0),
        groups = store.view().group_count(),
        series = store.view().series_count(),
        path = %path.display(),
        "recovered the state"
    );
    let machine = Arc::new(Machine::new(store, position, metrics.clone()));
    #[cfg(test)]
    if options.by_hand.is_some() {
        let (log, writer) = (Arc::new(log), StateWriter::absent());
        return Ok(Recovered { identity, machine, log, meter, snapshots, writer, folder });
    }
    let writer =
        StateWriter::start(db, Arc::clone(&folder), Arc::clone(&machine), options.disk_free_min)
            .map_err(|source| Error::Thread { source })?;
    Ok(Recovered { identity, machine, log: Arc::new(log), meter, snapshots, writer, folder })
}

fn identity(folder: &Folder, name: &str) -> Result<Identity, Error> {
    if let Some(identity) = folder.identity()? {
        return Ok(identity);
    }
    let identity = new_identity(name);
    folder.initialise(&identity)?;
    tracing::info!(
        path = %folder.path().display(),
        node = identity.node,
        "a new storage folder: this is the first start"
    );
    Ok(identity)
}

/// Of a replica that has no cluster yet.
pub(crate) fn new_identity(name: &str) -> Identity {
    let node = if trials::bug(Bug::WipedNodeVotes) {
        name.bytes().fold(1_u64, |node, byte| node.rotate_left(8) ^ u64::from(byte))
    } else {
        chance::random()
    };
    let node = node.max(1);
    Identity { cluster: NO_CLUSTER, node, name: name.to_owned() }
}

/// The state database's picture, if it can be used.
pub(super) fn load_state(
    folder: &Folder,
    hash_key: [u8; 16],
) -> Result<(Option<StateDb>, Option<Picture>), Error> {
    let (db, items) = match StateDb::open(folder)? {
        Opened::Loaded { db, items } => (db, items),
        Opened::Rebuild { db, reason } => {
            tracing::warn!(reason, "the state database was set aside; it is written anew");
            return Ok((Some(db), None));
        }
    };
    if items.is_empty() {
        return Ok((Some(db), None));
    }
    match add_up(items, hash_key) {
        Ok(picture) => Ok((Some(db), Some(picture))),
        Err(reason) => {
            tracing::warn!(reason, "the state database does not add up; it is written anew");
            Ok((None, None))
        }
    }
}

fn add_up(items: Vec<storage::Item>, hash_key: [u8; 16]) -> Result<Picture, String> {
    let mut restore = Restore::new(hash_key);
    let mut position = None;
    for (key, value) in items {
        if key == POSITION_KEY {
            position = Some(Position::decode(&value).map_err(|err| err.to_string())?);
        } else {
            restore.push(&key, &value).map_err(|err| err.to_string())?;
        }
    }
    let position = position.ok_or("it does not say which log position it stands for")?;
    Ok(Picture { store: restore.finish().map_err(|err| err.to_string())?, position })
}

fn from_snapshot(file: &storage::SnapshotFile, hash_key: [u8; 16]) -> Result<Picture, Error> {
    let store = snapshot::restore(file, hash_key)
        .map_err(|source| Error::Decode { what: "a snapshot", source })?;
    let position = Position::decode(&file.meta)
        .map_err(|source| Error::Decode { what: "the position of a snapshot", source })?;
    Ok(Picture { store, position })
}

fn decode_purged(marker: &[u8]) -> Result<u64, Error> {
    let id = convert::decode_log_id(marker)
        .map_err(|source| Error::Decode { what: "the purge marker of the log", source })?;
    Ok(id.index)
}

/// Cuts off a part of the log that is damaged or lost, if the picture holds all that it said.
fn heal_log(
    log: &RaftLog,
    found: &storage::Recovered,
    picture: &Picture,
    snapshots: &Snapshots,
    path: &std::path::Path,
) -> Result<(), Error> {
    let Some(applied) = made_good(found, picture, path)? else { return Ok(()) };
    let what = describe(found);
    // Its last vote may be among what was lost: alone that harms nobody, among others it could be
    // cast twice.
    if picture.position.membership.membership().voter_ids().count() > 1 {
        return Err(Error::Untrusted(format!(
            "{what}; a member of a cluster must not go on with such a log: move {} away, and it \
             joins again by itself (--cluster.join)",
            path.display(),
        )));
    }
    tracing::warn!(what, index = applied.index, "the raft log is healed from the verified state");
    snapshots
        .write(&picture.store.view(), &picture.position)
        .map_err(|source| Error::Decode { what: "the state into a snapshot", source })?;
    log.reset_to(applied.index, convert::encode_log_id(&applied))?;
    Ok(())
}

/// If a part of the log is damaged or lost, what the picture holds, which must be all that it said.
pub(super) fn made_good(
    found: &storage::Recovered,
    picture: &Picture,
    path: &std::path::Path,
) -> Result<Option<LogId>, Error> {
    let needed = [
        found.damage.as_ref().map(|Damage { last, .. }| *last),
        found.lost_tail.as_ref().map(|LostTail { mark_next, .. }| mark_next.saturating_sub(1)),
    ];
    let Some(needed) = needed.into_iter().flatten().max() else { return Ok(None) };
    let covered = picture.position.applied.filter(|applied| applied.index >= needed);
    covered.map(Some).ok_or_else(|| {
        Error::Untrusted(format!(
            "{}; the state reaches entry {} only, so acknowledged pushes would be lost: restore \
             {} from a backup, or move it away to start empty",
            describe(found),
            picture.position.index().unwrap_or(0),
            path.display(),
        ))
    })
}

fn describe(found: &storage::Recovered) -> String {
    let mut parts = Vec::new();
    if let Some(Damage { first, last, detail }) = &found.damage {
        parts.push(format!("the raft log is damaged at entries {first} to {last}: {detail}"));
    }
    if let Some(LostTail { mark_next, next, batches }) = &found.lost_tail {
        parts.push(format!(
            "the raft log has lost its end: it ends before entry {next}, entries up to {} and \
             {batches} more writes had been durable",
            mark_next.saturating_sub(1),
        ));
    }
    parts.join("; ")
}

fn no_way_to(path: &std::path::Path, picture: &Picture, purged: Option<u64>) -> Error {
    Error::Untrusted(format!(
        "the log begins after entry {}, but the state database and the snapshots are damaged or \
         missing and reach entry {} only: restore {} from a backup, or move it away to start empty",
        purged.unwrap_or(0),
        picture.position.index().unwrap_or(0),
        path.display(),
    ))
}
