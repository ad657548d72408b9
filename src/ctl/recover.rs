//! A cluster of its own out of what is left of one replica's disk.

use serde_json::json;

use super::args::Invocation;
use super::snapshot::{document, facts_rows, members, shown};
use super::table::pairs;
use super::{Done, Failure, table};
use crate::raft::offline::Remains;

const WARNING: &str = "\
WARNING: this is for a cluster whose quorum is gone for good.
  - What only the lost replicas had, acknowledged or not, is lost.
  - Entries of this log that were never acknowledged become part of the state.
  - The other old members belong to the old cluster: never to this one. Wipe their
    folders before they are started again; with their old data they are refused.
  - Do this on ONE replica: the one with the highest term below, and of several the
    one with the highest index.
";

pub(super) fn recover(asked: &Invocation) -> Result<Done, Failure> {
    let remains = Remains::read(&asked.storage_path)?;
    if !asked.force_new_cluster {
        let why = "nothing was changed: --force-new-cluster makes it a cluster of its own";
        return Ok(Done::but(described(asked, &remains), 2, why));
    }
    let found = described(asked, &remains);
    let made = remains.force_new_cluster()?;
    let out =
        if asked.json { shown(asked, &made) } else { format!("{found}\n{}", shown(asked, &made)) };
    Ok(Done::well(out))
}

fn described(asked: &Invocation, remains: &Remains) -> String {
    let Remains { identity, facts, committed, term, .. } = remains;
    if asked.json {
        let document = table::with(
            document(facts),
            [
                ("name", json!(identity.name)),
                ("node", json!(format!("{:016x}", identity.node))),
                ("committed_index", json!(committed)),
                ("voted_term", json!(term)),
            ],
        );
        return table::json(&document);
    }
    let mut rows = vec![
        ("storage path", asked.storage_path.display().to_string()),
        ("replica", format!("{} (node {:016x})", identity.name, identity.node)),
    ];
    rows.extend(facts_rows(facts));
    rows.push(("known committed", committed.to_string()));
    rows.push(("voted term", term.to_string()));
    format!("{WARNING}\n{}\n{}", pairs(&rows), members(facts))
}
