//! Damage to a replica that would win the next election. Some lag behind, one that has everything is
//! killed and its log damaged, and it comes back beside those that lag while all others that have
//! everything are away. One that trusts such a log leads, or votes for a leader, without pushes that
//! were acknowledged.

use std::time::Duration;

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble, damage};
use crate::disk::damage::{self as files, Harm, Part};
use crate::place::Cut;
use crate::replica::status;
use crate::tools::{self, Random};
use crate::world::World;

/// How many entries the others are to be behind, from and to.
const BEHIND: (u64, u64) = (30, 250);
/// How long that may take. Where few pushes are made, fewer entries have to do.
const BEHIND_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Winner {
    hit: Hit,
    part: Part,
    harm: Harm,
    draw: u64,
    /// Who has everything, and is away.
    away: Vec<usize>,
    /// What was done to the log, and how far behind the others were.
    done: Option<String>,
    said_before: usize,
}

impl Winner {
    pub(super) fn new(hit: Hit, part: Part, harm: Harm, draw: u64) -> Winner {
        Winner { hit, part, harm, draw, away: Vec::new(), done: None, said_before: 0 }
    }

    /// Chooses who is to lag: as many followers as leave a quorum, and make one with the winner. All
    /// others are to be away.
    fn choose_behind(&mut self, world: &World) -> Result<Vec<usize>, Trouble> {
        let winner = self.hit.on[0];
        let leader = world.leader().ok_or(Trouble::Nobody)?;
        let mut others: Vec<usize> = (0..world.founders).filter(|n| *n != winner).collect();
        Random::new(self.draw).shuffle(&mut others);
        // The leader last, since it is to go on.
        others.sort_by_key(|number| *number == leader);
        self.away = others.split_off((world.founders - 1) / 2);
        Ok(others)
    }

    /// Waits until these are behind the winner; by how many entries.
    fn await_behind(&self, world: &World, behind: &[usize]) -> Result<u64, Trouble> {
        let wanted = Random::new(self.draw).between(BEHIND.0, BEHIND.1);
        let mut distance = 0;
        tools::eventually(BEHIND_LIMIT, || {
            let ahead = world.status(self.hit.on[0]).ok()?.applied;
            let views = behind.iter().map(|number| world.status(*number));
            let applied = views.map(|view| view.map(|view| view.applied));
            let furthest = applied.collect::<Result<Vec<_>, _>>().ok()?.into_iter().max()?;
            distance = ahead.saturating_sub(furthest);
            (distance >= wanted).then_some(())
        });
        if distance == 0 {
            return Err(Trouble::Failed(format!("{} are not behind", world.names(behind))));
        }
        Ok(distance)
    }
}

impl Nemesis for Winner {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        world.disk_to_spare()?;
        self.hit.choose(world)?;
        let (holder, winner) = (self.hit.holder, self.hit.on[0]);
        let behind = self.choose_behind(world)?;
        let everybody = 0..world.count();
        let cut_off = behind.iter().flat_map(|one| {
            let others = everybody.clone().filter(move |other| other != one);
            others.flat_map(move |other| {
                [Cut::Link { from: *one, to: other }, Cut::Link { from: other, to: *one }]
            })
        });
        world.cut(holder, cut_off.collect())?;
        let distance = self.await_behind(world, &behind)?;
        world.kill(holder, &[winner]);
        let data = world.replicas[winner].disk.data();
        let done = files::harm(&data, self.part, self.harm, self.draw)
            .ok_or_else(|| format!("{:?} has nothing to damage", self.part))?;
        world.replicas[winner].note(&done);
        self.done = Some(format!("{done}, {distance} entries ahead of {}", world.names(&behind)));
        world.kill(holder, &self.away);
        world.mend(holder);
        self.said_before = damage::wake(world, holder, winner);
        Ok(Struck::on([self.hit.on.clone(), self.away.clone()].concat()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let done = self.done.clone().ok_or("nothing was damaged")?;
        let winner = self.hit.on[0];
        // Who leads is not asked: the one that lags may take the last one that it heard of for it.
        let then = match status::ready(world.place.web(winner)) {
            Ok(()) => "it goes on",
            Err(_) if world.replicas[winner].runs() => "it waits",
            Err(_) => "it refuses",
        };
        Ok(format!("{}: {done}; {then}", world.name(winner)))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        let (holder, winner) = (self.hit.holder, self.hit.on.first().copied());
        world.mend(holder);
        world.revive(holder, &self.away);
        match winner {
            Some(winner) if self.done.is_some() => {
                damage::settle(world, holder, winner, self.said_before)
            }
            _ => {
                world.revive(holder, &self.hit.on);
                Ok(())
            }
        }
    }
}
