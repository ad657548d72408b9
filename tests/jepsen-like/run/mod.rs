//! One run: replicas, a load, faults by the schedule, the healing, the last reads, the judgement.

mod conduct;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::artifacts;
use crate::checkers::{self, Digest, Due, Evidence, Resources, Usage};
use crate::history::History;
use crate::nemesis::mixed;
use crate::places;
use crate::plans::{self, Plan};
use crate::replica::status;
use crate::schedule::{Schedule, Step};
use crate::tools::{self, say};
use crate::watch::{self, Watch, nanos};
use crate::workload::{self, Kind, Load, Target};
use crate::world::{Setup, World};
use conduct::Conductor;
pub(crate) use report::{Report, Result as End};

/// A replica answers within this time, whatever has happened to the others, but for a quarter of a
/// second of grace; clients wait longer than both.
const DEADLINE: Duration = Duration::from_millis(600);
/// The same for megabytes.
const DEADLINE_LARGE: Duration = Duration::from_secs(4);
/// How long replicas may take to form their cluster.
const FORM_LIMIT: Duration = Duration::from_secs(30);
/// How long after the last fault everything may take to be well again. That it takes no longer than
/// 10 s is for the checkers to say; here is only when to give up.
const HEAL_LIMIT: Duration = Duration::from_secs(30);
/// How long until the first push is acknowledged.
const FIRST_LIMIT: Duration = Duration::from_secs(15);
const LEVEL_LIMIT: Duration = Duration::from_secs(15);
/// Load before resources are looked at for the first time, and after everything is well again.
const CALM: Duration = Duration::from_secs(2);
/// Faults that last longer leave time for an election and more.
const LONG_MS: u64 = 2500;
/// Entries after which a snapshot is taken: few, so that logs are purged all the time and whoever
/// was away needs a snapshot.
const SNAPSHOT_ENTRIES: u32 = 50;

/// Makes the run that the schedule describes.
pub(crate) fn run(schedule: &Schedule) -> Report {
    schedule.print();
    let folder = artifacts::folder(schedule);
    let report = match run_in(schedule, &folder) {
        Ok(report) => report,
        Err(why) => Report::broken(schedule, why),
    };
    if schedule.bug.is_some() { report.of_a_bug(&folder) } else { report.finish(schedule, &folder) }
}

fn deadline(kind: Kind) -> Duration {
    if kind == Kind::Large { DEADLINE_LARGE } else { DEADLINE }
}

fn flags(kind: Kind, snapshot_entries: u32) -> Vec<String> {
    let deadline = deadline(kind).as_millis();
    vec![
        format!("--storage.snapshot-entries={snapshot_entries}"),
        "--storage.snapshot-bytes=16MiB".to_owned(),
        "--limits.disk-free-bytes=8MiB".to_owned(),
        format!("--limits.request-timeout={deadline}ms"),
        format!("--read.timeout={deadline}ms"),
        "--cluster.shutdown-delay=300ms".to_owned(),
    ]
}

fn run_in(schedule: &Schedule, folder: &Path) -> Result<Report, String> {
    let kind = Kind::from_name(&schedule.workload).ok_or("no such workload")?;
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs).map_err(|err| err.to_string())?;
    schedule.write(&folder.join("schedule.json")).map_err(|err| err.to_string())?;
    let mut setup = Setup {
        replicas: schedule.replicas,
        flags: flags(kind, schedule.snapshot_entries.unwrap_or(SNAPSHOT_ENTRIES)),
        bug: schedule.bug.clone(),
        ..Setup::default()
    };
    schedule.steps.iter().for_each(|step| step.fault.prepare(&mut setup));
    let mut world = World::new(&setup, &logs)?;
    if let Err(why) = world.await_well(FORM_LIMIT) {
        keep(&mut world, folder);
        return Err(format!("no cluster was formed: {why}"));
    }
    let outcome = Trial { schedule, kind, world: &mut world }.carry_out(folder);
    let is_good = outcome.as_ref().is_ok_and(|report| !report.is_bad());
    if !is_good && schedule.bug.is_none() {
        keep(&mut world, folder);
    }
    outcome
}

/// Writes what clients and the runner saw, so that it can be judged again.
fn leave(folder: &Path, history: &History, evidence: &Evidence) -> Result<(), String> {
    let written = history.write(&folder.join("history.jsonl"));
    let written = written.and_then(|()| evidence.write(&folder.join("evidence.json")));
    written.map_err(|err| format!("{}: history and evidence: {err}", folder.display()))
}

/// Keeps the data of all replicas, as it is once their processes are gone.
fn keep(world: &mut World, folder: &Path) {
    for number in 0..world.count() {
        world.replicas[number].kill();
        artifacts::keep_data(&world.replicas[number].disk.data(), world.name(number), folder);
    }
}

struct Trial<'a> {
    schedule: &'a Schedule,
    kind: Kind,
    world: &'a mut World,
}

impl Trial<'_> {
    fn targets(&self) -> Vec<Target> {
        let target = |number| Target {
            name: self.world.name(number).to_owned(),
            web: self.world.place.web(number),
        };
        (0..self.world.founders).map(target).collect()
    }

    fn carry_out(self, folder: &Path) -> Result<Report, String> {
        let targets = self.targets();
        let load = Load {
            kind: self.kind,
            seed: self.schedule.seed,
            ops_per_second: self.schedule.operations_per_second,
            clients: self.schedule.clients,
        };
        let watch = Watch::start(self.world);
        let running = workload::start(&load, &targets, self.world.epoch);
        let first = tools::eventually(FIRST_LIMIT, || (running.acknowledged() > 0).then_some(()));
        if first.is_none() {
            let (replicas, sightings) = (self.world.founders, watch.stop());
            let evidence = Evidence { replicas, sightings, ..Evidence::default() };
            leave(folder, &running.stop(), &evidence)?;
            return Err("not a single push is acknowledged".to_owned());
        }
        std::thread::sleep(CALM);
        let before = usage(self.world);
        let start = self.world.now().saturating_sub(CALM);
        let conduct = Conductor::new(self.schedule, start).conduct(self.world);

        self.world.heal();
        let service = self.world.await_service(HEAL_LIMIT);
        std::thread::sleep(CALM);
        let mut history = running.stop();
        let level = self.world.await_level(LEVEL_LIMIT);
        let sightings = watch.stop();
        workload::final_reads(&mut history, &targets, self.world.epoch);
        self.world.tend();

        let level_reached = level.is_ok();
        let digests = level.unwrap_or_default().into_iter().enumerate();
        let digests = digests.map(|(number, (index, digest))| Digest {
            replica: self.world.name(number).to_owned(),
            index,
            digest,
        });
        let leader_changes = watch::leader_changes(&sightings);
        let evidence = Evidence {
            replicas: self.world.founders,
            digests: digests.collect(),
            healed_after: service.as_ref().ok().filter(|_| level_reached).map(|s| nanos(s.after)),
            served: service.as_ref().map(|service| service.by.clone()).unwrap_or_default(),
            heal_tried: true,
            faults: conduct.faults.clone(),
            cut_off: conduct.cut_off.clone(),
            resources: resources(self.world, &before),
            leader_changes,
            snapshots_installed: snapshots_installed(self.world),
            deadline: nanos(deadline(self.kind)),
            clock_skew: conduct.clock_skew,
            sightings,
            due: self.due(conduct.all_lacking()),
        };
        leave(folder, &history, &evidence)?;
        let mut report = Report::new(self.schedule, self.world.no_namespaces().map(str::to_owned));
        report.count(&history);
        report.leader_changes = evidence.leader_changes;
        report.healed = service.map(|service| service.after);
        report.verdicts = checkers::judge(&history, &evidence);
        report.problems = self.problems(&conduct);
        report.problems.extend(report.healed.clone().err());
        report.misdeeds = self.misdeeds();
        let skipped = conduct.all_lacking();
        report.lacking = conduct.lacking;
        Ok(if skipped { report.skipped() } else { report })
    }

    /// What the run must have had.
    fn due(&self, nothing_injected: bool) -> Due {
        let operations = self.schedule.seconds * u64::from(self.schedule.operations_per_second);
        // Of what was tried; during the faults most of it may fail.
        let acknowledged = if self.kind == Kind::Reads { 1 } else { operations / 50 };
        let calm = Due { acknowledged, scrapes: 1, ..Due::default() };
        if nothing_injected {
            return calm;
        }
        let Some(plan) = plans::named(&self.schedule.nemesis) else {
            return Due { faults: 1, ..calm };
        };
        Due {
            acknowledged_in_faults: u64::from(self.goes_on(plan)),
            faults: 1,
            leader_changes: u64::from(plan.moves_lead),
            // Megabytes alone can cost a busy machine its heartbeats.
            leader_changes_max: plan.leader_changes_max.filter(|_| self.kind != Kind::Large),
            // Where few entries are written, the log may still hold everything.
            snapshots_installed: u64::from(plan.sends_snapshot && self.is_small()),
            places: if self.comes_everywhere(plan) { self.schedule.places() } else { Vec::new() },
            ..calm
        }
    }

    /// Whether changes are acknowledged during the faults, if they last long enough for an election
    /// and small pushes are made all the time.
    fn goes_on(&self, plan: &Plan) -> bool {
        let long = |step: &Step| step.for_ms >= LONG_MS;
        plan.goes_on && self.schedule.steps.iter().any(long) && self.is_small()
    }

    /// Whether the replicas come to every place in the code. Large pushes and rare ones do not bring
    /// them there within some seconds, and among other faults nobody may be left to crash.
    fn comes_everywhere(&self, plan: &Plan) -> bool {
        self.is_small() && plan.lanes == 1
    }

    /// Whether small changes are pushed all the time.
    fn is_small(&self) -> bool {
        !matches!(self.kind, Kind::Large | Kind::Reads)
    }

    /// What was not as it should be with the machine and the faults.
    fn problems(&self, conduct: &conduct::Conduct) -> Vec<String> {
        let mut problems = conduct.problems.clone();
        let lacking = conduct.lacking.iter().map(String::as_str).chain(self.world.no_namespaces());
        // These are no matter of what is installed.
        let lacking = lacking.filter(|what| ![places::FEATURE, mixed::OTHER].contains(what));
        if std::env::var("CI").is_ok_and(|ci| ci == "true") && tools::is_root() {
            problems.extend(lacking.map(|what| format!("nothing may be missing here: {what}")));
        }
        problems
    }

    /// What the replicas did wrong, whatever the clients saw of it.
    fn misdeeds(&self) -> Vec<String> {
        let mut misdeeds = self.world.complaints.clone();
        for exit in self.world.exits.iter().filter(|exit| !exit.excused) {
            let (name, at) = (self.world.name(exit.replica), exit.at.as_secs_f64());
            misdeeds.push(format!("{name} ended by itself at {at:.1} s: {}", exit.status));
        }
        for replica in &self.world.replicas {
            let said = replica.said();
            let panics = said.lines().filter(|line| line.contains("panicked at"));
            let panics = panics.filter(|line| !line.contains("failpoint"));
            misdeeds.extend(panics.take(3).map(|line| format!("{}: {line}", replica.name)));
        }
        misdeeds
    }
}

/// What each founder uses, as far as it runs.
fn usage(world: &World) -> Vec<Option<Usage>> {
    let one = |number: usize| {
        let (rss_bytes, fds, threads) = world.replicas[number].resources()?;
        let log = status::metric(world.place.web(number), "quorumgate_log_bytes");
        let log_bytes = format!("{:.0}", log.unwrap_or(0.0)).parse().unwrap_or(0);
        Some(Usage { rss_bytes, fds, threads, log_bytes })
    };
    (0..world.founders).map(one).collect()
}

fn resources(world: &World, before: &[Option<Usage>]) -> Vec<Resources> {
    let after = usage(world);
    let both = before.iter().zip(after).enumerate();
    let both = both.filter_map(|(number, (before, after))| {
        let replica = world.name(number).to_owned();
        Some(Resources { replica, before: (*before)?, after: after? })
    });
    both.collect()
}

fn snapshots_installed(world: &World) -> u64 {
    let received = |said: String| said.matches("received a snapshot from the leader").count();
    world.replicas.iter().map(|replica| received(replica.said()) as u64).sum()
}

/// Judges what an earlier run has left, by its folder or its history alone.
pub(crate) fn check(path: &Path) -> std::io::Result<bool> {
    let (history, evidence): (PathBuf, PathBuf) = if path.is_dir() {
        (path.join("history.jsonl"), path.join("evidence.json"))
    } else {
        (path.to_owned(), path.with_file_name("evidence.json"))
    };
    let history = History::read(&history)?;
    let evidence = if evidence.exists() { Evidence::read(&evidence)? } else { Evidence::default() };
    let verdicts = checkers::judge(&history, &evidence);
    for verdict in &verdicts {
        say(&verdict.to_string());
    }
    Ok(!verdicts.iter().any(checkers::Verdict::is_bad))
}
