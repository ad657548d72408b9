//! The making of a replica that is a cluster of its own, from a state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use openraft::vote::RaftLeaderId as _;

use super::super::convert;
use super::super::machine::Position;
use super::super::snapshot::Snapshots;
use super::super::types::{LeaderId, LogId, Member, Membership, StoredMembership, Vote};
use super::{Error, Facts, Made};
use crate::group::GroupStore;
use crate::storage::{
    Done, Folder, Identity, Options as LogOptions, RaftLog, SnapshotFile,
    Snapshots as SnapshotFolder,
};

/// What a new replica starts from.
pub(super) struct Start {
    /// Keyed by the new cluster.
    pub(super) store: GroupStore,
    /// The last log entry in it.
    pub(super) applied: LogId,
    /// The highest term that anybody is known to have voted in.
    pub(super) term: u64,
}

/// What to do with what is in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// There is nothing.
    None,
    SetAside,
}

/// A new cluster with a new node in it.
pub(super) fn new_identity(name: &str) -> Identity {
    Identity { cluster: rand::random(), ..super::super::recover::new_identity(name) }
}

/// Makes the folder that of a replica which is the only voter of its cluster.
pub(super) fn rebuild(
    folder: &Folder,
    old: Old,
    identity: Identity,
    start: Start,
) -> Result<Made, Error> {
    let new = folder.new_content()?;
    let facts = write(&new, &identity, start)?;
    let aside = match old {
        Old::None => None,
        Old::SetAside => Some(folder.set_aside()?),
    };
    folder.take_over(new).map_err(|err| told_where(err, aside.as_ref()))?;
    let Identity { cluster, node, name } = identity;
    Ok(Made { cluster, node, name, facts, aside })
}

fn told_where(mut err: crate::storage::Error, aside: Option<&PathBuf>) -> Error {
    if let Some(aside) = aside {
        err.detail = format!("{} (the old data is in {})", err.detail, aside.display());
    }
    err.into()
}

/// Writes complete content, durably, its identity last.
fn write(new: &Folder, identity: &Identity, start: Start) -> Result<Facts, Error> {
    let Start { store, applied, term } = start;
    new.prepare()?;
    begin_log(new, identity, applied, term.max(applied.leader_id.term))?;

    let me = Member { name: identity.name.clone(), address: String::new() };
    let membership = Membership::new(
        vec![BTreeSet::from([identity.node])],
        BTreeMap::from([(identity.node, me)]),
    );
    let membership =
        membership.map_err(|err| Error::Replica(super::super::Error::Raft(err.to_string())))?;
    let membership = StoredMembership::new(Some(applied), membership);
    let position = Position { applied: Some(applied), membership };
    let snapshots = Snapshots::new(SnapshotFolder::open(&new.snapshots())?, identity.cluster, None);
    let view = store.view();
    let written = snapshots.write(&view, &position);
    let written = written.map_err(|source| super::super::Error::Decode {
        what: "the state into a snapshot",
        source,
    })?;
    // Read again before anything is moved: it is all that the new replica will have.
    SnapshotFile::verify(&written.path)?;
    new.identify(identity)?;
    Ok(Facts::of(&view, &position, Some(identity.cluster)))
}

/// Has the log begin after what the state holds, in a term that nobody has voted in.
fn begin_log(new: &Folder, identity: &Identity, applied: LogId, term: u64) -> Result<(), Error> {
    let options = LogOptions::default();
    let (log, _empty) = RaftLog::open(&new.raft_log(), &new.high_water(), options)?;
    let (told, results) = sync_channel(2);
    let done = || -> Done {
        let told = told.clone();
        Box::new(move |result| drop(told.send(result)))
    };
    log.purge(applied.index, convert::encode_log_id(&applied), done());
    let vote = Vote { leader_id: LeaderId::new(term + 1, identity.node), committed: false };
    log.save_vote(convert::encode_vote(&vote), done());
    for _ in 0..2 {
        let result = results.recv().unwrap_or_else(|err| Err(std::io::Error::other(err)));
        result.map_err(|source| super::super::Error::Decode { what: "the new log", source })?;
    }
    Ok(())
}
