//! The suite against deliberate bugs: a suite that misses one proves nothing by finding nothing.
//!
//! Each bug has a scenario that gives it what it takes to bite. The scenario is run, with one seed
//! after the other, until a checker notices or the time is up. Then the same scenarios are run
//! without a bug, and must pass: else what was noticed was not the bug.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::nemesis::Fault;
use crate::nemesis::partition::Split;
use crate::nemesis::whom::{Aim, Whom};
use crate::places;
use crate::plans;
use crate::run::{self, End};
use crate::schedule::{Schedule, Step};
use crate::tools::{self, Random, say};
use crate::workload::Kind;

/// How long a bug may stay unnoticed.
const TIME_LIMIT: Duration = Duration::from_mins(4);
const SECONDS: u64 = 12;
/// Operations a second where a bug bites only what is under way at one moment.
const MANY: u32 = 200;
/// Entries after which a snapshot is taken where the log must be purged faster than the state
/// database is written, which spares a replica the snapshot.
const FEW: u32 = 5;

/// When which faults strike.
#[derive(Clone, Copy)]
enum Faults {
    /// As the plan of this name has it.
    Plan(&'static str),
    /// As laid down here.
    Steps(fn(&mut Random) -> Vec<Step>),
}

struct Scenario {
    bug: &'static str,
    kind: Kind,
    ops_per_second: Option<u32>,
    snapshot_entries: Option<u32>,
    faults: Faults,
}

const fn scenario(bug: &'static str, kind: Kind, faults: Faults) -> Scenario {
    Scenario { bug, kind, ops_per_second: None, snapshot_entries: None, faults }
}

/// What it takes for each bug to bite; `docs/testing.md` says why.
const SCENARIOS: [Scenario; 12] = [
    scenario("local-read", Kind::Puts, Faults::Plan("isolate-any")),
    Scenario {
        bug: "ack-before-fsync",
        kind: Kind::Set,
        ops_per_second: Some(MANY),
        snapshot_entries: None,
        faults: Faults::Steps(cut_while_syncing),
    },
    scenario("bare-sled-flush", Kind::Set, Faults::Plan("power-cut-all")),
    scenario("vote-not-stored", Kind::Puts, Faults::Steps(restarted_candidates)),
    scenario("no-dedupe", Kind::Retries, Faults::Plan("kill-leader")),
    scenario("apply-local-time", Kind::Puts, Faults::Plan("transfer")),
    scenario("hash-order", Kind::Puts, Faults::Plan("transfer")),
    scenario("snapshot-forgets", Kind::Inconsistent, Faults::Plan("wipe")),
    scenario("lease-read", Kind::Puts, Faults::Plan("isolate-leader")),
    scenario("wiped-node-votes", Kind::Set, Faults::Steps(wiped_beside_a_laggard)),
    Scenario {
        bug: "fsync-error-ignored",
        kind: Kind::Set,
        ops_per_second: Some(MANY),
        snapshot_entries: None,
        faults: Faults::Steps(failing_then_cut),
    },
    Scenario {
        bug: "purge-before-snapshot",
        kind: Kind::Set,
        ops_per_second: Some(MANY),
        snapshot_entries: Some(FEW),
        faults: Faults::Plan("power-cut-all"),
    },
];

fn at(at_ms: u64, for_ms: u64, fault: Fault) -> Step {
    Step { at_ms, for_ms, fault }
}

fn aim(whom: Whom) -> Aim {
    Aim { whom, draw: 0 }
}

/// The power fails everywhere while each fsync takes long, so that much is on its way to the disk.
fn cut_while_syncing(random: &mut Random) -> Vec<Step> {
    let mut steps = Vec::new();
    for start in [2500, 8000] {
        let slow = Fault::SlowSync { aim: aim(Whom::All), milliseconds: 120 };
        steps.push(at(start, 2200, slow));
        let cut = start + random.between(900, 1900);
        steps.push(at(cut, 300, Fault::PowerCut { aim: aim(Whom::All) }));
    }
    steps
}

/// Nobody hears anybody, so that all stand for election, and then all start again.
fn restarted_candidates(random: &mut Random) -> Vec<Step> {
    let mut steps = Vec::new();
    for start in [2500, 7500] {
        let split = Fault::Partition { split: Split::All, draw: 0 };
        steps.push(at(start, 3000, split));
        let kill = start + random.between(1500, 2500);
        steps.push(at(kill, 100, Fault::Kill { aim: aim(Whom::All) }));
    }
    steps
}

/// One replica is away for some time; when it comes back, another one has lost its disk, and the
/// third, which has everything, is away. The two must not go on without it.
fn wiped_beside_a_laggard(_: &mut Random) -> Vec<Step> {
    vec![
        at(3000, 3200, Fault::Kill { aim: aim(Whom::Number(0)) }),
        at(6000, 100, Fault::Wipe { aim: aim(Whom::Number(1)) }),
        at(6001, 4000, Fault::Kill { aim: aim(Whom::Number(2)) }),
    ]
}

/// Disks fail, and a moment later the power does: whoever went on meanwhile has nothing on its disk.
/// Who stopped at once is not there any more to be hit.
fn failing_then_cut(random: &mut Random) -> Vec<Step> {
    let cut = random.between(3250, 3450);
    vec![
        at(3000, 1500, Fault::SyncError { aim: aim(Whom::All) }),
        at(cut, 500, Fault::PowerCut { aim: aim(Whom::All) }),
    ]
}

impl Scenario {
    fn schedule(&self, seed: u64, bug: Option<&str>) -> Result<Schedule, String> {
        let (name, steps) = match self.faults {
            Faults::Plan(name) => (name, None),
            Faults::Steps(steps) => ("kill-any", Some(steps(&mut Random::new(seed)))),
        };
        let plan = plans::named(name).ok_or_else(|| format!("no nemesis {name}"))?;
        let mut schedule = Schedule::new(plan, self.kind, seed, SECONDS, plan.replicas);
        if let Some(steps) = steps {
            schedule.nemesis = format!("for-{}", self.bug);
            schedule.steps = steps;
        }
        schedule.operations_per_second =
            self.ops_per_second.unwrap_or(schedule.operations_per_second);
        schedule.snapshot_entries = self.snapshot_entries;
        schedule.bug = bug.map(str::to_owned);
        Ok(schedule)
    }

    /// Runs it until the bug is noticed or the time is up.
    fn hunt(&self, random: &mut Random) -> Result<Row, String> {
        let begun = Instant::now();
        let mut row =
            Row { bug: self.bug, caught_by: BTreeSet::new(), runs: 0, took: Duration::ZERO };
        while row.caught_by.is_empty() && begun.elapsed() < TIME_LIMIT {
            let report = run::run(&self.schedule(random.next() >> 32, Some(self.bug))?);
            row.runs += 1;
            row.took = begun.elapsed();
            row.caught_by = report.caught_by();
        }
        say(&row.line());
        Ok(row)
    }
}

/// What came of one bug.
struct Row {
    bug: &'static str,
    caught_by: BTreeSet<String>,
    runs: u32,
    took: Duration,
}

impl Row {
    fn line(&self) -> String {
        let Row { bug, caught_by, runs, took } = self;
        let by: Vec<&str> = caught_by.iter().map(String::as_str).collect();
        let by = if by.is_empty() { "NOT CAUGHT".to_owned() } else { by.join(", ") };
        format!("{bug:<22} {:>6.1} {runs:>5}  {by}", took.as_secs_f64())
    }
}

/// The first of these that is no bug of the ledger, with those that are.
pub(crate) fn unknown(bugs: &[String]) -> Option<String> {
    let names = SCENARIOS.map(|scenario| scenario.bug);
    let odd = bugs.iter().find(|bug| !names.contains(&bug.as_str()))?;
    Some(format!("no bug {odd}; there are {}", names.join(", ")))
}

/// Hunts every bug, or those named; whether all were caught and the controls are clean.
pub(crate) fn keep(only: &[String], seed: Option<u64>) -> bool {
    if !places::KNOWN {
        say(&format!("the ledger needs {}", places::FEATURE));
        return false;
    }
    if let Some(why) = unknown(only) {
        say(&why);
        return false;
    }
    let wanted = |scenario: &&Scenario| only.is_empty() || only.iter().any(|o| o == scenario.bug);
    let scenarios: Vec<&Scenario> = SCENARIOS.iter().filter(wanted).collect();
    let seed = seed.unwrap_or_else(tools::fresh_seed);
    say(&format!("seed {seed}"));
    let mut random = Random::new(seed);
    let mut rows = Vec::new();
    let mut unclean = Vec::new();
    for scenario in &scenarios {
        say(&format!("--- {}", scenario.bug));
        match scenario.hunt(&mut random) {
            Ok(row) => rows.push(row),
            Err(why) => unclean.push(format!("{}: {why}", scenario.bug)),
        }
    }
    for scenario in scenarios {
        say(&format!("--- control: the scenario of {} without it", scenario.bug));
        match scenario.schedule(random.next() >> 32, None).map(|schedule| run::run(&schedule)) {
            Ok(report) if report.end() == End::Failed => {
                unclean.push(format!("the scenario of {} fails without it", scenario.bug));
            }
            Ok(_) => {}
            Err(why) => unclean.push(format!("{}: {why}", scenario.bug)),
        }
    }
    say(&format!("{:<22} {:>6} {:>5}  caught by", "bug", "s", "runs"));
    for row in &rows {
        say(&row.line());
    }
    for text in &unclean {
        say(&format!("FAILED: {text}"));
    }
    let missed = rows.iter().filter(|row| row.caught_by.is_empty()).count();
    say(&format!("{} caught, {missed} missed, {} problems", rows.len() - missed, unclean.len()));
    missed == 0 && unclean.is_empty()
}
