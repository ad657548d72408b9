//! The power fails: whatever was not synced is lost, and every process with it.

use std::time::Duration;

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::disk;
use crate::places;
use crate::replica::Holder;
use crate::tools;
use crate::world::World;

/// How long a process has to come to the place where it is to die.
const PLACE_WAIT: Duration = Duration::from_secs(15);
const OTHERS_WAIT: Duration = Duration::from_millis(1500);

/// Cuts the power of these at one moment and puts it back, without starting anybody; how many file
/// systems were seen to be dead in between.
fn cut(world: &mut World, holder: Holder, on: &[usize]) -> Result<usize, String> {
    for number in on {
        world.replicas[*number].disk.unfreeze();
    }
    let disks: Vec<&disk::Disk> = on.iter().map(|number| &world.replicas[*number].disk).collect();
    disk::cut_power(&disks)?;
    let dead = disks.iter().filter(|disk| std::fs::write(disk.beside("probe"), "x").is_err());
    let dead = dead.count();
    world.kill(holder, on);
    for number in on {
        world.replicas[*number].disk.power_on()?;
    }
    Ok(dead)
}

/// Starts these, waits until they die at a place in their code, and cuts their power; how many died
/// there.
pub(crate) fn crash_at(
    world: &mut World,
    holder: Holder,
    on: &[usize],
    place: &str,
) -> Result<usize, String> {
    world.excuse(holder, on);
    for number in on {
        let variable = ("FAILPOINTS".to_owned(), format!("{place}=panic"));
        world.replicas[*number].environment.push(variable);
    }
    world.revive(holder, on);
    let died = |world: &mut World| {
        world.tend();
        on.iter().filter(|number| !world.replicas[**number].runs()).count()
    };
    let mut count = tools::eventually(PLACE_WAIT, || Some(died(world)).filter(|died| *died > 0));
    if count.is_some() {
        // Others may come there a little later, or only the first one ever.
        tools::eventually(OTHERS_WAIT, || (died(world) == on.len()).then_some(()));
        count = Some(died(world));
    }
    for number in on {
        world.replicas[*number].environment.retain(|(name, _)| name != "FAILPOINTS");
    }
    cut(world, holder, on)?;
    world.no_excuse(holder);
    Ok(count.unwrap_or(0))
}

pub(super) struct PowerCut {
    hit: Hit,
    dead: usize,
}

impl PowerCut {
    pub(super) fn new(hit: Hit) -> PowerCut {
        PowerCut { hit, dead: 0 }
    }
}

impl Nemesis for PowerCut {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        world.needs_disks().map_err(Trouble::Lacking)?;
        self.hit.choose(world)?;
        world.excuse(self.hit.holder, &self.hit.on);
        self.dead = cut(world, self.hit.holder, &self.hit.on)?;
        world.no_excuse(self.hit.holder);
        Ok(Struck::gone(self.hit.on.clone(), world))
    }

    fn fired(&mut self, _world: &mut World) -> Result<String, String> {
        match self.dead {
            0 => Err("no file system went dead".to_owned()),
            dead => Ok(format!("{dead} file systems refused writes")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.revive(self.hit.holder, &self.hit.on);
        Ok(())
    }
}

/// The process dies at a place in its code that the binary knows by name, and then the power fails.
pub(super) struct PowerCutAt {
    hit: Hit,
    place: String,
    empty_disk: bool,
    died: usize,
}

impl PowerCutAt {
    pub(super) fn new(hit: Hit, place: String, empty_disk: bool) -> PowerCutAt {
        PowerCutAt { hit, place, empty_disk, died: 0 }
    }
}

impl Nemesis for PowerCutAt {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        if !places::KNOWN {
            return Err(Trouble::Lacking(places::FEATURE.to_owned()));
        }
        world.needs_disks().map_err(Trouble::Lacking)?;
        self.hit.choose(world)?;
        if self.empty_disk {
            world.disk_to_spare()?;
        }
        world.kill(self.hit.holder, &self.hit.on);
        if self.empty_disk {
            self.hit.on.iter().try_for_each(|number| world.wipe(*number))?;
        }
        self.died = crash_at(world, self.hit.holder, &self.hit.on, &self.place)?;
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, _world: &mut World) -> Result<String, String> {
        match self.died {
            0 => Err(format!("nobody came to {}", self.place)),
            died => Ok(format!("{died} processes died at {}", self.place)),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.revive(self.hit.holder, &self.hit.on);
        Ok(())
    }
}

/// The replicas died at a place in their code when they formed their cluster, and the power failed.
pub(super) struct FirstStart;

impl Nemesis for FirstStart {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        if !places::KNOWN {
            return Err(Trouble::Lacking(places::FEATURE.to_owned()));
        }
        world.needs_disks().map_err(Trouble::Lacking)?;
        Ok(Struck::on((0..world.founders).collect()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        match world.first_crash {
            0 => Err("nobody came there".to_owned()),
            died => Ok(format!("{died} processes died there at their first start")),
        }
    }

    fn heal(&mut self, _world: &mut World) -> Result<(), String> {
        Ok(())
    }
}
