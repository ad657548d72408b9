//! The end of all faults, and what it takes to call the cluster well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::World;
use crate::nemesis::Trouble;
use crate::replica::status::{self, Status};
use crate::replica::{Holder, http};
use crate::tools;

/// Where the harness itself pushes, beside all that clients push and checkers look at.
const PROBE: &str = "/metrics/job/harness";
/// Longer than a replica may take to say that it cannot serve, also where all is large.
const SERVE_LIMIT: Duration = Duration::from_secs(5);

/// How long a fault that costs a disk waits for the disks before: as long as these may take.
const SPARE_WAIT: Duration = Duration::from_secs(10);

/// Replicas that took a push and answered a scrape of the harness.
pub(crate) struct Service {
    /// Until the last of them did.
    pub(crate) after: Duration,
    pub(crate) by: Vec<String>,
}

impl World {
    /// Ends every fault that is still in force, and starts whoever does not run.
    pub(crate) fn heal(&mut self) {
        self.tend();
        self.cuts.clear();
        self.apply_cuts().unwrap();
        let shaped: Vec<(Holder, usize)> = self.shapes.keys().copied().collect();
        for (holder, number) in shaped {
            self.unshape(holder, number);
        }
        let resets: Vec<(usize, Holder)> = self.resets.iter().copied().collect();
        for (number, holder) in resets {
            self.reset(holder, number, false).unwrap();
        }
        let holders: Vec<Holder> = self.excuses.keys().copied().collect();
        for holder in holders {
            self.no_excuse(holder);
        }
        for number in 0..self.count() {
            self.replicas[number].disk.unfreeze();
            self.replicas[number].disk.unfill();
            self.switches[number].off();
            if self.clock_library.is_some() {
                self.shift_clock(number, 0).unwrap();
            }
            self.replicas[number].down.clear();
            self.replicas[number].paused.clear();
            let pid = self.replicas[number].pid();
            tools::signal("CONT", pid.as_slice());
        }
        (0..self.founders).for_each(|number| self.launch(number));
    }

    /// Why the cluster is not yet what it was made as; `Ok`: every founder is a voter and ready.
    pub(crate) fn well(&self) -> Result<(), String> {
        let mut leaders = BTreeSet::new();
        let names: Vec<String> = (0..self.founders).map(|n| self.name(n).to_owned()).collect();
        for number in 0..self.founders {
            let name = self.name(number);
            status::ready(self.place.web(number))
                .map_err(|why| format!("{name} is not ready: {why}"))?;
            let Status { leader, term, .. } = self.with_voters(number, &names)?;
            leaders.insert((term, leader));
        }
        if leaders.len() > 1 {
            return Err(format!("the leaders are {leaders:?}"));
        }
        // A replica stays ready for a while without one.
        match leaders.first() {
            Some((term, leader)) if leader.is_empty() => Err(format!("nobody leads term {term}")),
            // Whoever has begun anew has the leader make it a learner before it can be ready, and may
            // itself still go by a membership with its former self.
            Some((_, leader)) => match names.iter().position(|name| name == leader) {
                Some(number) => self.with_voters(number, &names).map(drop),
                None => Err(format!("{leader} leads")),
            },
            None => Ok(()),
        }
    }

    /// What a replica says, provided that these are the voters for it, and not learners as well.
    fn with_voters(&self, number: usize, names: &[String]) -> Result<Status, String> {
        let mut status = self.status(number)?;
        status.voters.sort();
        if status.voters != names {
            return Err(format!("for {} the voters are {:?}", self.name(number), status.voters));
        }
        // The voter of that name is then a disk that is gone.
        if let Some(learner) = status.learners.iter().find(|learner| names.contains(learner)) {
            return Err(format!("for {} {learner} is a learner still", self.name(number)));
        }
        Ok(status)
    }

    /// Whether this founder takes a push and answers a scrape.
    fn serves(&self, number: usize) -> Result<(), String> {
        for (method, target) in [("PUT", PROBE), ("GET", "/metrics")] {
            let answer = http::ask(self.place.web(number), method, target, SERVE_LIMIT)?;
            if answer.status != 200 {
                let (name, text) = (self.name(number), answer.text());
                return Err(format!("{method} {target} at {name}: {} {text}", answer.status));
            }
        }
        Ok(())
    }

    /// Waits until the cluster is well and every founder serves; how long that took, and who serves.
    pub(crate) fn await_service(&mut self, limit: Duration) -> Result<Service, String> {
        let start = Instant::now();
        loop {
            self.await_well(limit.saturating_sub(start.elapsed()))?;
            let served: Result<(), String> =
                (0..self.founders).try_for_each(|number| self.serves(number));
            match served {
                Ok(()) => {
                    let by = (0..self.founders).map(|number| self.name(number).to_owned());
                    return Ok(Service { after: start.elapsed(), by: by.collect() });
                }
                Err(why) if start.elapsed() > limit => {
                    return Err(format!("no service after {limit:?}: {}", why.trim()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Whether one more disk may be lost or begin anew: only while all others hold everything. A
    /// majority of disks that are lost at once loses what was acknowledged, and rightly so.
    pub(crate) fn disk_to_spare(&mut self) -> Result<(), Trouble> {
        // While another fault is in force, waiting would only make that last longer.
        let wait = if self.is_calm() { SPARE_WAIT } else { Duration::ZERO };
        self.await_well(wait).map(drop).map_err(|_| Trouble::Nobody)
    }

    /// Whether nobody is held back on purpose.
    fn is_calm(&self) -> bool {
        self.cuts.is_empty()
            && self.shapes.is_empty()
            && self.replicas.iter().all(|r| r.down.is_empty() && r.paused.is_empty())
    }

    /// Waits until the cluster is well; how long that took.
    pub(crate) fn await_well(&mut self, limit: Duration) -> Result<Duration, String> {
        let start = Instant::now();
        loop {
            self.tend();
            let well = self.well();
            match well {
                Ok(()) => return Ok(start.elapsed()),
                Err(why) if start.elapsed() > limit => {
                    return Err(format!("not well after {limit:?}: {}", why.trim()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// What the founders have applied, once all have applied the same: index and digest of each.
    pub(crate) fn await_level(&self, limit: Duration) -> Result<Vec<(u64, String)>, String> {
        let mut last = Vec::new();
        let level = tools::eventually(limit, || {
            let views = (0..self.founders).map(|number| self.status(number));
            let views: Vec<_> = views.collect::<Result<_, _>>().ok()?;
            last = views.into_iter().map(|view| (view.applied, view.digest)).collect();
            last.iter().all(|(index, _)| *index == last[0].0).then_some(())
        });
        level
            .map(|()| last.clone())
            .ok_or_else(|| format!("replicas stay at different indexes: {last:?}"))
    }
}
