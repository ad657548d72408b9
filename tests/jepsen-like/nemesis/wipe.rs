//! A disk that is new, a disk that is old, and a snapshot that is altered on its way to a new disk.

use super::whom::{Hit, Whom};
use super::{Nemesis, Struck, Trouble};
use crate::disk;
use crate::place::shape::Shape;
use crate::tools;
use crate::world::World;

pub(super) struct Wipe {
    hit: Hit,
}

impl Wipe {
    pub(super) fn new(hit: Hit) -> Wipe {
        Wipe { hit }
    }
}

impl Nemesis for Wipe {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        // A schedule that names a replica means it, whatever else is away.
        if !matches!(self.hit.aim.whom, Whom::Number(_)) {
            world.disk_to_spare()?;
        }
        world.kill(self.hit.holder, &self.hit.on);
        for number in &self.hit.on {
            world.wipe(*number)?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let there = |number: &&usize| world.replicas[**number].disk.data().exists();
        match self.hit.on.iter().find(there) {
            Some(number) => Err(format!("{} still has data", world.name(*number))),
            None => Ok(format!("the disk of {} is empty", world.names(&self.hit.on))),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.revive(self.hit.holder, &self.hit.on);
        Ok(())
    }
}

/// A copy is taken, time passes, the copy takes the place of the disk, and the replica starts.
pub(super) struct OldDisk {
    hit: Hit,
    copied_at: u64,
}

impl OldDisk {
    pub(super) fn new(hit: Hit) -> OldDisk {
        OldDisk { hit, copied_at: 0 }
    }
}

impl Nemesis for OldDisk {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        let number = self.hit.on[0];
        self.copied_at = world.status(number).map_or(0, |status| status.applied);
        world.kill(self.hit.holder, &[number]);
        let disk = &world.replicas[number].disk;
        let copy = disk.elsewhere();
        if copy.exists() {
            std::fs::remove_dir_all(&copy).map_err(|err| err.to_string())?;
        }
        disk::copy(&disk.data(), &copy)?;
        world.revive(self.hit.holder, &[number]);
        Ok(Struck::on(vec![number]))
    }

    /// Only now does it strike: what is not there yet when the time is up never was.
    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let number = self.hit.on[0];
        let name = world.name(number).to_owned();
        let now = world.status(number)?.applied;
        if now <= self.copied_at {
            return Err(format!("{name} has not gone on since the copy"));
        }
        world
            .disk_to_spare()
            .map_err(|_| format!("the others may not hold all that {name} would lose"))?;
        world.kill(self.hit.holder, &[number]);
        world.wipe(number)?;
        let disk = &world.replicas[number].disk;
        disk::copy(&disk.elsewhere(), &disk.data())?;
        // As whoever puts it there does; else a power cut leaves empty files.
        tools::run("sync", &["-f", &disk.data().display().to_string()])?;
        Ok(format!("{name} goes back from index {now} to {}", self.copied_at))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.revive(self.hit.holder, &self.hit.on);
        Ok(())
    }
}

/// A replica begins with an empty disk while what the others send spoils every snapshot.
pub(super) struct CorruptSnapshot {
    hit: Hit,
}

impl CorruptSnapshot {
    pub(super) fn new(hit: Hit) -> CorruptSnapshot {
        CorruptSnapshot { hit }
    }

    fn senders(&self, world: &World) -> Vec<usize> {
        (0..world.count()).filter(|number| !self.hit.on.contains(number)).collect()
    }
}

impl Nemesis for CorruptSnapshot {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        if let Some(missing) = world.no_namespaces() {
            return Err(Trouble::Lacking(missing.to_owned()));
        }
        if !tools::installed("iptables") {
            return Err(Trouble::Lacking("iptables".to_owned()));
        }
        self.hit.choose(world)?;
        world.disk_to_spare()?;
        let shape = Shape { corrupt_snapshots: true, ..Shape::default() };
        for number in self.senders(world) {
            world.shape(self.hit.holder, number, shape)?;
        }
        world.kill(self.hit.holder, &self.hit.on);
        for number in &self.hit.on {
            world.wipe(*number)?;
        }
        world.revive(self.hit.holder, &self.hit.on);
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let senders = self.senders(world);
        match senders.iter().map(|number| world.place.shaped(*number)).sum::<u64>() {
            0 => Err("no snapshot was altered".to_owned()),
            packets => Ok(format!("{packets} packets of snapshots altered")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        for number in self.senders(world) {
            world.unshape(self.hit.holder, number);
        }
        Ok(())
    }
}
