//! The figures of a drill and its verdict, and the forms in which they are written.

mod html;
mod json;
mod svg;
mod text;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use super::args::Settings;
use super::course::{Course, Round};
use super::fault::Fault;
use super::figures::{Latency, median};
use super::record::{Outcome, Push};
use crate::clock::UnixNanos;

/// A finished drill.
#[derive(Debug)]
pub(super) struct Report {
    settings: Settings,
    course: Course,
    begun: UnixNanos,
    /// Of all rounds.
    total: Counts,
    /// Of the endpoints of replicas that went on.
    at_survivors: Counts,
    faults: Vec<FaultFigures>,
    endpoints: Vec<EndpointFigures>,
    /// Why something failed at all, and how often.
    why: BTreeMap<String, usize>,
    /// Why the drill failed; empty if it passed.
    reasons: Vec<String>,
}

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    tried: usize,
    acknowledged: usize,
    failed: usize,
    unknown: usize,
    scrapes: usize,
    scrapes_failed: usize,
    scrapes_stale: usize,
}

/// The phases of a round.
const PHASES: [&str; 3] = ["before", "during", "after"];

/// What all rounds of one fault came to.
#[derive(Debug, Clone)]
struct FaultFigures {
    fault: Fault,
    /// The gap of each round.
    gaps: Vec<Duration>,
    /// Of pushes at survivors, by phase.
    latency: [Option<Latency>; 3],
    at_survivors: Counts,
    missing: usize,
}

impl FaultFigures {
    fn median_gap(&self) -> Duration {
        median(&self.gaps).unwrap_or_default()
    }

    fn max_gap(&self) -> Duration {
        self.gaps.iter().max().copied().unwrap_or_default()
    }
}

/// What all rounds came to at one endpoint.
#[derive(Debug, Clone)]
struct EndpointFigures {
    shown: String,
    name: String,
    counts: Counts,
    /// The longest gap of all rounds, and that of the rounds in which its replica was not away.
    gap: Duration,
    gap_surviving: Option<Duration>,
    away: usize,
    latency: Option<Latency>,
}

/// Whether a drill passes.
pub(super) fn passes(settings: &Settings, course: &Course) -> bool {
    verdict::reasons(settings.thresholds, course, &fault_figures(course)).is_empty()
}

impl Report {
    pub(super) fn of(settings: &Settings, course: Course, begun: UnixNanos) -> Report {
        let faults = fault_figures(&course);
        let mut why: BTreeMap<String, usize> = BTreeMap::new();
        for (reason, count) in course.rounds.iter().flat_map(|round| &round.account.reasons) {
            *why.entry(reason.clone()).or_default() += count;
        }
        let reasons = verdict::reasons(settings.thresholds, &course, &faults);
        Report {
            total: counted(&course.rounds, |_, _| true),
            at_survivors: counted(&course.rounds, Round::survives),
            endpoints: (0..course.endpoints.len()).map(|at| endpoint(&course, at)).collect(),
            settings: settings.clone(),
            course,
            begun,
            faults,
            why,
            reasons,
        }
    }

    pub(super) fn passed(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Acknowledged pushes that are not there.
    fn missing(&self) -> usize {
        self.course.rounds.iter().map(|round| round.check.missing).sum()
    }

    /// The round with the longest gap.
    fn worst(&self) -> Option<&Round> {
        self.course.rounds.iter().max_by_key(|round| round.gap().length())
    }

    /// Whether all replicas had the same after each round: by digest, and by the bytes of a scrape.
    fn identical(&self) -> [&'static str; 2] {
        let worst = |words: Vec<&'static str>| {
            ["no", "not compared"].into_iter().find(|word| words.contains(word)).unwrap_or("yes")
        };
        let checks = || self.course.rounds.iter().map(|round| &round.check);
        let digests = checks().map(|check| check.digests.word()).collect();
        [worst(digests), worst(checks().map(|check| check.bytes.word()).collect())]
    }
}

fn counted<'a>(
    rounds: impl IntoIterator<Item = &'a Round>,
    counts: impl Fn(&Round, usize) -> bool,
) -> Counts {
    let mut sum = Counts::default();
    for round in rounds {
        let pushes = round.account.pushes.iter().filter(|push| counts(round, push.endpoint));
        for push in pushes {
            sum.tried += 1;
            match push.outcome {
                Outcome::Acknowledged => sum.acknowledged += 1,
                Outcome::Failed => sum.failed += 1,
                Outcome::Unknown => sum.unknown += 1,
            }
        }
        let scrapes = round.account.scrapes.iter().filter(|scrape| counts(round, scrape.endpoint));
        for scrape in scrapes {
            sum.scrapes += 1;
            sum.scrapes_failed += usize::from(!scrape.succeeded);
            sum.scrapes_stale += usize::from(scrape.stale > 0);
        }
    }
    sum
}

fn fault_figures(course: &Course) -> Vec<FaultFigures> {
    let mut faults: Vec<Fault> = Vec::new();
    for round in &course.rounds {
        if !faults.contains(&round.fault) {
            faults.push(round.fault);
        }
    }
    let figures = faults.into_iter().map(|fault| {
        let rounds: Vec<&Round> =
            course.rounds.iter().filter(|round| round.fault == fault).collect();
        FaultFigures {
            fault,
            gaps: rounds.iter().map(|round| round.gap().length()).collect(),
            latency: [0, 1, 2].map(|phase| Latency::of(latencies(&rounds, phase))),
            at_survivors: counted(rounds.iter().copied(), Round::survives),
            missing: rounds.iter().map(|round| round.check.missing).sum(),
        }
    });
    figures.collect()
}

/// The latencies of the pushes of a phase that were acknowledged at survivors.
fn latencies<'a>(rounds: &'a [&'a Round], phase: usize) -> impl Iterator<Item = Duration> + 'a {
    rounds.iter().flat_map(move |round| {
        let in_phase = move |push: &&Push| phase_of(round, push) == phase;
        let pushes = round.account.pushes.iter().filter(in_phase);
        let pushes = pushes.filter(|push| push.acknowledged() && round.survives(push.endpoint));
        pushes.map(Push::latency)
    })
}

/// An index into [`PHASES`]. What was under way when the fault came belongs to the fault.
fn phase_of(round: &Round, push: &Push) -> usize {
    if push.ended <= round.fault_at {
        0
    } else if push.due < round.whole_at {
        1
    } else {
        2
    }
}

fn endpoint(course: &Course, at: usize) -> EndpointFigures {
    let rounds = &course.rounds;
    let pushes = rounds.iter().flat_map(|round| &round.account.pushes);
    let pushes = pushes.filter(|push| push.endpoint == at && push.acknowledged());
    let surviving = rounds.iter().filter(|round| round.survives(at));
    EndpointFigures {
        shown: course.endpoints.get(at).cloned().unwrap_or_default(),
        name: course.names.get(at).cloned().unwrap_or_default(),
        counts: counted(rounds, |_, endpoint| endpoint == at),
        gap: rounds.iter().map(|round| round.gap_at(at).length()).max().unwrap_or_default(),
        gap_surviving: surviving.map(|round| round.gap_at(at).length()).max(),
        away: rounds.iter().filter(|round| round.away.contains(&at)).count(),
        latency: Latency::of(pushes.map(Push::latency)),
    }
}
