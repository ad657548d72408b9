//! Snapshot files: looking into one, and making a replica out of one.

use std::path::Path;

use super::super::machine::Position;
use super::rebuild::{Old, Start, new_identity, rebuild};
use super::{Error, Facts, Made};
use crate::group::{GroupStore, Restore};
use crate::storage::{Folder, SnapshotFile};

/// A snapshot file that was verified: its bytes, and the state that they add up to.
pub(crate) struct Inspected {
    pub(crate) facts: Facts,
    pub(crate) bytes: u64,
    file: SnapshotFile,
    position: Position,
}

/// Verifies a snapshot file from its first byte to its last, and puts its state together. Takes the
/// memory of that state, and blocks.
pub(crate) fn inspect(path: &Path) -> Result<Inspected, Error> {
    let file = SnapshotFile::verify(path).map_err(Error::Snapshot)?;
    let state = |detail: String| Error::State { path: path.to_path_buf(), detail };
    let position = Position::decode(&file.meta).map_err(|err| state(err.to_string()))?;
    let cluster = Position::cluster_of(&file.meta);
    let items = items_of(&file, cluster.unwrap_or_default())?;
    let store = match cluster {
        Some(_) => items.finish(),
        None => items.finish_under_new_key(),
    };
    let store = store.map_err(|err| state(err.to_string()))?;
    let facts = Facts::of(&store.view(), &position, cluster);
    Ok(Inspected { facts, bytes: file.bytes, file, position })
}

fn items_of(file: &SnapshotFile, hash_key: [u8; 16]) -> Result<Restore, Error> {
    let state = |detail: String| Error::State { path: file.path.clone(), detail };
    let mut items = Restore::new(hash_key);
    for item in file.items().map_err(Error::Snapshot)? {
        let item = item.map_err(Error::Snapshot)?;
        items.push_encoded(&item).map_err(|err| state(err.to_string()))?;
    }
    Ok(items)
}

/// Makes the folder at `path` that of a replica whose state is the file's, the only member of a new
/// cluster. What is in the folder is refused, or set aside with `force`.
pub(crate) fn restore(file: &Path, path: &Path, name: &str, force: bool) -> Result<Made, Error> {
    let Inspected { file, position, .. } = inspect(file)?;
    let folder = Folder::lock(path)?;
    let old = match folder.identity() {
        Ok(None) => Old::None,
        _ if force => Old::SetAside,
        Ok(Some(identity)) => {
            let whose = format!(" (of the replica {})", identity.name);
            return Err(Error::Occupied { path: path.to_path_buf(), whose });
        }
        Err(_) => return Err(Error::Occupied { path: path.to_path_buf(), whose: String::new() }),
    };
    let Some(applied) = position.applied else {
        let detail = "it does not say which log position it stands for".to_owned();
        return Err(Error::State { path: file.path, detail });
    };
    let identity = new_identity(name);
    let store: Result<GroupStore, _> = items_of(&file, identity.cluster)?.finish_under_new_key();
    let store =
        store.map_err(|err| Error::State { path: file.path.clone(), detail: err.to_string() })?;
    rebuild(&folder, old, identity, Start { store, applied, term: applied.leader_id.term })
}
