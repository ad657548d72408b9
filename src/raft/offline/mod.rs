//! What operators do to a disk that no replica works on: look into a snapshot file, make a replica
//! out of one, and make a cluster out of what is left of a replica's.
//!
//! Whatever is made here belongs to a new cluster under a new node id, so that nothing that remembers
//! the old one takes it for the same: a replica that comes back is refused by its cluster id. It is
//! made beside what is there and takes its place at the end; the old content is set aside, never
//! deleted.

mod rebuild;
mod recover;
mod snapshot;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::machine::Position;
use crate::group::View;
use crate::storage;

pub(crate) use recover::Remains;
pub(crate) use snapshot::{inspect, restore};

/// A state on disk, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `None`: the file does not say, so its digest was not compared either.
    pub(crate) cluster: Option<[u8; 16]>,
    /// Of the last log entry in it.
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) members: Vec<MemberFacts>,
    pub(crate) groups: u64,
    pub(crate) series: u64,
    pub(crate) digest: u128,
}

/// A member of the cluster as of that state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberFacts {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) voter: bool,
}

impl Facts {
    fn of(view: &View, position: &Position, cluster: Option<[u8; 16]>) -> Facts {
        let membership = position.membership.membership();
        let voter = |id: u64| membership.voter_ids().any(|voter| voter == id);
        let mut members: Vec<_> = membership
            .nodes()
            .map(|(id, member)| MemberFacts {
                name: member.name.clone(),
                id: *id,
                address: member.address.clone(),
                voter: voter(*id),
            })
            .collect();
        members.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Facts {
            cluster,
            index: position.index().unwrap_or(0),
            term: position.applied.map_or(0, |id| id.leader_id.term),
            members,
            groups: view.group_count(),
            series: view.series_count(),
            digest: view.digest(),
        }
    }
}

/// A replica that was made: the only member of a cluster of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) cluster: [u8; 16],
    pub(crate) node: u64,
    pub(crate) name: String,
    /// What it starts from.
    pub(crate) facts: Facts,
    /// Where what was in the folder is now.
    pub(crate) aside: Option<PathBuf>,
}

/// Why nothing was done. What was there is unchanged unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The snapshot file is not to be used.
    #[error("{} cannot be used: {}", .0.path.display(), .0.detail)]
    Snapshot(storage::Error),
    /// Its bytes are whole, but what they say is not a state.
    #[error("{} cannot be used: {detail}", path.display())]
    State { path: PathBuf, detail: String },
    /// There is data already.
    #[error(
        "{} holds data already{whose}; give another folder, or --force to set it aside", path.display()
    )]
    Occupied { path: PathBuf, whose: String },
    /// There is nothing to recover.
    #[error("{} {why}", path.display())]
    Nothing { path: PathBuf, why: &'static str },
    /// A failure of the disk or of what is on it.
    #[error(transparent)]
    Replica(#[from] super::Error),
}

impl From<storage::Error> for Error {
    fn from(err: storage::Error) -> Self {
        Error::Replica(err.into())
    }
}
