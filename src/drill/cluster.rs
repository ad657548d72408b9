//! The cluster as its replicas tell: whether it is whole, who leads, and whether all have the same.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::{Answer, Client};
use crate::ctl::client::{Endpoint, ask, data};
use crate::ctl::cluster::{CLUSTER, members_of};
use crate::ctl::digest::{Samples, Verdict};
use crate::ctl::table::field;

const PAUSE: Duration = Duration::from_millis(100);
/// How long a replica may take to say how it is.
const LOOK: Duration = Duration::from_secs(2);
/// How long replicas that should be the same are looked at.
const COMPARE: Duration = Duration::from_secs(20);

/// A cluster in which nothing is amiss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) cluster_id: String,
    pub(super) leader: String,
    /// Where the other replicas reach the leader.
    pub(super) leader_address: String,
    pub(super) term: String,
    pub(super) voters: usize,
    /// Who answered at each endpoint.
    pub(super) names: Vec<String>,
    pub(super) version: String,
}

/// What each endpoint says, or why it does not.
pub(super) async fn look(endpoints: &[Endpoint]) -> Vec<Result<Value, String>> {
    let asking = endpoints.iter().map(|endpoint| async {
        let told = ask(endpoint, CLUSTER, LOOK).await?;
        data(&told).map_err(|failure| failure.to_string())
    });
    join_all(asking).await
}

/// Whether the replicas at all endpoints say that nothing is amiss; else, what is.
pub(super) fn whole(told: &[Result<Value, String>]) -> Result<Whole, String> {
    let mut found: Option<Whole> = None;
    for told in told {
        let told = told.as_ref().map_err(Clone::clone)?;
        let name = field(told, "replica");
        let leader = field(told, "leader");
        if told.get("healthy").and_then(Value::as_bool) != Some(true) || leader == "-" {
            let why = told.get("waits_for").and_then(Value::as_str);
            return Err(format!("{name} says that the cluster is not healthy{}", reason(why)));
        }
        let members = members_of(told);
        if let Some(gone) =
            members.iter().find(|m| m.get("reachable").and_then(Value::as_bool) != Some(true))
        {
            let gone = field(gone, "name");
            return Err(format!("{gone} does not answer {name}"));
        }
        let of_leader = members.iter().find(|member| field(member, "name") == leader);
        let is_voter = |m: &&Value| m.get("voter").and_then(Value::as_bool) == Some(true);
        let seen = Whole {
            cluster_id: field(told, "cluster_id"),
            leader_address: of_leader.map_or_else(String::new, |member| field(member, "address")),
            version: of_leader.map_or_else(String::new, |member| field(member, "version")),
            leader,
            term: field(told, "term"),
            voters: members.iter().filter(is_voter).count(),
            names: Vec::new(),
        };
        let first = found.get_or_insert_with(|| seen.clone());
        if first.cluster_id != seen.cluster_id {
            return Err("the endpoints belong to different clusters".to_owned());
        }
        if (&first.leader, &first.term) != (&seen.leader, &seen.term) {
            return Err(format!("{name} follows {}, others {}", seen.leader, first.leader));
        }
        first.names.push(name);
    }
    found.ok_or_else(|| "there are no endpoints".to_owned())
}

fn reason(text: Option<&str>) -> String {
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

async fn ready(endpoints: &[Endpoint]) -> Result<(), String> {
    for answer in join_all(endpoints.iter().map(|e| ask(e, "/-/ready", LOOK))).await {
        let told = answer?;
        if !told.status.is_success() {
            return Err(format!("{} is not ready: {}", told.endpoint.shown, told.text()));
        }
    }
    Ok(())
}

/// Waits until nothing is amiss, twice in a row.
pub(super) async fn until_whole(endpoints: &[Endpoint], limit: Duration) -> Result<Whole, String> {
    let deadline = Instant::now() + limit;
    let mut before = None;
    loop {
        let now = match ready(endpoints).await {
            Ok(()) => whole(&look(endpoints).await),
            Err(why) => Err(why),
        };
        match (&now, &before) {
            (Ok(now), Some(before)) if now.leader == *before => return Ok(now.clone()),
            (Err(why), _) if Instant::now() > deadline => {
                return Err(format!("the cluster is not whole: {why}"));
            }
            _ => before = now.ok().map(|now| now.leader),
        }
        sleep(PAUSE).await;
    }
}

/// Waits until those who are left have a leader other than the victim, who led.
pub(super) async fn until_succeeded(
    endpoints: &[Endpoint],
    victim: usize,
    leader: &str,
    limit: Duration,
) -> Result<(), String> {
    let left: Vec<Endpoint> = endpoints
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != victim)
        .map(|(_, endpoint)| endpoint.clone())
        .collect();
    let deadline = Instant::now() + limit;
    loop {
        let told = look(&left).await;
        let healthy = |told: &&Value| told.get("healthy").is_some_and(|healthy| *healthy == true);
        let mut leaders = told.iter().flatten().filter(healthy).map(|told| field(told, "leader"));
        if leaders.any(|now| now != "-" && now != leader) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("no leader without {leader} within {limit:?} (--wait)"));
        }
        sleep(PAUSE).await;
    }
}

/// Whether replicas are the same in some respect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Same {
    Yes,
    /// In what they differ.
    No(String),
    /// Why that cannot be told.
    Unknown(String),
}

impl Same {
    /// As it is written.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Same::Yes => "yes",
            Same::No(_) => "no",
            Same::Unknown(_) => "not compared",
        }
    }

    pub(super) fn detail(&self) -> &str {
        match self {
            Same::Yes => "",
            Same::No(why) | Same::Unknown(why) => why,
        }
    }
}

/// Whether all members have the same digest at the same log index; the index.
pub(super) async fn same_digest(endpoints: &[Endpoint]) -> (Same, u64) {
    let deadline = Instant::now() + COMPARE;
    let mut samples = Samples::default();
    loop {
        for told in look(endpoints).await.into_iter().flatten() {
            if let Err(why) = samples.add(&told) {
                return (Same::No(why), 0);
            }
        }
        let index = samples.best().map_or(0, |(index, _)| index);
        match samples.verdict() {
            Verdict::Agree => return (Same::Yes, index),
            Verdict::Disagree(index) => {
                let why = format!("digests differ at index {index}: keep all folders");
                return (Same::No(why), index);
            }
            Verdict::Incomplete(missing) if Instant::now() > deadline => {
                let why = format!("no common index with {}", missing.join(", "));
                return (Same::Unknown(why), index);
            }
            Verdict::Incomplete(_) => sleep(PAUSE).await,
        }
    }
}

/// Scrapes all endpoints; several times if that takes long.
pub(super) async fn scrape_all(
    endpoints: &[Endpoint],
    timeout: Duration,
) -> Vec<Result<Answer, String>> {
    let scraping = endpoints.iter().map(|endpoint| async move {
        let deadline = Instant::now() + COMPARE;
        loop {
            let mut client = Client::new(endpoint.clone());
            match client.scrape(Instant::now() + timeout).await {
                Err(_) if Instant::now() < deadline => sleep(PAUSE).await,
                done => return done.map_err(|why| format!("{}: {why}", endpoint.shown)),
            }
        }
    });
    join_all(scraping).await
}

/// Whether these scrapes have the same bytes at the same log index.
pub(super) fn same_bytes(scrapes: &[Result<Answer, String>]) -> Same {
    let mut first: Option<&Answer> = None;
    for scrape in scrapes {
        let answer = match scrape {
            Ok(answer) => answer,
            Err(why) => return Same::Unknown(why.clone()),
        };
        let first = *first.get_or_insert(answer);
        if answer.index.is_none() || first.index != answer.index {
            return Same::Unknown("the scrapes stand at different log indexes".to_owned());
        }
        if first.body != answer.body {
            let index = answer.index.as_deref().unwrap_or_default();
            return Same::No(format!("scrapes differ at index {index}"));
        }
    }
    if scrapes.len() > 1 { Same::Yes } else { Same::Unknown("there is one endpoint".to_owned()) }
}
