//! kill -9, and a start some time later.

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::world::World;

pub(super) struct Kill {
    hit: Hit,
    killed: usize,
}

impl Kill {
    pub(super) fn new(hit: Hit) -> Kill {
        Kill { hit, killed: 0 }
    }
}

impl Nemesis for Kill {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        self.killed = world.kill(self.hit.holder, &self.hit.on);
        Ok(Struck::gone(self.hit.on.clone(), world))
    }

    fn fired(&mut self, _world: &mut World) -> Result<String, String> {
        match self.killed {
            0 => Err("no process was killed".to_owned()),
            killed => Ok(format!("{killed} processes ended by signal 9")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.revive(self.hit.holder, &self.hit.on);
        Ok(())
    }
}
