//! A disk that is full, and one that does nothing for a while.

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::world::World;

/// What may be left of a full disk: less than one more piece of the log needs.
const FULL_BYTES: u64 = 1 << 20;

pub(super) struct Full {
    hit: Hit,
}

impl Full {
    pub(super) fn new(hit: Hit) -> Full {
        Full { hit }
    }
}

impl Nemesis for Full {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        world.needs_disks().map_err(Trouble::Lacking)?;
        self.hit.choose(world)?;
        world.excuse(self.hit.holder, &self.hit.on);
        for number in &self.hit.on {
            world.replicas[*number].disk.fill()?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let free = world.replicas[self.hit.on[0]].disk.free_bytes();
        let text = format!("{free} bytes are free");
        if free < FULL_BYTES { Ok(text) } else { Err(text) }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        for number in &self.hit.on {
            world.replicas[*number].disk.unfill();
        }
        world.no_excuse(self.hit.holder);
        self.hit.on.iter().for_each(|number| world.launch(*number));
        Ok(())
    }
}

pub(super) struct Hung {
    hit: Hit,
    frozen: Vec<usize>,
}

impl Hung {
    pub(super) fn new(hit: Hit) -> Hung {
        Hung { hit, frozen: Vec::new() }
    }
}

impl Nemesis for Hung {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        world.needs_disks().map_err(Trouble::Lacking)?;
        self.hit.choose(world)?;
        for number in &self.hit.on {
            // One that is frozen already is somebody else's.
            if world.replicas[*number].disk.freeze().is_ok() {
                self.frozen.push(*number);
            }
        }
        Ok(Struck::on(self.frozen.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let frozen = |number: &&usize| world.replicas[**number].disk.is_frozen();
        match self.frozen.iter().filter(frozen).count() {
            0 => Err("no disk is frozen".to_owned()),
            frozen => Ok(format!("{frozen} disks are frozen")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        for number in &self.frozen {
            world.replicas[*number].disk.unfreeze();
        }
        Ok(())
    }
}
