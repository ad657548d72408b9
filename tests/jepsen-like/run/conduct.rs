//! Brings the faults of a schedule about and ends them, each at its time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::checkers::{CutOff, Fault as Record};
use crate::nemesis::{Fault, Nemesis, Struck, Trouble};
use crate::schedule::Schedule;
use crate::tools::say;
use crate::watch::nanos;
use crate::world::World;

/// Faults that take longer to bring about move those that follow.
const HASTE: Duration = Duration::from_millis(500);

/// What came of a schedule.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conduct {
    pub(crate) faults: Vec<Record>,
    pub(crate) cut_off: Vec<CutOff>,
    /// How far a clock was moved at most, in nanoseconds.
    pub(crate) clock_skew: u64,
    /// What this machine lacks for some of the faults.
    pub(crate) lacking: BTreeSet<String>,
    pub(crate) problems: Vec<String>,
    steps: usize,
    steps_lacking: usize,
}

impl Conduct {
    /// Whether not a single fault can be had on this machine.
    pub(crate) fn all_lacking(&self) -> bool {
        self.steps > 0 && self.steps == self.steps_lacking
    }
}

/// A fault that is in force.
struct Active {
    step: usize,
    until: Duration,
    begun: Duration,
    /// From here on it was in force.
    since: Duration,
    nemesis: Box<dyn Nemesis>,
    struck: Struck,
}

pub(super) struct Conductor<'a> {
    schedule: &'a Schedule,
    /// When the schedule's time begins.
    start: Duration,
    active: Vec<Active>,
    conduct: Conduct,
    /// Whether faults overlap: then none is to blame when another one did not come about.
    overlapping: bool,
}

impl<'a> Conductor<'a> {
    pub(super) fn new(schedule: &'a Schedule, start: Duration) -> Conductor<'a> {
        let ends = schedule.steps.iter().map(|step| step.at_ms + step.for_ms);
        let begins = schedule.steps.iter().skip(1).map(|step| step.at_ms);
        let overlapping = ends.zip(begins).any(|(end, begin)| begin < end);
        let conduct = Conduct { steps: schedule.steps.len(), ..Conduct::default() };
        Conductor { schedule, start, active: Vec::new(), conduct, overlapping }
    }

    pub(super) fn conduct(mut self, world: &mut World) -> Conduct {
        for (number, step) in self.schedule.steps.iter().enumerate() {
            let at = self.start + Duration::from_millis(step.at_ms);
            self.wait_until(world, at);
            self.inject(world, number, &step.fault, Duration::from_millis(step.for_ms));
            // What took long to bring about moves all that follows.
            self.start += world.now().saturating_sub(at + HASTE);
        }
        while let Some(first) = self.active.iter().map(|active| active.until).min() {
            self.wait_until(world, first);
        }
        self.conduct
    }

    /// Lets time pass, and ends what is to end meanwhile.
    fn wait_until(&mut self, world: &mut World, at: Duration) {
        loop {
            world.tend();
            let now = world.now();
            if let Some(over) = self.active.iter().position(|active| active.until <= now) {
                let active = self.active.swap_remove(over);
                self.end(world, active);
                continue;
            }
            if now >= at {
                return;
            }
            let next = self.active.iter().map(|active| active.until).min().unwrap_or(at).min(at);
            std::thread::sleep(next.saturating_sub(now).min(Duration::from_millis(50)));
        }
    }

    fn inject(&mut self, world: &mut World, step: usize, fault: &Fault, lasts: Duration) {
        let begun = world.now();
        let mut nemesis = fault.nemesis(step);
        match nemesis.inject(world) {
            Ok(struck) => {
                let whom = world.names(&struck.on);
                tell(world, &format!("{}, on {whom}, for {} ms", name(fault), lasts.as_millis()));
                if let Fault::Clock { milliseconds, .. } = fault {
                    let skew = milliseconds.unsigned_abs() * 1_000_000;
                    self.conduct.clock_skew = self.conduct.clock_skew.max(skew);
                }
                let since = world.now();
                let until = since + lasts;
                self.active.push(Active { step, until, begun, since, nemesis, struck });
            }
            Err(trouble) => {
                self.trouble(world, fault, &trouble);
                if !matches!(trouble, Trouble::Nobody) {
                    // What was begun is taken back.
                    let _undone = nemesis.heal(world);
                }
                world.no_excuse(step);
            }
        }
    }

    fn trouble(&mut self, world: &World, fault: &Fault, trouble: &Trouble) {
        match trouble {
            Trouble::Lacking(what) => {
                self.conduct.steps_lacking += 1;
                self.conduct.lacking.insert(what.clone());
                tell(world, &format!("{}: SKIPPED, it needs {what}", name(fault)));
            }
            Trouble::Nobody => tell(world, &format!("{}: there is nobody to hit", name(fault))),
            Trouble::Failed(why) => {
                tell(world, &format!("{}: failed, {why}", name(fault)));
                if !self.overlapping {
                    self.conduct.problems.push(format!("{}: {why}", name(fault)));
                }
            }
        }
    }

    fn end(&mut self, world: &mut World, mut active: Active) {
        let fault = &self.schedule.steps[active.step].fault;
        let just_before = world.now();
        match active.nemesis.fired(world) {
            Ok(proof) => {
                tell(world, &format!("{}: {proof}; it ends", name(fault)));
                self.conduct.faults.push(Record {
                    name: name(fault),
                    from: nanos(active.begun),
                    to: nanos(just_before),
                });
                if !self.overlapping {
                    let cut_off = active.struck.minority.iter().map(|number| CutOff {
                        replica: world.name(*number).to_owned(),
                        from: nanos(active.since),
                        to: nanos(just_before),
                    });
                    self.conduct.cut_off.extend(cut_off);
                }
            }
            Err(why) => tell(world, &format!("{}: had no effect, {why}; it ends", name(fault))),
        }
        if let Err(why) = active.nemesis.heal(world) {
            tell(world, &format!("{}: did not end well, {why}", name(fault)));
            if !self.overlapping {
                self.conduct.problems.push(format!("after {}: {why}", name(fault)));
            }
        }
        world.no_excuse(active.step);
    }
}

/// What a fault is called in records.
fn name(fault: &Fault) -> String {
    let json = serde_json::to_value(fault).unwrap();
    let whom = json["aim"]["whom"].as_str().or_else(|| json["split"].as_str());
    let place = json["place"].as_str().or_else(|| json["part"].as_str());
    let words = [json["kind"].as_str(), whom, place];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn tell(world: &World, what: &str) {
    say(&format!("  {:7.2} s  {what}", world.now().as_secs_f64()));
}
