//! What replicas send each other.

use std::io;

use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::vote::RaftLeaderId;

use super::super::proposer::Applied;
use super::super::types::{AppendResult, LeaderId, LogId, TypeConfig, Vote};
use super::damaged;
use super::disk::{entry_from_pb, entry_to_pb, log_id_from_pb, log_id_to_pb};
use crate::group::Outcome;
use crate::pb::v1;

pub(crate) fn vote_to_pb(vote: &Vote) -> v1::Vote {
    v1::Vote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

pub(crate) fn vote_from_pb(pb: &v1::Vote) -> Vote {
    Vote { leader_id: LeaderId::new(pb.term, pb.node_id), committed: pb.committed }
}

fn required_vote(pb: Option<&v1::Vote>) -> io::Result<Vote> {
    pb.map(vote_from_pb).ok_or_else(|| damaged("message", "it has no vote"))
}

fn log_ids(pb: Option<&v1::LogId>) -> Option<LogId> {
    pb.map(log_id_from_pb)
}

pub(crate) fn vote_request_to_pb(
    request: &VoteRequest<TypeConfig>,
    pre_vote: bool,
) -> v1::VoteRequest {
    v1::VoteRequest {
        vote: Some(vote_to_pb(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(log_id_to_pb),
        leadership_transfer: request.leadership_transfer,
        pre_vote,
    }
}

pub(crate) fn vote_request_from_pb(pb: &v1::VoteRequest) -> io::Result<VoteRequest<TypeConfig>> {
    Ok(VoteRequest {
        vote: required_vote(pb.vote.as_ref())?,
        last_log_id: log_ids(pb.last_log_id.as_ref()),
        leadership_transfer: pb.leadership_transfer,
    })
}

pub(crate) fn vote_reply_to_pb(reply: &VoteResponse<TypeConfig>) -> v1::VoteResponse {
    v1::VoteResponse {
        vote: Some(vote_to_pb(&reply.vote)),
        granted: reply.vote_granted,
        last_log_id: reply.last_log_id.as_ref().map(log_id_to_pb),
    }
}

pub(crate) fn vote_reply_from_pb(pb: &v1::VoteResponse) -> io::Result<VoteResponse<TypeConfig>> {
    Ok(VoteResponse {
        vote: required_vote(pb.vote.as_ref())?,
        vote_granted: pb.granted,
        last_log_id: log_ids(pb.last_log_id.as_ref()),
    })
}

pub(crate) fn append_to_pb(request: &AppendEntriesRequest<TypeConfig>) -> v1::AppendRequest {
    v1::AppendRequest {
        vote: Some(vote_to_pb(&request.vote)),
        prev_log_id: request.prev_log_id.as_ref().map(log_id_to_pb),
        leader_commit: request.leader_commit.as_ref().map(log_id_to_pb),
        entries: request.entries.iter().map(entry_to_pb).collect(),
        quorum_age_ms: 0,
    }
}

pub(crate) fn append_from_pb(
    pb: v1::AppendRequest,
) -> io::Result<AppendEntriesRequest<TypeConfig>> {
    Ok(AppendEntriesRequest {
        vote: required_vote(pb.vote.as_ref())?,
        prev_log_id: log_ids(pb.prev_log_id.as_ref()),
        entries: pb.entries.into_iter().map(entry_from_pb).collect::<io::Result<_>>()?,
        leader_commit: log_ids(pb.leader_commit.as_ref()),
    })
}

pub(crate) fn append_result_to_pb(result: &AppendResult) -> v1::AppendResponse {
    use v1::append_response::Result as Pb;
    let result = match result {
        Ok(matched) => Pb::Matched(v1::Matched { log_id: matched.as_ref().map(log_id_to_pb) }),
        Err(StreamAppendError::Conflict(log_id)) => Pb::Conflict(log_id_to_pb(log_id)),
        Err(StreamAppendError::HigherVote(vote)) => Pb::HigherVote(vote_to_pb(vote)),
    };
    v1::AppendResponse { result: Some(result) }
}

pub(crate) fn append_result_from_pb(pb: &v1::AppendResponse) -> io::Result<AppendResult> {
    use v1::append_response::Result as Pb;
    Ok(match pb.result.as_ref().ok_or_else(|| damaged("message", "it has no result"))? {
        Pb::Matched(matched) => Ok(log_ids(matched.log_id.as_ref())),
        Pb::Conflict(log_id) => Err(StreamAppendError::Conflict(log_id_from_pb(log_id))),
        Pb::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_from_pb(vote))),
    })
}

pub(crate) fn transfer_to_pb(
    request: &TransferLeaderRequest<TypeConfig>,
) -> v1::TransferLeaderRequest {
    v1::TransferLeaderRequest {
        from_leader: Some(vote_to_pb(request.from_leader())),
        to_node_id: *request.to_node_id(),
        last_log_id: request.last_log_id().map(log_id_to_pb),
    }
}

pub(crate) fn transfer_from_pb(
    pb: &v1::TransferLeaderRequest,
) -> io::Result<TransferLeaderRequest<TypeConfig>> {
    let vote = required_vote(pb.from_leader.as_ref())?;
    Ok(TransferLeaderRequest::new(vote, pb.to_node_id, log_ids(pb.last_log_id.as_ref())))
}

pub(crate) fn transfer_reply_to_pb(
    reply: &TransferLeaderResponse<TypeConfig>,
) -> v1::TransferLeaderResponse {
    let refused = reply.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let (vote, last_log_id) = match reply {
        Ok(()) => (None, None),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => (Some(vote_to_pb(actual)), None),
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            (None, actual.as_ref().map(log_id_to_pb))
        }
    };
    v1::TransferLeaderResponse { refused, vote, last_log_id }
}

pub(crate) fn transfer_reply_from_pb(
    pb: &v1::TransferLeaderResponse,
    request: &TransferLeaderRequest<TypeConfig>,
) -> TransferLeaderResponse<TypeConfig> {
    if pb.refused.is_empty() {
        return Ok(());
    }
    Err(match &pb.vote {
        Some(vote) => TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: vote_from_pb(vote),
        },
        None => TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: log_ids(pb.last_log_id.as_ref()),
        },
    })
}

pub(crate) fn applied_to_pb(applied: Applied) -> v1::Applied {
    use v1::applied::Outcome as Pb;
    let outcome = match applied.outcome {
        Outcome::Applied => Pb::Done(true),
        Outcome::Rejected(reason) => Pb::Rejected(reason),
        Outcome::OverLimit(reason) => Pb::OverLimit(reason),
    };
    v1::Applied { index: applied.index, term: applied.term, outcome: Some(outcome) }
}

pub(crate) fn applied_from_pb(pb: v1::Applied) -> io::Result<Applied> {
    use v1::applied::Outcome as Pb;
    let outcome = match pb.outcome.ok_or_else(|| damaged("message", "it has no outcome"))? {
        Pb::Done(_) => Outcome::Applied,
        Pb::Rejected(reason) => Outcome::Rejected(reason),
        Pb::OverLimit(reason) => Outcome::OverLimit(reason),
    };
    Ok(Applied { outcome, index: pb.index, term: pb.term })
}
