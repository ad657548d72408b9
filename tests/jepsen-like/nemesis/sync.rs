//! An fsync that fails, which must end the process, and one that takes long.

use std::time::Duration;

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::tools;
use crate::world::World;

/// How long a process may take to end after an fsync has failed.
const END_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Failing {
    hit: Hit,
}

impl Failing {
    pub(super) fn new(hit: Hit) -> Failing {
        Failing { hit }
    }
}

impl Nemesis for Failing {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        world.needs_shim().map_err(Trouble::Lacking)?;
        self.hit.choose(world)?;
        world.excuse(self.hit.holder, &self.hit.on);
        for number in &self.hit.on {
            world.switch(*number).fail();
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let failed: usize = self.hit.on.iter().map(|number| world.switch(*number).fired()).sum();
        if failed == 0 {
            return Err("no fsync failed".to_owned());
        }
        for number in self.hit.on.clone() {
            if world.switch(number).fired() == 0 {
                continue;
            }
            let ended = tools::eventually(END_LIMIT, || {
                world.tend();
                (!world.replicas[number].runs()).then_some(())
            });
            if ended.is_none() {
                world.complain(format!("{} goes on after a failed fsync", world.name(number)));
            }
        }
        Ok(format!("{failed} calls failed"))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        for number in &self.hit.on {
            world.switch(*number).off();
        }
        world.no_excuse(self.hit.holder);
        self.hit.on.iter().for_each(|number| world.launch(*number));
        Ok(())
    }
}

pub(super) struct Slow {
    hit: Hit,
    milliseconds: u64,
}

impl Slow {
    pub(super) fn new(hit: Hit, milliseconds: u64) -> Slow {
        Slow { hit, milliseconds }
    }
}

impl Nemesis for Slow {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        world.needs_shim().map_err(Trouble::Lacking)?;
        self.hit.choose(world)?;
        for number in &self.hit.on {
            world.switch(*number).slow(self.milliseconds);
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        match self.hit.on.iter().map(|number| world.switch(*number).fired()).sum::<usize>() {
            0 => Err("no call was slowed".to_owned()),
            calls => Ok(format!("{calls} calls took {} ms longer", self.milliseconds)),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        for number in &self.hit.on {
            world.switch(*number).off();
        }
        Ok(())
    }
}
