//! Which runs are made: one, a few that find much in little time, every nemesis, or hours of them.

use std::time::{Duration, Instant};

use crate::args::{Choice, Command};
use crate::ledger;
use crate::nemesis::Fault;
use crate::places;
use crate::plans::{self, Plan};
use crate::run::{self, End, Report};
use crate::schedule::Schedule;
use crate::tools::{self, Random, say};
use crate::workload::Kind;

/// What a change must pass: nemesis, workload, seconds of faults.
const SHORT: [(&str, Kind, u64); 5] = [
    ("kill-leader", Kind::Mix, 26),
    ("pause-leader", Kind::Reads, 24),
    ("isolate-leader", Kind::Puts, 26),
    ("power-cut-all", Kind::Set, 24),
    ("rolling-wipe", Kind::Retries, 28),
];
const SHORT_SECONDS: u64 = 240;
/// How long the load lasts after a first start.
const FIRST_SECONDS: u64 = 5;

pub(crate) fn make(command: Command) -> bool {
    match command {
        Command::Short { seed } => short(seed),
        Command::Each { seed, seconds } => each(seed, seconds),
        Command::FirstStarts { seed } => first_starts(seed),
        Command::Soak { seed, hours } => soak(seed, hours),
        Command::Run(choice) => one(&choice),
        Command::Ledger { bugs, seed } => ledger::keep(&bugs, seed),
        Command::Replay(path) => match Schedule::read(&path) {
            Ok(schedule) => summary(&[run::run(&schedule)]),
            Err(why) => {
                say(&why);
                false
            }
        },
        Command::SelfTest(_)
        | Command::Guard(_)
        | Command::Alter(_)
        | Command::List
        | Command::Check(_) => true,
    }
}

pub(crate) fn list() -> bool {
    say("nemeses:");
    for plan in plans::all() {
        let replicas = if plan.replicas > 3 { " (5 replicas)" } else { "" };
        say(&format!("  {:<19} {}{replicas}", plan.name, plan.about));
    }
    let kinds: Vec<&str> = Kind::all().map(Kind::name).collect();
    say(&format!("workloads: {}", kinds.join(", ")));
    true
}

fn seed_or_fresh(seed: Option<u64>) -> u64 {
    let seed = seed.unwrap_or_else(tools::fresh_seed);
    say(&format!("seed {seed}"));
    seed
}

fn one(choice: &Choice) -> bool {
    let Choice { plan, kind, seed, seconds, replicas } = choice;
    let schedule = Schedule::new(plan, *kind, seed_or_fresh(*seed), *seconds, *replicas);
    summary(&[run::run(&schedule)])
}

fn short(seed: Option<u64>) -> bool {
    let seed = seed_or_fresh(seed);
    let start = Instant::now();
    let mut reports = Vec::new();
    for (name, kind, seconds) in SHORT {
        let plan = plans::named(name).unwrap();
        reports.push(one_of_many(plan, kind, seed, seconds));
    }
    // How long it takes is the machine's business: it is said, and fails nothing.
    say(&format!("took {} s, {} s are meant", start.elapsed().as_secs(), SHORT_SECONDS));
    summary(&reports)
}

fn each(seed: Option<u64>, seconds: u64) -> bool {
    let seed = seed_or_fresh(seed);
    let kinds: Vec<Kind> = Kind::all().collect();
    // Another workload for each nemesis, and other pairs for another seed.
    let shift = usize::try_from(seed % kinds.len() as u64).unwrap();
    let pairs = plans::all().into_iter().enumerate();
    let reports: Vec<Report> = pairs
        .map(|(number, plan)| {
            let kind = kinds[(number + shift) % kinds.len()];
            one_of_many(plan, kind, seed, seconds)
        })
        .collect();
    summary(&reports)
}

/// One run for each place at which replicas can crash while they form their cluster.
fn first_starts(seed: Option<u64>) -> bool {
    let seed = seed_or_fresh(seed);
    let plan = plans::named("crash-first-start").unwrap();
    let report = |place: &&str| {
        let mut schedule = Schedule::new(plan, Kind::Puts, seed, FIRST_SECONDS, plan.replicas);
        for step in &mut schedule.steps {
            step.fault = Fault::FirstStart { place: (*place).to_owned() };
        }
        run::run(&schedule)
    };
    summary(&places::FIRST.iter().map(report).collect::<Vec<_>>())
}

fn one_of_many(plan: &Plan, kind: Kind, seed: u64, seconds: u64) -> Report {
    run::run(&Schedule::new(plan, kind, seed, seconds, plan.replicas))
}

fn soak(seed: Option<u64>, hours: f64) -> bool {
    let end = Instant::now() + Duration::from_secs_f64(hours * 3600.0);
    let mut random = Random::new(seed_or_fresh(seed));
    let kinds: Vec<Kind> = Kind::all().collect();
    let chaos = plans::named("chaos").unwrap();
    let (mut runs, mut bad) = (0_u64, 0_u64);
    while Instant::now() < end {
        let seed = random.next() >> 32;
        // One run of three is of a single nemesis: what overlaps hides as much as it shows.
        let plan = if runs % 3 == 2 { *random.pick(&plans::all()) } else { chaos };
        let kind = *random.pick(&kinds);
        let replicas = if random.percent(30) { 5 } else { plan.replicas };
        let report = run::run(&Schedule::new(plan, kind, seed, 60, replicas));
        runs += 1;
        bad += u64::from(report.end() == End::Failed);
        say(&format!("{runs} runs, {bad} failed"));
    }
    bad == 0
}

/// Prints the table; whether all is good.
fn summary(reports: &[Report]) -> bool {
    if reports.len() > 1 {
        say(&Report::heading());
        for report in reports {
            say(&report.row());
        }
    }
    let count = |end: End| reports.iter().filter(|report| report.end() == end).count();
    let (passed, failed, skipped) = (count(End::Passed), count(End::Failed), count(End::Skipped));
    say(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
    failed == 0
}
