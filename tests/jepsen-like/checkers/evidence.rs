//! What the runner saw of the replicas themselves, beside what the clients saw.
//!
//! Times are nanoseconds since the epoch of the history.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Everything that a verdict needs and the history does not have. What the runner does not know it
/// leaves empty, and the property that needs it is skipped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// How many replicas there are.
    pub(crate) replicas: usize,
    /// Asked of every replica after the faults were taken away and the load had stopped.
    pub(crate) digests: Vec<Digest>,
    /// From the moment the faults were gone until every replica answered pushes and scrapes, had
    /// the same leader and the same digest; `None` if that did not come to pass, or was not tried.
    pub(crate) healed_after: Option<u64>,
    /// Who acknowledged a push and answered a scrape of the runner's own before that.
    pub(crate) served: Vec<String>,
    /// Whether healing was waited for.
    pub(crate) heal_tried: bool,
    pub(crate) faults: Vec<Fault>,
    /// Which replicas ran but could not reach a majority, from when this was in force until just
    /// before it ended.
    pub(crate) cut_off: Vec<CutOff>,
    /// What the replicas used before the faults and some time after.
    pub(crate) resources: Vec<Resources>,
    pub(crate) leader_changes: u64,
    pub(crate) snapshots_installed: u64,
    /// A replica without a quorum has to answer within this time: the larger of the timeouts of
    /// reads and changes that it was started with. 0: not known.
    pub(crate) deadline: u64,
    /// How far the clock of a replica was moved from the clients' at most.
    pub(crate) clock_skew: u64,
    /// What the replicas said of themselves while it ran.
    pub(crate) sightings: Vec<Sighting>,
    /// What a run of this kind must have had to prove anything.
    pub(crate) due: Due,
}

/// The digest of a replica's state.
#[expect(clippy::struct_field_names, reason = "it is what the replica calls it")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    pub(crate) replica: String,
    pub(crate) index: u64,
    pub(crate) digest: String,
}

/// One fault, as it was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A replica that runs without a majority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CutOff {
    pub(crate) replica: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What one replica uses, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resources {
    pub(crate) replica: String,
    pub(crate) before: Usage,
    pub(crate) after: Usage,
}

/// What a process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) rss_bytes: u64,
    pub(crate) fds: u64,
    pub(crate) threads: u64,
    pub(crate) log_bytes: u64,
}

/// What a replica said of itself at some time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    pub(crate) at: u64,
    pub(crate) replica: String,
    /// Counts the disks that the replica was given: a wiped one begins anew.
    pub(crate) disk: u32,
    /// Counts the starts of its process: what was applied before may have to be applied again.
    pub(crate) start: u32,
    pub(crate) term: u64,
    pub(crate) applied: u64,
    /// The leader that it follows in this term; empty if none.
    pub(crate) leader: String,
    /// That leader's node id, in as many digits as any; empty if none.
    #[serde(default)]
    pub(crate) leader_id: String,
    /// Of its state at `applied`; empty if it was not asked for.
    #[serde(default)]
    pub(crate) digest: String,
    /// An earlier index, one that all replicas pass, and the digest there.
    #[serde(default)]
    pub(crate) checkpoint: Option<(u64, String)>,
    #[serde(default)]
    pub(crate) log: Option<LogIndexes>,
}

/// How far the log of a replica has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogIndexes {
    /// Up to here nothing is kept.
    pub(crate) purged: u64,
    /// What its newest snapshot stands for; 0: it has none.
    pub(crate) snapshot: u64,
    pub(crate) committed: u64,
    pub(crate) last: u64,
    /// The term of the newest vote that is on disk.
    pub(crate) vote_term: u64,
}

/// What a run must have had, at least or at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Due {
    /// Changes that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Of these, such as were called during a fault and acknowledged.
    pub(crate) acknowledged_in_faults: u64,
    pub(crate) scrapes: u64,
    pub(crate) faults: u64,
    pub(crate) leader_changes: u64,
    /// More changes of leader than this are too many.
    pub(crate) leader_changes_max: Option<u64>,
    pub(crate) snapshots_installed: u64,
    /// Places in the code, at each of which some fault had somebody crash.
    pub(crate) places: Vec<String>,
}

impl Evidence {
    /// Writes it as JSON.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        Ok(serde_json::to_writer_pretty(BufWriter::new(File::create(path)?), self)?)
    }

    /// Reads what [`Evidence::write`] wrote.
    pub(crate) fn read(path: &Path) -> io::Result<Evidence> {
        Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
    }
}
