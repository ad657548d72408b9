//! What clients asked, what they were told, and when: the only thing that checkers believe.
//!
//! Times are nanoseconds since the epoch of the run, an `Instant` that all clients share. An
//! operation is `Ok` when its answer says so, `Rejected` only where it surely had no effect, and
//! `Unknown` otherwise: it may have taken effect, or may take effect at any later time.

mod file;
mod request;

pub(crate) use request::{Request, requests};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a group, as its label `group` has it.
pub(crate) type Group = Arc<str>;
/// The name of a family of metrics.
pub(crate) type Family = Arc<str>;
/// What a family holds: a value that one attempt only pushes, and the number of its series.
pub(crate) type Cells = BTreeMap<Family, Cell>;

/// The value of a family whose series do not all have the same: no attempt pushes it.
pub(crate) const MIXED: u64 = u64::MAX;

/// What one family of one group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Pushed by one attempt only, in the whole run; the same in all series of the family.
    pub(crate) value: u64,
    /// How many series the family has.
    pub(crate) series: u32,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Replaces all families of the group.
    Put { group: Group, cells: Cells },
    /// Replaces the named families only.
    Post { group: Group, cells: Cells },
    /// Removes the group.
    Delete { group: Group },
    /// A push that contradicts itself: refused with 400, and yet an effect, since it sets
    /// `push_failure_time_seconds` and creates the group if need be.
    Inconsistent { group: Group },
    /// Removes all groups.
    Wipe,
    /// Reads everything.
    Scrape,
}

impl Action {
    /// The one group that is changed.
    pub(crate) fn group(&self) -> Option<&Group> {
        match self {
            Action::Put { group, .. }
            | Action::Post { group, .. }
            | Action::Delete { group }
            | Action::Inconsistent { group } => Some(group),
            Action::Wipe | Action::Scrape => None,
        }
    }

    /// What is pushed.
    pub(crate) fn cells(&self) -> Option<&Cells> {
        match self {
            Action::Put { cells, .. } | Action::Post { cells, .. } => Some(cells),
            _ => None,
        }
    }
}

/// Where in the log an answer stands, and who gave it: what its headers say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Of a change: where it was applied, or found to be applied before. Of a scrape: what it shows.
    pub(crate) index: u64,
    pub(crate) term: u64,
    pub(crate) replica: String,
}

/// How an operation ended for the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It took effect, or was read.
    Ok(Stamp),
    /// It surely had no effect: no byte was sent, or the answer says that nothing was proposed.
    Rejected(Refusal),
    /// It may have had an effect, or may yet have one.
    Unknown(Refusal),
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    pub(crate) detail: String,
}

/// One group as a scrape shows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) cells: Cells,
    /// `push_time_seconds`; 0 before the first success.
    #[serde(with = "file::exact")]
    pub(crate) pushed: f64,
    /// `push_failure_time_seconds`; 0 before the first failure.
    #[serde(with = "file::exact")]
    pub(crate) failed: f64,
}

/// Everything that one scrape shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Picture {
    /// A hash of the bytes of the body.
    pub(crate) bytes: u64,
    pub(crate) groups: BTreeMap<Group, Shown>,
}

/// One request and its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Op {
    pub(crate) id: u64,
    /// A sequence of operations of which at most one is under way; ends with the first unknown one.
    pub(crate) client: u64,
    /// The replica that was asked.
    pub(crate) replica: String,
    pub(crate) called: u64,
    /// When the client had its answer, or gave up.
    pub(crate) returned: u64,
    pub(crate) action: Action,
    /// `Idempotency-Key`: operations with the same one are attempts at the same request.
    pub(crate) key: Option<String>,
    pub(crate) outcome: Outcome,
    /// What a scrape that succeeded shows.
    pub(crate) picture: Option<Arc<Picture>>,
    /// Whether this is one of the reads after the end, of every replica.
    pub(crate) last: bool,
}

impl Op {
    /// Where the answer stands, if the operation succeeded.
    pub(crate) fn stamp(&self) -> Option<&Stamp> {
        match &self.outcome {
            Outcome::Ok(stamp) => Some(stamp),
            Outcome::Rejected(_) | Outcome::Unknown(_) => None,
        }
    }

    /// A scrape that succeeded: where it stands and what it shows.
    pub(crate) fn read(&self) -> Option<(&Stamp, &Picture)> {
        Some((self.stamp()?, self.picture.as_deref()?))
    }

    /// How a verdict names it.
    pub(crate) fn name(&self) -> String {
        let ms = |ns: u64| ns / 1_000_000;
        let what = match &self.action {
            Action::Put { group, cells } => format!("PUT {group} {}", values(cells)),
            Action::Post { group, cells } => format!("POST {group} {}", values(cells)),
            Action::Delete { group } => format!("DELETE {group}"),
            Action::Inconsistent { group } => format!("inconsistent push to {group}"),
            Action::Wipe => "wipe".to_owned(),
            Action::Scrape => "scrape".to_owned(),
        };
        let end = match &self.outcome {
            Outcome::Ok(stamp) => format!("index {}", stamp.index),
            Outcome::Rejected(_) => "rejected".to_owned(),
            Outcome::Unknown(_) => "unknown".to_owned(),
        };
        let Op { id, client, replica, called, returned, .. } = self;
        format!(
            "#{id} {what} at {replica} by client {client}, {}-{} ms, {end}",
            ms(*called),
            ms(*returned)
        )
    }
}

/// Cells as `a=1 b=2`.
pub(crate) fn values(cells: &Cells) -> String {
    let cells = cells.iter().map(|(family, cell)| match cell.value {
        MIXED => format!("{family}=(mixed)"),
        value => format!("{family}={value}"),
    });
    cells.collect::<Vec<_>>().join(" ")
}

/// All that clients did and saw in one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    /// The wall clock at the epoch, in nanoseconds since 1970, as the clients' machine has it.
    pub(crate) started: u64,
    /// How long clients wait for an answer, in nanoseconds.
    pub(crate) patience: u64,
    /// The job of all groups, by which scrapes are told from what else is stored.
    pub(crate) job: String,
    pub(crate) ops: Vec<Op>,
}
