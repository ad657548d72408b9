//! Whether all replicas have the same state: digests can be compared at the same applied index only,
//! so everybody is asked until they have met at one. Where writes go on they may never do so when they
//! are asked; therefore each endpoint also tells of an earlier index that all of them pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::args::Invocation;
use super::cluster::{CLUSTER, members_of};
use super::table::{columns, field};
use super::{Done, Failure, client, table};

const PAUSE: Duration = Duration::from_millis(250);
/// Rounds after which nobody waits any more for a member that does not answer anybody.
const ROUNDS_MIN: u32 = 8;

/// What is known so far.
#[derive(Default)]
pub(crate) struct Samples {
    cluster: Option<String>,
    /// By id.
    names: BTreeMap<String, String>,
    /// Members that answer somebody.
    there: BTreeSet<String>,
    /// By applied index, then by id.
    digests: BTreeMap<u64, BTreeMap<String, String>>,
}

/// What comparing came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Agree,
    /// At this index.
    Disagree(u64),
    /// These members were not compared.
    Incomplete(Vec<String>),
}

impl Samples {
    /// Takes what one endpoint tells.
    pub(crate) fn add(&mut self, cluster: &Value) -> Result<(), String> {
        let id = field(cluster, "cluster_id");
        let first = self.cluster.get_or_insert_with(|| id.clone());
        if *first != id {
            return Err(format!("the endpoints belong to different clusters: {first} and {id}"));
        }
        let teller = field(cluster, "replica");
        let of_teller: Vec<&Value> =
            members_of(cluster).iter().filter(|m| field(m, "name") == teller).collect();
        if let [me] = of_teller.as_slice() {
            // Its own word is newer than what the list says of it, or the same.
            let id = field(me, "id");
            self.sample(&id, cluster);
            if let Some(checkpoint) = cluster.get("checkpoint") {
                self.sample(&id, checkpoint);
            }
        }
        for member in members_of(cluster) {
            let id = field(member, "id");
            self.names.insert(id.clone(), field(member, "name"));
            if member.get("reachable").and_then(Value::as_bool) == Some(true) {
                self.there.insert(id.clone());
                self.sample(&id, member);
            }
        }
        Ok(())
    }

    fn sample(&mut self, id: &str, told: &Value) {
        let index = told.get("applied_index").and_then(Value::as_u64);
        let digest = told.get("digest").and_then(Value::as_str);
        if let (Some(index), Some(digest)) = (index, digest) {
            let of_index = self.digests.entry(index).or_default();
            let known = of_index.entry(id.to_owned()).or_insert_with(|| digest.to_owned());
            if known != digest {
                // One replica, one index, two states: as bad as two replicas.
                of_index.insert(format!("{id} again"), digest.to_owned());
            }
        }
    }

    /// The index at which most have met, the newest of several.
    pub(crate) fn best(&self) -> Option<(u64, &BTreeMap<String, String>)> {
        let most = self.digests.iter().max_by_key(|(index, met)| (met.len(), **index));
        most.map(|(index, met)| (*index, met))
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let differs =
            |met: &BTreeMap<String, String>| met.values().collect::<BTreeSet<_>>().len() > 1;
        if let Some((index, _)) = self.digests.iter().find(|(_, met)| differs(met)) {
            return Verdict::Disagree(*index);
        }
        let met = self.best().map(|(_, met)| met);
        let compared = |id: &String| met.is_some_and(|met| met.contains_key(id));
        let missing = self.names.iter().filter(|(id, _)| !compared(id));
        let mut missing: Vec<_> = missing.map(|(_, name)| name.clone()).collect();
        missing.sort();
        if missing.is_empty() && !self.names.is_empty() {
            Verdict::Agree
        } else {
            Verdict::Incomplete(missing)
        }
    }

    /// Whether all that answer anybody have met.
    fn only_silent_missing(&self) -> bool {
        let met = self.best().map(|(_, met)| met);
        self.there.iter().all(|id| met.is_some_and(|met| met.contains_key(id)))
    }
}

pub(super) async fn digest(asked: &Invocation) -> Result<Done, Failure> {
    let deadline = Instant::now() + asked.timeout;
    let mut samples = Samples::default();
    let mut rounds = 0;
    loop {
        let asking = asked.endpoints.iter().map(|e| client::ask(e, CLUSTER, asked.timeout));
        let answers = join_all(asking).await;
        let mut silent = Vec::new();
        for answer in answers {
            match answer {
                Ok(told) => samples.add(&client::data(&told)?).map_err(Failure::Here)?,
                Err(why) => silent.push(why),
            }
        }
        if samples.cluster.is_none() {
            return Err(Failure::NoAnswer(silent.join("; ")));
        }
        rounds += 1;
        let verdict = samples.verdict();
        let over = match &verdict {
            Verdict::Agree => silent.is_empty() || rounds >= ROUNDS_MIN,
            Verdict::Disagree(_) => true,
            Verdict::Incomplete(_) => rounds >= ROUNDS_MIN && samples.only_silent_missing(),
        };
        if over || Instant::now() + PAUSE > deadline {
            return Ok(told(asked, &samples, &verdict, &silent));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn told(asked: &Invocation, samples: &Samples, verdict: &Verdict, silent: &[String]) -> Done {
    let met = match verdict {
        Verdict::Disagree(index) => samples.digests.get_key_value(index).map(|(i, met)| (*i, met)),
        _ => samples.best(),
    };
    let (index, met) = met.map_or((0, BTreeMap::new()), |(index, met)| (index, met.clone()));
    let name = |id: &str| samples.names.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let mut met: Vec<(String, String, String)> =
        met.into_iter().map(|(id, digest)| (name(&id), id, digest)).collect();
    met.sort();
    let (code, text) = match verdict {
        Verdict::Agree => {
            (0, format!("all {} replicas agree at index {index}", samples.names.len()))
        }
        Verdict::Disagree(index) => {
            (4, format!("replicas disagree at index {index}: keep all of their folders"))
        }
        Verdict::Incomplete(missing) => (
            3,
            format!(
                "{} of {} replicas agree at index {index}; not compared: {}",
                met.len(),
                samples.names.len(),
                missing.join(", ")
            ),
        ),
    };
    let out = if asked.json {
        let rows: Vec<Value> = met
            .iter()
            .map(|(name, id, digest)| json!({ "id": id, "name": name, "digest": digest }))
            .collect();
        let agree = *verdict == Verdict::Agree;
        let document = json!({
            "agree": agree, "index": index, "replicas": rows, "summary": text, "silent": silent,
        });
        table::json(&document)
    } else {
        let rows: Vec<Vec<String>> = met
            .iter()
            .map(|(name, _, digest)| vec![name.clone(), index.to_string(), digest.clone()])
            .collect();
        let listed = columns(&["NAME", "INDEX", "DIGEST"], &rows);
        if code == 0 { format!("{listed}\n{text}\n") } else { listed }
    };
    if code == 0 { Done::well(out) } else { Done::but(out, code, &text) }
}
