//! Links that work badly: late, lost, repeated, out of order, narrow, or reset.

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::place::shape::Shape;
use crate::world::World;

pub(super) struct Spoil {
    hit: Hit,
    shape: Shape,
}

impl Spoil {
    pub(super) fn new(hit: Hit, shape: Shape) -> Spoil {
        Spoil { hit, shape }
    }
}

impl Nemesis for Spoil {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        if let Some(missing) = world.no_namespaces() {
            return Err(Trouble::Lacking(missing.to_owned()));
        }
        if self.shape.needs_queue() && !crate::tools::installed("iptables") {
            return Err(Trouble::Lacking("iptables".to_owned()));
        }
        self.hit.choose(world)?;
        for number in &self.hit.on {
            world.shape(self.hit.holder, *number, self.shape)?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        match self.hit.on.iter().map(|number| world.place.shaped(*number)).sum::<u64>() {
            0 => Err("no packet was touched".to_owned()),
            packets => Ok(format!("{packets} packets touched")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        for number in &self.hit.on {
            world.unshape(self.hit.holder, *number);
        }
        Ok(())
    }
}

/// Whoever wants to talk to these is answered with a reset.
pub(super) struct Reset {
    hit: Hit,
}

impl Reset {
    pub(super) fn new(hit: Hit) -> Reset {
        Reset { hit }
    }
}

impl Nemesis for Reset {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        if let Some(missing) = world.no_namespaces() {
            return Err(Trouble::Lacking(missing.to_owned()));
        }
        self.hit.choose(world)?;
        for number in &self.hit.on {
            world.reset(self.hit.holder, *number, true)?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        match self.hit.on.iter().map(|number| world.place.resets(*number)).sum::<u64>() {
            0 => Err("nothing was reset".to_owned()),
            packets => Ok(format!("{packets} packets answered with a reset")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        for number in &self.hit.on {
            world.reset(self.hit.holder, *number, false)?;
        }
        Ok(())
    }
}
