//! The cluster and its members, as a replica tells.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::args::{Change, Invocation};
use super::table::{columns, field, pairs};
use super::{Done, Failure, client, table};

pub(crate) const CLUSTER: &str = "/api/v1/cluster";

/// The members of a cluster as told.
pub(crate) fn members_of(cluster: &Value) -> &[Value] {
    cluster.get("members").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

async fn cluster(asked: &Invocation) -> Result<Value, Failure> {
    client::data(&client::read(asked, CLUSTER).await?)
}

pub(super) async fn status(asked: &Invocation) -> Result<Done, Failure> {
    let cluster = cluster(asked).await?;
    let out = if asked.json { table::json(&cluster) } else { shown(&cluster) };
    if cluster.get("healthy").and_then(Value::as_bool) == Some(true) {
        return Ok(Done::well(out));
    }
    let why = match cluster.get("waits_for").and_then(Value::as_str) {
        Some(waits_for) => format!("the replica is not part of a cluster yet: {waits_for}"),
        None if field(&cluster, "leader") == "-" => {
            format!("the cluster is not healthy: no leader; {}", unreachable(&cluster))
        }
        None => format!("the cluster is not healthy: no quorum; {}", unreachable(&cluster)),
    };
    Ok(Done::but(out, 3, &why))
}

fn unreachable(cluster: &Value) -> String {
    let gone = members_of(cluster)
        .iter()
        .filter(|member| member.get("reachable").and_then(Value::as_bool) == Some(false));
    let gone: Vec<_> = gone
        .map(|member| format!("{} ({})", field(member, "name"), field(member, "detail")))
        .collect();
    match gone.as_slice() {
        [] => "every member answers".to_owned(),
        gone => format!("no answer from {}", gone.join(", ")),
    }
}

fn shown(cluster: &Value) -> String {
    let told = pairs(&[
        ("cluster", field(cluster, "cluster_id")),
        ("told by", field(cluster, "replica")),
        ("leader", field(cluster, "leader")),
        ("term", field(cluster, "term")),
        ("applied index", field(cluster, "applied_index")),
        ("digest", field(cluster, "digest")),
        ("healthy", field(cluster, "healthy")),
        ("failure tolerance", field(cluster, "failure_tolerance")),
    ]);
    if members_of(cluster).is_empty() { told } else { format!("{told}\n{}", listed(cluster)) }
}

fn listed(cluster: &Value) -> String {
    let header = ["NAME", "ID", "ROLE", "VOTER", "REACHABLE", "INDEX", "LAG", "VERSION", "ADDRESS"];
    let names =
        ["name", "id", "role", "voter", "reachable", "match_index", "lag", "version", "address"];
    let rows: Vec<Vec<String>> = members_of(cluster)
        .iter()
        .map(|member| names.iter().map(|name| field(member, name)).collect())
        .collect();
    columns(&header, &rows)
}

pub(super) async fn members(asked: &Invocation) -> Result<Done, Failure> {
    let cluster = cluster(asked).await?;
    if asked.json {
        return Ok(Done::well(table::json(&json!(members_of(&cluster)))));
    }
    Ok(Done::well(listed(&cluster)))
}

/// Has the membership changed.
pub(super) async fn change(asked: &Invocation, change: &Change) -> Result<Done, Failure> {
    let operand = &asked.operand;
    let path = match operand.as_str() {
        "" => change.path.to_owned(),
        operand => format!(
            "{}?{}={}",
            change.path,
            change.parameter,
            utf8_percent_encode(operand, NON_ALPHANUMERIC)
        ),
    };
    let told = client::put(asked, &path).await?;
    if !told.status.is_success() {
        return Err(told.refused());
    }
    let text = match operand.as_str() {
        "" => change.done_bare.to_owned(),
        operand => change.done.replace("{}", operand),
    };
    if asked.json {
        let document = json!({ "done": text, "endpoint": told.endpoint.shown });
        return Ok(Done::well(table::json(&document)));
    }
    Ok(Done::well(format!("{text}\n")))
}
