//! What is written to disk, and sent as it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::vote::RaftLeaderId;
use prost::Message;

use crate::pb::v1;

use super::super::types::{
    Command, Entry, LeaderId, LogId, Member, Membership, StoredMembership, Vote,
};
use super::damaged;
use super::wire::{vote_from_pb, vote_to_pb};

pub(crate) fn log_id_to_pb(id: &LogId) -> v1::LogId {
    v1::LogId { term: id.leader_id.term, node_id: id.leader_id.node_id, index: id.index }
}

pub(crate) fn log_id_from_pb(id: &v1::LogId) -> LogId {
    LogId::new(LeaderId::new(id.term, id.node_id).to_committed(), id.index)
}

pub(crate) fn encode_log_id(id: &LogId) -> Bytes {
    log_id_to_pb(id).encode_to_vec().into()
}

pub(crate) fn decode_log_id(bytes: &[u8]) -> io::Result<LogId> {
    let id = v1::LogId::decode(bytes).map_err(|err| damaged("log id", err))?;
    Ok(log_id_from_pb(&id))
}

pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    vote_to_pb(vote).encode_to_vec().into()
}

pub(crate) fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    let pb = v1::Vote::decode(bytes).map_err(|err| damaged("vote", err))?;
    Ok(vote_from_pb(&pb))
}

pub(crate) fn membership_to_pb(membership: &Membership) -> v1::Membership {
    let configs = membership.get_joint_config().iter();
    let members = membership.nodes().map(|(id, member)| v1::Member {
        node_id: *id,
        name: member.name.clone(),
        address: member.address.clone(),
    });
    v1::Membership {
        configs: configs.map(|c| v1::VoterSet { node_ids: c.iter().copied().collect() }).collect(),
        members: members.collect(),
    }
}

pub(crate) fn membership_from_pb(pb: v1::Membership) -> io::Result<Membership> {
    let configs: Vec<BTreeSet<u64>> =
        pb.configs.into_iter().map(|set| set.node_ids.into_iter().collect()).collect();
    let members: BTreeMap<u64, Member> = pb
        .members
        .into_iter()
        .map(|m| (m.node_id, Member { name: m.name, address: m.address }))
        .collect();
    if configs.is_empty() && members.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, members).map_err(|err| damaged("membership", err))
}

pub(crate) fn stored_membership_to_pb(stored: &StoredMembership) -> v1::StoredMembership {
    v1::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_pb),
        membership: Some(membership_to_pb(stored.membership())),
    }
}

pub(crate) fn stored_membership_from_pb(pb: v1::StoredMembership) -> io::Result<StoredMembership> {
    let membership = membership_from_pb(pb.membership.unwrap_or_default())?;
    Ok(StoredMembership::new(pb.log_id.as_ref().map(log_id_from_pb), membership))
}

pub(crate) fn encode_entry(entry: &Entry) -> Bytes {
    entry_to_pb(entry).encode_to_vec().into()
}

pub(super) fn entry_to_pb(entry: &Entry) -> v1::Entry {
    let mut pb =
        v1::Entry { log_id: Some(log_id_to_pb(&entry.log_id)), batch: None, membership: None };
    match &entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Normal(command) => pb.batch = Some(command.0.clone()),
        EntryPayload::Membership(membership) => pb.membership = Some(membership_to_pb(membership)),
    }
    pb
}

pub(crate) fn decode_entry(bytes: Bytes) -> io::Result<Entry> {
    let pb = v1::Entry::decode(bytes).map_err(|err| damaged("log entry", err))?;
    entry_from_pb(pb)
}

pub(super) fn entry_from_pb(pb: v1::Entry) -> io::Result<Entry> {
    let log_id = pb.log_id.ok_or_else(|| damaged("log entry", "without a log id"))?;
    let payload = match (pb.batch, pb.membership) {
        (None, None) => EntryPayload::Blank,
        (Some(batch), None) => EntryPayload::Normal(Command(batch)),
        (None, Some(membership)) => EntryPayload::Membership(membership_from_pb(membership)?),
        (Some(_), Some(_)) => return Err(damaged("log entry", "both a batch and a membership")),
    };
    Ok(openraft::Entry { log_id: log_id_from_pb(&log_id), payload })
}
