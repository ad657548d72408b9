//! What a replica says of itself and its cluster.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::http;
use crate::checkers::LogIndexes;

const LIMIT: Duration = Duration::from_secs(1);

/// The cluster as one replica sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The name of the leader; empty: none known.
    pub(crate) leader: String,
    /// Its node id, in hexadecimal digits; empty with the name.
    pub(crate) leader_id: String,
    pub(crate) term: u64,
    pub(crate) applied: u64,
    pub(crate) digest: String,
    /// An index that all replicas pass, and the digest there.
    pub(crate) checkpoint: Option<(u64, String)>,
    /// `None`: it has no cluster yet.
    pub(crate) log: Option<LogIndexes>,
    pub(crate) voters: Vec<String>,
    pub(crate) learners: Vec<String>,
}

impl Status {
    pub(crate) fn of(web: SocketAddr) -> Result<Status, String> {
        let answer = http::ask(web, "GET", "/api/v1/cluster", LIMIT)?;
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.text()));
        }
        let json: Value = serde_json::from_slice(&answer.body).map_err(|err| err.to_string())?;
        Ok(Status::read(&json["data"]))
    }

    fn read(data: &Value) -> Status {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let members = data["members"].as_array().cloned().unwrap_or_default();
        let leader = members.iter().find(|member| member["name"] == data["leader"]);
        let leader_id = leader.map_or_else(String::new, |leader| text(&leader["id"]));
        let (voters, learners): (Vec<_>, Vec<_>) =
            members.iter().partition(|member| member["voter"] == true);
        let names = |members: Vec<&Value>| members.iter().map(|m| text(&m["name"])).collect();
        let (checkpoint, log) = (&data["checkpoint"], &data["log"]);
        Status {
            leader: text(&data["leader"]),
            leader_id,
            term: number(&data["term"]),
            applied: number(&data["applied_index"]),
            digest: text(&data["digest"]),
            checkpoint: checkpoint
                .is_object()
                .then(|| (number(&checkpoint["applied_index"]), text(&checkpoint["digest"]))),
            log: log.is_object().then(|| LogIndexes {
                purged: number(&log["purged_index"]),
                snapshot: number(&log["snapshot_index"]),
                committed: number(&log["committed_index"]),
                last: number(&log["last_index"]),
                vote_term: number(&log["vote_term"]),
            }),
            voters: names(voters),
            learners: names(learners),
        }
    }
}

/// Whether a replica takes requests; if not, why.
pub(crate) fn ready(web: SocketAddr) -> Result<(), String> {
    let answer = http::ask(web, "GET", "/-/ready?verbose", LIMIT)?;
    if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
}

/// How far the replica's wall clock, as it shows in the Date header, is from ours, in seconds.
pub(crate) fn clock_offset(web: SocketAddr, wall_seconds: i64) -> Result<i64, String> {
    let answer = http::ask(web, "GET", "/-/healthy", LIMIT)?;
    let date = answer.header("Date").ok_or("no Date header")?;
    let parsed = jiff::fmt::rfc2822::parse(date).map_err(|err| err.to_string())?;
    Ok(parsed.timestamp().as_second() - wall_seconds)
}

/// One of the replica's own metrics: the sum over its series.
pub(crate) fn metric(web: SocketAddr, name: &str) -> Option<f64> {
    let text = http::ask(web, "GET", "/-/metrics", LIMIT).ok()?.text();
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = rest.strip_prefix(' ').or_else(|| rest.split_once("} ").map(|(_, v)| v))?;
        (rest.starts_with([' ', '{'])).then(|| value.parse::<f64>().ok())?
    });
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum())
}
