//! Files that change while the replica is stopped. It may go on, or take the disk for lost and join
//! anew, or refuse with one line; what it must never do is serve something else.

use std::time::Duration;

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::disk::damage::{self, Harm, Part};
use crate::replica::{Holder, status};
use crate::tools;
use crate::world::World;

/// The exit status of a refusal.
const REFUSED: i32 = 1;
/// How long a replica has to say whether it goes on.
const DECISION: Duration = Duration::from_secs(8);

pub(super) struct Damage {
    hit: Hit,
    part: Part,
    harm: Harm,
    draw: u64,
    done: Option<String>,
}

impl Damage {
    pub(super) fn new(hit: Hit, part: Part, harm: Harm, draw: u64) -> Damage {
        Damage { hit, part, harm, draw, done: None }
    }
}

/// Starts a replica with a damaged disk; how much it had said before.
pub(super) fn wake(world: &mut World, holder: Holder, number: usize) -> usize {
    let said_before = world.replicas[number].said().len();
    world.excuse(holder, &[number]);
    // It may take the disk for lost and begin anew.
    world.new_disk(number);
    world.revive(holder, &[number]);
    said_before
}

/// Waits until such a replica is ready or has refused, and gives one that refuses an empty disk.
pub(super) fn settle(
    world: &mut World,
    holder: Holder,
    number: usize,
    said_before: usize,
) -> Result<(), String> {
    let web = world.place.web(number);
    let decided = tools::eventually(DECISION, || {
        world.tend();
        (!world.replicas[number].runs() || status::ready(web).is_ok()).then_some(())
    });
    world.no_excuse(holder);
    if decided.is_some() && !world.replicas[number].runs() {
        let said = world.replicas[number].said();
        let name = world.name(number).to_owned();
        if !said.get(said_before..).unwrap_or_default().contains("level=error") {
            world.complain(format!("{name} refuses its disk without a line that says why"));
        }
        // An invariant that stops the process has noticed the damage too late.
        let exit = world.exits.iter().rev().find(|exit| exit.replica == number);
        if let Some(status) = exit.map(|exit| exit.status).filter(|s| s.code() != Some(REFUSED)) {
            world.complain(format!("{name} does not refuse its disk, it ends with {status}"));
        }
        // What the refusal tells the operator to do.
        world.wipe(number)?;
        world.launch(number);
    }
    Ok(())
}

impl Nemesis for Damage {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        let number = self.hit.on[0];
        world.disk_to_spare()?;
        world.kill(self.hit.holder, &[number]);
        let data = world.replicas[number].disk.data();
        self.done = damage::harm(&data, self.part, self.harm, self.draw);
        if let Some(done) = &self.done {
            world.replicas[number].note(done);
        }
        Ok(Struck::on(vec![number]))
    }

    fn fired(&mut self, _world: &mut World) -> Result<String, String> {
        self.done.clone().ok_or_else(|| format!("{:?} has nothing to damage", self.part))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        let number = self.hit.on[0];
        let said_before = wake(world, self.hit.holder, number);
        settle(world, self.hit.holder, number, said_before)
    }
}
