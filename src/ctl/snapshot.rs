//! Snapshot files: taken from a replica, looked into, made into a replica.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::Invocation;
use super::table::{columns, pairs};
use super::{Done, Failure, client, cluster_id, table};
use crate::raft::offline::{self, Facts, Made};

/// A file under a temporary name; removed unless it gets its own.
struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    fn beside(target: &Path) -> io::Result<Part> {
        let name = target.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
        let mut part = name.to_owned();
        part.push(format!(".part-{}", std::process::id()));
        let path = target.with_file_name(part);
        Ok(Part { file: File::create(&path)?, path })
    }

    /// Gives the file its name, durably.
    fn publish(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already if it was renamed.
        drop(fs::remove_file(&self.path));
    }
}

pub(super) async fn save(asked: &Invocation) -> Result<Done, Failure> {
    let target = Path::new(&asked.operand);
    let here = |err: io::Error| Failure::Here(format!("{}: {err}", target.display()));
    let mut opened = client::get(asked, "/api/v1/admin/snapshot").await?;
    let endpoint = opened.endpoint.shown.clone();
    if !opened.response.status().is_success() {
        return Err(client::complete(opened).await?.refused());
    }
    let mut part = Part::beside(target).map_err(here)?;
    let broken =
        |text| Failure::Refused { endpoint: endpoint.clone(), text: format!("cut short: {text}") };
    while let Some(bytes) = opened.next().await.map_err(broken)? {
        part.file.write_all(&bytes).map_err(here)?;
    }
    part.file.sync_all().map_err(here)?;
    let inspected = offline::inspect(&part.path)?;
    part.publish(target).map_err(here)?;
    Ok(Done::well(described(asked, &inspected.facts, inspected.bytes)))
}

pub(super) fn inspect(asked: &Invocation) -> Result<Done, Failure> {
    let inspected = offline::inspect(Path::new(&asked.operand))?;
    Ok(Done::well(described(asked, &inspected.facts, inspected.bytes)))
}

fn described(asked: &Invocation, facts: &Facts, bytes: u64) -> String {
    if asked.json {
        let more = [("file", json!(asked.operand)), ("bytes", json!(bytes))];
        let document = table::with(document(facts), more);
        return table::json(&document);
    }
    let mut rows = vec![("file", asked.operand.clone()), ("bytes", bytes.to_string())];
    rows.extend(facts_rows(facts));
    format!("{}\n{}", pairs(&rows), members(facts))
}

/// A state as names and values.
pub(super) fn facts_rows(facts: &Facts) -> Vec<(&'static str, String)> {
    let unknown = || "unknown, so the digest was not compared".to_owned();
    vec![
        ("cluster", facts.cluster.map_or_else(unknown, cluster_id)),
        ("index", facts.index.to_string()),
        ("term", facts.term.to_string()),
        ("groups", facts.groups.to_string()),
        ("series", facts.series.to_string()),
        ("digest", format!("{:032x}", facts.digest)),
    ]
}

/// The members as a table.
pub(super) fn members(facts: &Facts) -> String {
    let rows: Vec<Vec<String>> = facts
        .members
        .iter()
        .map(|member| {
            let voter = if member.voter { "yes" } else { "no" };
            let id = format!("{:016x}", member.id);
            let address = Some(&member.address).filter(|address| !address.is_empty());
            let address = address.map_or("-", String::as_str);
            vec![member.name.clone(), id, voter.to_owned(), address.to_owned()]
        })
        .collect();
    columns(&["NAME", "ID", "VOTER", "ADDRESS"], &rows)
}

/// A state as a document.
pub(super) fn document(facts: &Facts) -> Value {
    let members: Vec<Value> = facts
        .members
        .iter()
        .map(|member| {
            json!({
                "name": member.name,
                "id": format!("{:016x}", member.id),
                "address": member.address,
                "voter": member.voter,
            })
        })
        .collect();
    json!({
        "cluster_id": facts.cluster.map(cluster_id),
        "index": facts.index,
        "term": facts.term,
        "groups": facts.groups,
        "series": facts.series,
        "digest": format!("{:032x}", facts.digest),
        "members": members,
    })
}

pub(super) fn restore(asked: &Invocation) -> Result<Done, Failure> {
    let name = asked.name.clone();
    let name =
        name.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let file = Path::new(&asked.operand);
    let made = offline::restore(file, &asked.storage_path, &name, asked.force)?;
    Ok(Done::well(shown(asked, &made)))
}

/// A replica that was made.
pub(super) fn shown(asked: &Invocation, made: &Made) -> String {
    let path = asked.storage_path.display().to_string();
    let aside = made.aside.as_ref().map(|aside| aside.display().to_string());
    if asked.json {
        let document = table::with(
            document(&made.facts),
            [
                ("storage_path", json!(path)),
                ("name", json!(made.name)),
                ("node", json!(format!("{:016x}", made.node))),
                ("set_aside", json!(aside)),
            ],
        );
        return table::json(&document);
    }
    let mut rows = vec![
        ("storage path", path),
        ("replica", format!("{} (node {:016x})", made.name, made.node)),
    ];
    rows.extend(facts_rows(&made.facts));
    if let Some(aside) = aside {
        rows.push(("set aside", aside));
    }
    format!(
        "{}\nThis is the only member of a new cluster. Start it with the usual flags, and let others\n\
         join it with empty folders.\n",
        pairs(&rows)
    )
}
