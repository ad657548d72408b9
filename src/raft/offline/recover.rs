//! What is left of a cluster on one disk, and making a cluster of its own out of it.

use std::path::Path;

use super::super::convert;
use super::super::log_store::known_committed;
use super::super::machine::{Machine, Position};
use super::super::recover::{self, Content, Picture};
use super::super::types::LogId;
use super::rebuild::{Old, Start, new_identity, rebuild};
use super::{Error, Facts, Made};
use crate::group::Restore;
use crate::storage::{Folder, Identity, NO_CLUSTER, Options as LogOptions, RaftLog};
use crate::telemetry::Metrics;

/// Bytes of the log that are read at once.
const READ_BYTES_MAX: usize = 4 << 20;

/// A replica's disk, verified, with all of its log applied.
pub(crate) struct Remains {
    folder: Folder,
    pub(crate) identity: Identity,
    pub(crate) facts: Facts,
    /// The highest index that is known to have been committed; what is above may have been or not.
    pub(crate) committed: u64,
    /// The highest term that this replica has seen.
    pub(crate) term: u64,
    machine: Machine,
    applied: LogId,
}

impl Remains {
    /// Reads and verifies everything, and applies the rest of the log, committed or not. Changes
    /// nothing that a start would not. Blocks.
    pub(crate) fn read(path: &Path) -> Result<Remains, Error> {
        let nothing = |why| Error::Nothing { path: path.to_path_buf(), why };
        if !path.is_dir() {
            return Err(nothing("is no storage folder: there is no such folder"));
        }
        let folder = Folder::lock(path)?;
        let identity = folder.identity()?.ok_or_else(|| nothing("holds no data of a replica"))?;
        if identity.cluster == NO_CLUSTER {
            return Err(nothing("is of a replica that never had a cluster: just start it"));
        }
        let content = recover::read(&folder, &identity, LogOptions::default())?;
        let held = recover::made_good(&content.found, &content.picture, path)?;
        let lost_tail = content.found.lost_tail.is_some();
        let Content { log, picture: Picture { store, position }, .. } = content;
        let machine = Machine::new(store, position, Metrics::new());
        let term = vote_term(&log)?;
        // Of a damaged entry nothing is known.
        let hint = known_committed(&log).ok().flatten().map_or(0, |id| id.index);
        let certain = machine.position().index().unwrap_or(0).max(hint);
        // What follows a lost tail is older than what was lost.
        if held.is_none() || !lost_tail {
            apply_rest(&machine, &log)?;
        }
        let position = machine.position();
        let applied = position.applied.ok_or_else(|| nothing("has an empty log: just start it"))?;
        let facts = Facts::of(&machine.view(), &position, Some(identity.cluster));
        let committed = certain.min(applied.index);
        Ok(Remains { folder, identity, facts, committed, term, machine, applied })
    }

    /// Makes it the only voter of a new cluster, under a new node id and with all that its log says.
    pub(crate) fn force_new_cluster(self) -> Result<Made, Error> {
        let Remains { folder, identity, term, machine, applied, .. } = self;
        let identity = new_identity(&identity.name);
        let mut items = Restore::new(identity.cluster);
        let inconsistent = |err: crate::group::RestoreError| {
            super::super::Error::Untrusted(format!("the state does not add up: {err}"))
        };
        for item in machine.view().items() {
            items.push(&item.key, &item.value).map_err(inconsistent)?;
        }
        drop(machine);
        let store = items.finish_under_new_key().map_err(inconsistent)?;
        rebuild(&folder, Old::SetAside, identity, Start { store, applied, term })
    }
}

fn unreadable(source: std::io::Error) -> Error {
    super::super::Error::Decode { what: "the log", source }.into()
}

fn vote_term(log: &RaftLog) -> Result<u64, Error> {
    let vote = log.vote().map(|bytes| convert::decode_vote(&bytes)).transpose();
    Ok(vote.map_err(unreadable)?.map_or(0, |vote| vote.leader_id.term))
}

fn apply_rest(machine: &Machine, log: &RaftLog) -> Result<(), Error> {
    let Some(last) = log.last_index() else { return Ok(()) };
    let next_of = |position: Position| position.index().map_or(0, |index| index + 1);
    let mut next = next_of(machine.position());
    while next <= last {
        let records = log.read(next..last + 1, READ_BYTES_MAX)?;
        let Some(newest) = records.last() else {
            let missing = std::io::Error::other(format!("entry {next} is not there"));
            return Err(unreadable(missing));
        };
        next = newest.index + 1;
        for record in records {
            let entry = convert::decode_entry(record.bytes).map_err(unreadable)?;
            machine.apply(&entry).map_err(unreadable)?;
        }
    }
    Ok(())
}
