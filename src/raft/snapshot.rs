//! Snapshots of the applied state: written from an immutable view, off the apply path.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::RaftSnapshotBuilder;

use crate::group::{GroupStore, Restore, View};
use crate::storage::{self, Encoder, Incoming, SnapshotFile, Snapshots as Folder};
use crate::trials::{self, Bug, Place};

use super::blocking;
use super::machine::Position;
use super::state_machine::StateMachine;
use super::types::{SnapshotMeta, TypeConfig};

/// A complete, verified snapshot file.
pub(crate) type SnapshotData = Arc<SnapshotFile>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// The snapshots on disk, and which of them are known to be whole.
pub(crate) struct Snapshots {
    folder: Folder,
    cluster: [u8; 16],
    /// Oldest first; only files that this process has written or verified.
    whole: Mutex<Vec<SnapshotData>>,
}

/// Whole snapshots that are kept, the newest ones.
const KEPT: usize = 2;

impl Snapshots {
    pub(crate) fn new(
        folder: Folder,
        cluster: [u8; 16],
        newest: Option<SnapshotFile>,
    ) -> Snapshots {
        let whole = newest.into_iter().map(Arc::new).collect();
        Snapshots { folder, cluster, whole: Mutex::new(whole) }
    }

    fn whole(&self) -> MutexGuard<'_, Vec<SnapshotData>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn newest(&self) -> Option<SnapshotData> {
        self.whole().last().cloned()
    }

    /// The index that another whole snapshot than the newest one reaches.
    pub(crate) fn second_newest_index(&self) -> Option<u64> {
        let whole = self.whole();
        let newest = trials::bug(Bug::PurgeBeforeSnapshot);
        whole.iter().rev().nth(usize::from(!newest)).map(|file| file.index)
    }

    /// Writes a durable snapshot of `view`, which stands for `position`.
    pub(crate) fn write(&self, view: &View, position: &Position) -> io::Result<SnapshotData> {
        let (index, term) = position.applied.map_or((0, 0), |id| (id.index, id.leader_id.term));
        let note = position.encode_of(self.cluster);
        trials::at(Place::SnapshotBuild)?;
        let mut writer = self.folder.create(index, term, &note).map_err(io::Error::other)?;
        for item in view.items() {
            writer.write_item(&item.encode()).map_err(io::Error::other)?;
        }
        let file = Arc::new(writer.finish().map_err(io::Error::other)?);
        self.adopt(Arc::clone(&file));
        Ok(file)
    }

    /// Begins to receive a snapshot of another replica.
    pub(crate) fn receive(&self) -> Result<Incoming, storage::Error> {
        self.folder.receive()
    }

    /// Counts a whole snapshot among those that can be used, and removes what is older than all
    /// that are kept. While fewer are known to be whole, nothing is removed: what is left unread
    /// from before may be the only one that can be used, should this one be damaged one day.
    pub(crate) fn adopt(&self, file: SnapshotData) {
        let mut whole = self.whole();
        whole.retain(|known| known.path != file.path);
        whole.push(file);
        whole.sort_by_key(|file| (file.index, file.term));
        let surplus = whole.len().saturating_sub(KEPT);
        whole.drain(..surplus);
        let oldest = whole.first().filter(|_| whole.len() == KEPT).cloned();
        drop(whole);
        if let Some(Err(err)) = oldest.map(|oldest| self.folder.remove_older_than(&oldest)) {
            tracing::warn!(err = %err, "cannot remove the snapshots that are not needed any more");
        }
    }
}

/// A picture of the state on its way to somebody who keeps it as a file.
pub(crate) struct Export {
    view: View,
    position: Position,
    cluster: [u8; 16],
}

impl Export {
    pub(crate) fn new(view: View, position: Position, cluster: [u8; 16]) -> Export {
        Export { view, position, cluster }
    }

    /// The index and term of the last log entry in it.
    pub(crate) fn index_and_term(&self) -> (u64, u64) {
        self.position.applied.map_or((0, 0), |id| (id.index, id.leader_id.term))
    }

    /// Writes the snapshot file. Takes as long as `out` takes to take it.
    pub(crate) fn write(&self, out: impl io::Write) -> io::Result<()> {
        let (index, term) = self.index_and_term();
        let note = self.position.encode_of(self.cluster);
        let mut encoder = Encoder::begin(out, index, term, &note)?;
        for item in self.view.items() {
            encoder.item(&item.encode())?;
        }
        encoder.finish()?.flush()
    }
}

/// Removes a damaged snapshot that nothing depends on any more.
pub(crate) fn discard(path: &Path) {
    if let Err(err) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), err = %err, "cannot remove a damaged snapshot");
    }
}

/// Builds one snapshot of the state as it was when the builder was made.
pub(crate) struct Builder {
    state_machine: StateMachine,
    view: View,
    position: Position,
}

impl Builder {
    pub(crate) fn new(state_machine: StateMachine) -> Builder {
        let (view, position) = state_machine.machine.view_at();
        Builder { state_machine, view, position }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        // The log below a snapshot goes some time: first let the state database reach the disk too.
        if !trials::bug(Bug::PurgeBeforeSnapshot) {
            self.state_machine.writer.checkpoint().await;
        }
        let (view, position) = (self.view.clone(), self.position.clone());
        let snapshots = Arc::clone(&self.state_machine.snapshots);
        let written = blocking::aside(move || snapshots.write(&view, &position)).await?;
        describe(written?)
    }
}

/// Reads a snapshot back into a state, verifying every part of it.
pub(crate) fn restore(file: &SnapshotFile, hash_key: [u8; 16]) -> io::Result<GroupStore> {
    let mut restore = Restore::new(hash_key);
    for item in file.items().map_err(io::Error::other)? {
        restore.push_encoded(&item.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    restore.finish().map_err(io::Error::other)
}

/// The position that a snapshot's metadata names.
pub(crate) fn position(meta: &SnapshotMeta) -> Position {
    Position { applied: meta.last_log_id, membership: meta.last_membership.clone() }
}

/// What openraft needs to know of a snapshot file.
pub(crate) fn describe(file: SnapshotData) -> io::Result<Snapshot> {
    let Position { applied, membership } = Position::decode(&file.meta)?;
    let meta = SnapshotMeta { last_log_id: applied, last_membership: membership };
    Ok(openraft::Snapshot { meta, snapshot: file })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::LogId;

    fn at(index: u64) -> Position {
        let leader_id = openraft::impls::leader_id_adv::LeaderId { term: 1, node_id: 1 };
        Position { applied: Some(LogId { leader_id, index }), ..Position::default() }
    }

    fn names(dir: &Path) -> Vec<u64> {
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        let index = |name: std::ffi::OsString| {
            name.to_str().unwrap().split('-').next().unwrap().parse().unwrap()
        };
        let mut names: Vec<u64> = names.map(index).collect();
        names.sort_unstable();
        names
    }

    /// Damaged, unknown and unread files count for nothing, whatever index they claim.
    #[test]
    fn two_are_kept_that_are_known_to_be_whole() {
        let dir = tempfile::tempdir().unwrap();
        let view = GroupStore::new([7; 16]).view();
        let open = || {
            let folder = Folder::open(dir.path()).unwrap();
            let newest = folder.newest().unwrap();
            (Snapshots::new(folder, [7; 16], newest.file), newest.damaged.len())
        };
        let (snapshots, _) = open();
        for index in [5, 10] {
            snapshots.write(&view, &at(index)).unwrap();
        }
        // Two newer ones: of a format to come, and damaged.
        let good =
            std::fs::read(dir.path().join(format!("{:020}-{:020}.snapshot", 10, 1))).unwrap();
        for (index, offset) in [(30, 7), (31, 40)] {
            let mut bad = good.clone();
            bad[offset] ^= 1;
            std::fs::write(dir.path().join(format!("{index:020}-{:020}.snapshot", 1)), bad)
                .unwrap();
        }
        let (snapshots, damaged) = open();
        assert_eq!(damaged, 2);
        assert_eq!(snapshots.newest().map(|file| file.index), Some(10));
        assert_eq!(snapshots.second_newest_index(), None, "the one at 5 has not been read");
        assert_eq!(names(dir.path()), [5, 10, 30, 31]);
        // One of ours below theirs: it is the newest that counts, and the log may go below 10.
        snapshots.write(&view, &at(20)).unwrap();
        assert_eq!(snapshots.newest().map(|file| file.index), Some(20));
        assert_eq!(snapshots.second_newest_index(), Some(10));
        assert_eq!(names(dir.path()), [10, 20, 30, 31]);
        snapshots.write(&view, &at(40)).unwrap();
        assert_eq!(snapshots.second_newest_index(), Some(20));
        assert_eq!(names(dir.path()), [20, 30, 31, 40]);
        snapshots.write(&view, &at(50)).unwrap();
        assert_eq!(names(dir.path()), [40, 50]);
        assert_eq!(open().0.newest().map(|file| file.index), Some(50));
    }

    #[test]
    fn while_only_one_is_known_to_be_whole_nothing_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let view = GroupStore::new([7; 16]).view();
        for index in [5, 10] {
            let snapshots = Snapshots::new(Folder::open(dir.path()).unwrap(), [7; 16], None);
            snapshots.write(&view, &at(index)).unwrap();
            assert_eq!(snapshots.second_newest_index(), None);
        }
        assert_eq!(names(dir.path()), [5, 10]);
    }
}
