//! SIGSTOP and SIGCONT: a process that wakes up and does not know that time has passed.

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::world::World;

pub(super) struct Pause {
    hit: Hit,
}

impl Pause {
    pub(super) fn new(hit: Hit) -> Pause {
        Pause { hit }
    }
}

impl Nemesis for Pause {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        world.pause(self.hit.holder, &self.hit.on);
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        let stopped = |number: &&usize| world.replicas[**number].kernel_state() == Some('T');
        match self.hit.on.iter().filter(stopped).count() {
            0 => Err("no process is stopped".to_owned()),
            stopped => Ok(format!("{stopped} processes in state T")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.resume(self.hit.holder, &self.hit.on);
        Ok(())
    }
}
