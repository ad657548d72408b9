//! Whether this process is sound, and whether requests should be sent to it.

use std::time::Duration;

use super::running::Running;

/// How long the cluster may be without a leader before its replicas are not ready: longer than any
/// election, so that an election takes nobody out of service.
const LEADERLESS_MAX: Duration = Duration::from_secs(5);
/// How far behind the leader a replica may be and still take requests.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// One condition of readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    pub(crate) detail: String,
}

/// What the health endpoints tell.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// This process and its disk: an error means that a restart is due.
    pub(crate) healthy: Result<(), String>,
    /// Whether requests should be sent here.
    pub(crate) ready: Vec<Check>,
}

fn check(name: &'static str, result: Result<String, String>) -> Check {
    let ok = result.is_ok();
    Check { name, ok, detail: result.unwrap_or_else(|detail| detail) }
}

/// Of a replica that has no cluster yet.
pub(crate) fn starting(waits_for: &str, failure: Option<String>) -> Health {
    let healthy = failure.map_or(Ok(()), Err);
    Health { healthy, ready: vec![check("cluster", Err(waits_for.to_owned()))] }
}

pub(crate) fn of(running: &Running, failure: Option<String>, stopping: bool) -> Health {
    let metrics = running.metrics();
    let running_state = metrics.running_state.clone().map_err(|fatal| fatal.to_string());
    let healthy = failure.map_or(running_state, Err);
    let membership = metrics.membership_config.membership();
    let me = running.identity.node;
    let voters = membership.voter_ids().count();
    let member = match membership.get_node(&me) {
        Some(_) if membership.voter_ids().any(|id| id == me) => {
            Ok(format!("one of {voters} voters"))
        }
        Some(_) => Ok(format!("a learner beside {voters} voters")),
        None => Err("this replica is not a member of its cluster".to_owned()),
    };
    let name =
        |id: u64| membership.get_node(&id).map_or_else(|| format!("node {id}"), |m| m.name.clone());
    let leader = match (metrics.current_leader, running.leaderless_for()) {
        (Some(id), _) if id == me && voters == 1 => Ok(name(id)),
        (Some(id), Some(silence)) if silence <= LEADERLESS_MAX => Ok(name(id)),
        (None, Some(silence)) if silence <= LEADERLESS_MAX => Ok(format!(
            "an election is under way, {} ms since the last leader",
            silence.as_millis()
        )),
        (_, Some(silence)) => Err(format!("none for {} s", silence.as_secs())),
        (_, None) => Err("none heard of yet".to_owned()),
    };
    let caught_up = match (metrics.current_leader, running.staleness()) {
        (Some(id), _) if id == me => Ok("leads".to_owned()),
        (_, Some(age)) if age <= BEHIND_MAX => Ok(format!("{} ms behind", age.as_millis())),
        (_, Some(age)) => Err(format!("{} s behind", age.as_secs())),
        (_, None) => Err("the leader is too far ahead".to_owned()),
    };
    let disk = running.disk_space.check().map(|()| "enough space".to_owned());
    let mut ready = vec![
        check("raft", healthy.clone().map(|()| "running".to_owned())),
        check("member", member),
        check("leader", leader),
        check("caught-up", caught_up),
        check("disk", disk.map_err(|full| full.to_string())),
    ];
    if stopping {
        ready.push(check("stopping", Err("this replica is shutting down".to_owned())));
    }
    Health { healthy, ready }
}
