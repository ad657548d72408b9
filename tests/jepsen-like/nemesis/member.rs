//! Members go, come, and are replaced, under load.

use std::time::Duration;

use super::whom::Hit;
use super::{Nemesis, Struck, Trouble};
use crate::replica::{Holder, http};
use crate::tools;
use crate::world::World;

const ASK_LIMIT: Duration = Duration::from_secs(5);
const CHANGE_LIMIT: Duration = Duration::from_secs(15);

/// Whether everybody who runs says that this replica votes, or that it is no member.
fn agreed(world: &World, number: usize, votes: bool) -> bool {
    let views: Vec<_> = world
        .running()
        .into_iter()
        .filter(|other| *other != number)
        .filter_map(|other| world.status(other).ok())
        .filter(|view| !view.leader.is_empty())
        .collect();
    let name = &world.replicas[number].name;
    !views.is_empty()
        && views.iter().all(|view| {
            if votes {
                view.voters.contains(name)
            } else {
                !view.voters.contains(name) && !view.learners.contains(name)
            }
        })
}

/// Has a member removed by another one, and ends its process.
fn remove(world: &mut World, holder: Holder, number: usize) -> Result<(), String> {
    let target = format!("/api/v1/admin/member/remove?member={}", world.name(number));
    let mut said = String::new();
    let gone = tools::eventually(CHANGE_LIMIT, || {
        let leader = world.leader()?;
        let at = if leader == number { (leader + 1) % world.founders } else { leader };
        match http::ask(world.place.web(at), "PUT", &target, ASK_LIMIT) {
            Ok(answer) => said = format!("{} {}", answer.status, answer.text().trim()),
            Err(err) => said = err,
        }
        agreed(world, number, false).then_some(())
    });
    world.kill(holder, &[number]);
    gone.ok_or_else(|| format!("{} is not removed: {said}", world.name(number)))
}

/// Has a replica with an empty disk join; whether it votes in time.
fn join(world: &mut World, holder: Holder, number: usize) -> Result<(), String> {
    world.kill(holder, &[number]);
    world.wipe(number)?;
    world.revive(holder, &[number]);
    let votes = tools::eventually(CHANGE_LIMIT, || agreed(world, number, true).then_some(()));
    votes.ok_or_else(|| format!("{} does not become a voter", world.name(number)))
}

pub(super) struct Remove {
    hit: Hit,
}

impl Remove {
    pub(super) fn new(hit: Hit) -> Remove {
        Remove { hit }
    }
}

impl Nemesis for Remove {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        // It comes back without its disk.
        world.disk_to_spare()?;
        world.excuse(self.hit.holder, &self.hit.on);
        for number in self.hit.on.clone() {
            remove(world, self.hit.holder, number)?;
        }
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        Ok(format!("{} is no member", world.names(&self.hit.on)))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.no_excuse(self.hit.holder);
        for number in self.hit.on.clone() {
            join(world, self.hit.holder, number)?;
        }
        Ok(())
    }
}

/// The replica that is not one of the founders.
fn spare(world: &World) -> usize {
    world.founders
}

/// Removes the spare replica; the next step may start it again.
fn dismiss(world: &mut World, holder: Holder, spare: usize) -> Result<(), String> {
    world.excuse(holder, &[spare]);
    let removed = remove(world, holder, spare);
    world.no_excuse(holder);
    world.replicas[spare].down.remove(&holder);
    removed
}

pub(super) struct Add {
    holder: Holder,
}

impl Add {
    pub(super) fn new(holder: Holder) -> Add {
        Add { holder }
    }
}

impl Nemesis for Add {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        let spare = spare(world);
        join(world, self.holder, spare)?;
        Ok(Struck::on(vec![spare]))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        Ok(format!("{} is a voter", world.name(spare(world))))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        let spare = spare(world);
        dismiss(world, self.holder, spare)
    }
}

pub(super) struct Replace {
    hit: Hit,
}

impl Replace {
    pub(super) fn new(hit: Hit) -> Replace {
        Replace { hit }
    }
}

impl Nemesis for Replace {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        let (spare, gone) = (spare(world), self.hit.on[0]);
        world.kill(self.hit.holder, &[gone]);
        join(world, self.hit.holder, spare)?;
        remove(world, self.hit.holder, gone)?;
        Ok(Struck::on(vec![gone, spare]))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        Ok(format!("{} votes for {}", world.name(spare(world)), world.names(&self.hit.on)))
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        let (spare, gone) = (spare(world), self.hit.on[0]);
        join(world, self.hit.holder, gone)?;
        dismiss(world, self.hit.holder, spare)
    }
}
