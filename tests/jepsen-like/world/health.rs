//! The end of all faults, and what it takes to call the cluster well.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::World;
use crate::nemesis::Trouble;
use crate::replica::Holder;
use crate::replica::status::{self, Status};
use crate::tools;

/// How long a fault that costs a disk waits for the disks before.
const SPARE_WAIT: Duration = Duration::from_secs(5);

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
            let Status { mut voters, learners, leader, term, .. } = self.status(number)?;
            leaders.insert((term, leader));
            voters.sort();
            if voters != names {
                return Err(format!("for {name} the voters are {voters:?}"));
            }
            // The voter of that name is then a disk that is gone.
            if let Some(learner) = learners.iter().find(|learner| names.contains(learner)) {
                return Err(format!("for {name} {learner} is a learner still"));
            }
        }
        if leaders.len() > 1 {
            return Err(format!("the leaders are {leaders:?}"));
        }
        Ok(())
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
