//! What happens when: made from a seed, stored as JSON, replayed from it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::nemesis::Fault;
use crate::plans::{self, Plan};
use crate::tools::{Random, say};
use crate::workload::Kind;

/// One fault and its time, in milliseconds since the load began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) at_ms: u64,
    pub(crate) for_ms: u64,
    pub(crate) fault: Fault,
}

/// A whole run, but for chance in the replicas, the kernel and the clients' threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) nemesis: String,
    pub(crate) workload: String,
    pub(crate) seed: u64,
    pub(crate) seconds: u64,
    pub(crate) replicas: usize,
    pub(crate) operations_per_second: u32,
    pub(crate) clients: u32,
    pub(crate) steps: Vec<Step>,
    /// A deliberate mistake that all replicas make, which takes a binary with the feature `trials`.
    #[serde(default)]
    pub(crate) bug: Option<String>,
    /// Another number of entries after which a snapshot is taken.
    #[serde(default)]
    pub(crate) snapshot_entries: Option<u32>,
}

/// Before the first fault: what is pushed until then must survive all of them.
const CALM_MS: u64 = 2500;

impl Schedule {
    /// The schedule of a plan.
    pub(crate) fn new(
        plan: &Plan,
        kind: Kind,
        seed: u64,
        seconds: u64,
        replicas: usize,
    ) -> Schedule {
        // Runs of other plans with the same seed have nothing in common.
        let name =
            plan.name.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(131) + u64::from(byte));
        let mut random = Random::new(seed ^ name);
        let mut steps = Vec::new();
        for lane in 0..plan.lanes {
            let mut at_ms = CALM_MS + u64::from(lane) * random.between(300, 1500);
            let mut round = usize::try_from(random.next() % 1000).unwrap();
            while at_ms < seconds * 1000 {
                let for_ms = random.between(plan.hold_ms.0, plan.hold_ms.1);
                let fault = (plan.fault)(&mut random, round);
                steps.push(Step { at_ms, for_ms, fault });
                at_ms += for_ms + random.between(plan.gap_ms.0, plan.gap_ms.1);
                round += 1;
            }
        }
        steps.sort_by_key(|step| step.at_ms);
        let (operations_per_second, clients) = plans::load_of(kind);
        let (nemesis, workload) = (plan.name.to_owned(), kind.name().to_owned());
        Schedule {
            nemesis,
            workload,
            seed,
            seconds,
            replicas,
            operations_per_second,
            clients,
            steps,
            bug: None,
            snapshot_entries: None,
        }
    }

    /// The places in the code at which somebody is to crash.
    pub(crate) fn places(&self) -> Vec<String> {
        let place = |step: &Step| match &step.fault {
            Fault::PowerCutAt { place, .. } => Some(place.clone()),
            _ => None,
        };
        let places: BTreeSet<String> = self.steps.iter().filter_map(place).collect();
        places.into_iter().collect()
    }

    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, self.json() + "\n")
    }

    pub(crate) fn read(path: &Path) -> Result<Schedule, String> {
        let text = std::fs::read(path).map_err(|err| format!("{}: {err}", path.display()))?;
        serde_json::from_slice(&text).map_err(|err| format!("{}: {err}", path.display()))
    }

    /// The steps, one a line.
    pub(crate) fn print(&self) {
        let Schedule { nemesis, workload, seed, seconds, replicas, .. } = self;
        say(&format!(
            "--- {nemesis} with {workload}, seed {seed}, {seconds} s, {replicas} replicas"
        ));
        for Step { at_ms, for_ms, fault } in &self.steps {
            let fault = serde_json::to_string(fault).unwrap();
            say(&format!("  at {at_ms:>6} ms for {for_ms:>5} ms: {fault}"));
        }
    }

    fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap()
    }
}
