//! The cluster API: who the members are, and changing that.

use http::StatusCode;
use tokio::time::Instant;

use super::api_v1::{answer, begin_success};
use super::app::Edge;
use super::error::ApiError;
use super::gojson::JsonWriter;
use super::reply::{self, Reply};
use super::url;
use crate::raft::{ClusterStatus, MemberChange, MemberStatus, Refused, Role};

/// The cluster as this replica sees it. Needs no leader, since it is asked for in trouble.
pub(super) fn status(edge: &Edge) -> Reply {
    let status = edge.replica.status();
    let mut json = JsonWriter::default();
    begin_success(&mut json);
    json.begin_object();
    write_status(&mut json, &status);
    json.end_object();
    json.end_object();
    answer(json.finish())
}

fn write_status(json: &mut JsonWriter, status: &ClusterStatus) {
    let cluster = status.cluster_id.map(|id| format!("{:032x}", u128::from_be_bytes(id)));
    json.member_string("replica", &status.replica);
    json.member_string("cluster_id", &cluster.unwrap_or_default());
    json.member_string("leader", status.leader.as_deref().unwrap_or_default());
    json.key("term");
    json.integer(status.term);
    json.key("applied_index");
    json.integer(status.applied_index);
    json.member_string("digest", &format!("{:032x}", status.digest));
    if let Some((index, digest)) = status.checkpoint {
        json.key("checkpoint");
        json.begin_object();
        json.key("applied_index");
        json.integer(index);
        json.member_string("digest", &format!("{digest:032x}"));
        json.end_object();
    }
    if let Some(log) = status.log {
        json.key("log");
        json.begin_object();
        for (name, index) in [
            ("purged_index", log.purged),
            ("snapshot_index", log.snapshot),
            ("committed_index", log.committed),
            ("last_index", log.last),
            ("vote_term", log.vote_term),
        ] {
            json.key(name);
            json.integer(index);
        }
        json.end_object();
    }
    json.key("healthy");
    json.boolean(status.healthy);
    json.key("failure_tolerance");
    json.integer(status.failure_tolerance);
    if let Some(waits_for) = &status.waits_for {
        json.member_string("waits_for", waits_for);
    }
    json.key("members");
    json.begin_array();
    for member in &status.members {
        json.begin_object();
        write_member(json, member);
        json.end_object();
    }
    json.end_array();
}

fn write_member(json: &mut JsonWriter, member: &MemberStatus) {
    json.member_string("name", &member.name);
    // Ids use all 64 bits, more than a number of JSON keeps.
    json.member_string("id", &format!("{:016x}", member.id));
    json.member_string("address", &member.address);
    let role = match member.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Learner => "learner",
    };
    json.member_string("role", role);
    json.key("voter");
    json.boolean(member.voter);
    json.key("reachable");
    json.boolean(member.reachable);
    if !member.detail.is_empty() {
        json.member_string("detail", &member.detail);
    }
    json.key("match_index");
    json.integer(member.match_index);
    json.key("lag");
    json.integer(member.lag);
    if let Some((index, digest)) = member.applied {
        json.key("applied_index");
        json.integer(index);
        json.member_string("digest", &format!("{digest:032x}"));
    }
    json.member_string("version", &member.version);
}

/// What is to be done with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberVerb {
    /// Takes a replica in as a learner.
    Add,
    /// Takes a member out.
    Remove,
    /// Makes a learner a voter.
    Promote,
    /// Hands the lead over.
    Lead,
}

/// Changes the membership: `?member=NAME` or `?member=ID`; `?address=` to add one.
pub(super) async fn change(
    edge: &Edge,
    verb: MemberVerb,
    query: Option<&str>,
) -> Result<Reply, ApiError> {
    let parameters = url::query_pairs(query.unwrap_or_default());
    let parameter = |name: &str| {
        parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    };
    let named = parameter("member").unwrap_or_default();
    let change = match verb {
        MemberVerb::Add => match parameter("address").filter(|address| !address.is_empty()) {
            Some(address) => MemberChange::Add { address: address.to_owned() },
            None => return Err(ApiError::Query("address is missing".to_owned())),
        },
        MemberVerb::Lead if named.is_empty() => MemberChange::Lead(None),
        MemberVerb::Lead => MemberChange::Lead(Some(member(edge, named)?)),
        MemberVerb::Remove => MemberChange::Remove(member(edge, named)?),
        MemberVerb::Promote => MemberChange::Promote(member(edge, named)?),
    };
    let deadline = Instant::now() + edge.options.limits.request_timeout;
    match edge.replica.change_members(change, deadline).await {
        Ok(()) => Ok(reply::line(StatusCode::OK, "done")),
        Err(Refused::Now(text)) => Ok(reply::line(StatusCode::SERVICE_UNAVAILABLE, &text)),
        Err(Refused::Never(text)) => Ok(reply::line(StatusCode::CONFLICT, &text)),
    }
}

/// The one member of that name or id.
fn member(edge: &Edge, wanted: &str) -> Result<u64, ApiError> {
    let members = edge.replica.status().members;
    let matching: Vec<_> = members
        .iter()
        .filter(|member| member.name == wanted || format!("{:016x}", member.id) == wanted)
        .collect();
    match matching.as_slice() {
        [one] => Ok(one.id),
        [] => {
            let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
            Err(ApiError::Query(format!(
                "member={wanted}: no member has this name or id; there are: {}",
                names.join(", ")
            )))
        }
        _ => Err(ApiError::Query(format!(
            "member={wanted}: several members have this name; use an id"
        ))),
    }
}
