//! Orderly stops: of the leader, and of one replica after the other, as for a new version.

use std::time::Duration;

use super::{Nemesis, Struck, Trouble};
use crate::replica::{Holder, status};
use crate::tools;
use crate::world::World;

const STOP_LIMIT: Duration = Duration::from_secs(25);
const READY_LIMIT: Duration = Duration::from_secs(10);

/// Asks a replica to stop and insists that it does, with status 0.
pub(super) fn stop(world: &mut World, holder: Holder, number: usize) -> Result<(), String> {
    world.replicas[number].down.insert(holder);
    let status = world.replicas[number].stop(STOP_LIMIT);
    let name = world.name(number).to_owned();
    match status {
        Some(status) if status.success() => return Ok(()),
        Some(status) => world.complain(format!("{name} was to stop, and ended with {status}")),
        None => {
            world.complain(format!("{name} did not stop within {STOP_LIMIT:?}"));
            world.kill(holder, &[number]);
        }
    }
    Err(format!("{name} did not stop in order"))
}

pub(super) struct StopLeader {
    holder: Holder,
    leader: usize,
}

impl StopLeader {
    pub(super) fn new(holder: Holder) -> StopLeader {
        StopLeader { holder, leader: 0 }
    }
}

impl Nemesis for StopLeader {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.leader = world.await_leader(READY_LIMIT).ok_or(Trouble::Nobody)?;
        if !world.is_free(self.leader) {
            return Err(Trouble::Nobody);
        }
        stop(world, self.holder, self.leader)?;
        Ok(Struck::on(vec![self.leader]))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        Ok(format!("{} has stopped with status 0", world.name(self.leader)))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.revive(self.holder, &[self.leader]);
        Ok(())
    }
}

pub(super) struct Rolling {
    holder: Holder,
    restarted: Vec<usize>,
}

impl Rolling {
    pub(super) fn new(holder: Holder) -> Rolling {
        Rolling { holder, restarted: Vec::new() }
    }
}

impl Nemesis for Rolling {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        for number in 0..world.founders {
            world.tend();
            if !world.is_free(number) {
                continue;
            }
            let stopped = stop(world, self.holder, number);
            world.revive(self.holder, &[number]);
            let web = world.place.web(number);
            tools::eventually(READY_LIMIT, || status::ready(web).ok());
            stopped?;
            self.restarted.push(number);
        }
        Ok(Struck::on(self.restarted.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        match self.restarted.len() {
            0 => Err("nobody was restarted".to_owned()),
            _ => Ok(format!("{} restarted", world.names(&self.restarted))),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.revive(self.holder, &self.restarted);
        Ok(())
    }
}
