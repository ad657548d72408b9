//! A wall clock that is off: only the times of pushes may show it.

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::replica::status;
use crate::world::World;

/// Smaller shifts do not show in a header that counts seconds.
const VISIBLE_MS: i64 = 3000;

pub(super) struct Shift {
    hit: Hit,
    milliseconds: i64,
}

impl Shift {
    pub(super) fn new(hit: Hit, milliseconds: i64) -> Shift {
        Shift { hit, milliseconds }
    }
}

impl Nemesis for Shift {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        for number in &self.hit.on {
            world.shift_clock(*number, self.milliseconds).map_err(Trouble::Lacking)?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        if self.milliseconds.abs() < VISIBLE_MS {
            return Ok("set; too small to be seen from outside".to_owned());
        }
        let number = self.hit.on[0];
        let maps = world.replicas[number].pid().map(|pid| format!("/proc/{pid}/maps"));
        let maps = maps.and_then(|maps| std::fs::read_to_string(maps).ok()).unwrap_or_default();
        if !maps.contains("libfaketime") {
            return Err(format!("{} has not loaded the library", world.name(number)));
        }
        if self.milliseconds < 0 {
            // The header does not go back.
            return Ok(format!("set for {}", world.name(number)));
        }
        let wall = jiff::Timestamp::now().as_second();
        let offset = status::clock_offset(world.place.web(number), wall)?;
        let text = format!("the clock of {} is off by {offset} s", world.name(number));
        if (offset - self.milliseconds / 1000).abs() <= 2 { Ok(text) } else { Err(text) }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        self.hit.on.iter().try_for_each(|number| world.shift_clock(*number, 0))
    }
}
