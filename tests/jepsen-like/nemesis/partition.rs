//! Links that are cut between replicas, in shapes that are known to have broken others.

use serde::{Deserialize, Serialize};

use super::whom::{Aim, Hit, Whom};
use super::{Nemesis, Struck, Trouble};
use crate::place::Cut;
use crate::replica::Holder;
use crate::tools::Random;
use crate::world::World;

/// Which links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Split {
    /// Nothing reaches the leader, and nothing comes from it.
    IsolateLeader,
    IsolateAny,
    /// A minority on one side and a majority on the other.
    Halves,
    /// Two halves that do not see each other, and one replica that sees all.
    Bridge,
    /// Each sees only its two neighbours.
    Ring,
    /// The leader hears the others, and they do not hear it.
    LeaderUnheard,
    /// The others hear the leader, and it does not hear them.
    LeaderDeaf,
    /// Nobody sees anybody.
    All,
}

pub(super) struct Partition {
    split: Split,
    draw: u64,
    holder: Holder,
}

impl Partition {
    pub(super) fn new(split: Split, draw: u64, holder: Holder) -> Partition {
        Partition { split, draw, holder }
    }

    fn aim(&self, whom: Whom, world: &World) -> Result<usize, Trouble> {
        Ok(Aim { whom, draw: self.draw }.resolve(world)?[0])
    }

    fn cuts(&self, world: &World) -> Result<Vec<Cut>, Trouble> {
        let count = world.founders;
        let mut order: Vec<usize> = (0..count).collect();
        Random::new(self.draw).shuffle(&mut order);
        let place = |replica: usize| order.iter().position(|at| *at == replica).unwrap();
        let leader = match self.split {
            Split::IsolateLeader | Split::LeaderUnheard | Split::LeaderDeaf => {
                self.aim(Whom::Leader, world)?
            }
            Split::IsolateAny => self.aim(Whom::Any, world)?,
            Split::Halves | Split::Bridge | Split::Ring | Split::All => 0,
        };
        let half = (count - 1) / 2;
        // Whether what `from` sends to `to` is lost.
        let lost = |from: usize, to: usize| match self.split {
            Split::IsolateLeader | Split::IsolateAny => from == leader || to == leader,
            Split::LeaderUnheard => from == leader,
            Split::LeaderDeaf => to == leader,
            Split::Halves => (place(from) < half) != (place(to) < half),
            Split::Bridge => {
                let side = |replica: usize| place(replica).cmp(&half);
                place(from) != half && place(to) != half && side(from) != side(to)
            }
            Split::Ring => {
                let apart = place(from).abs_diff(place(to));
                apart != 1 && apart != count - 1
            }
            Split::All => true,
        };
        // A replica that is not a founder is on the side of the first.
        let everybody = 0..world.count();
        let links = everybody.clone().flat_map(|from| everybody.clone().map(move |to| (from, to)));
        let as_founder = |replica: usize| if replica < count { replica } else { order[count - 1] };
        let cuts = links
            .filter(|(from, to)| {
                let (a, b) = (as_founder(*from), as_founder(*to));
                from != to && a != b && lost(a, b)
            })
            .map(|(from, to)| Cut::Link { from, to });
        Ok(cuts.collect())
    }
}

/// Those that do not exchange messages both ways with a majority.
pub(crate) fn minority(cuts: &[Cut], founders: usize) -> Vec<usize> {
    let cut = |from: usize, to: usize| cuts.contains(&Cut::Link { from, to });
    let sees =
        |one: usize| (0..founders).filter(|other| !cut(one, *other) && !cut(*other, one)).count();
    (0..founders).filter(|one| sees(*one) * 2 <= founders).collect()
}

impl Nemesis for Partition {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        let cuts = self.cuts(world)?;
        if cuts.is_empty() {
            return Err(Trouble::Failed(format!("{:?} cuts nothing among so few", self.split)));
        }
        let minority = minority(&cuts, world.founders);
        let cut_off = |replica: &usize| {
            cuts.iter().any(
                |cut| matches!(cut, Cut::Link { from, to } if from == replica || to == replica),
            )
        };
        let on = (0..world.founders).filter(cut_off).collect();
        world.cut(self.holder, cuts)?;
        Ok(Struck { on, minority })
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        match world.held_back(self.holder) {
            0 => Err("nothing was held back".to_owned()),
            packets => Ok(format!("{packets} packets held back")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.mend(self.holder);
        Ok(())
    }
}

/// Clients do not reach some replicas.
pub(super) struct NoClients {
    hit: Hit,
}

impl NoClients {
    pub(super) fn new(hit: Hit) -> NoClients {
        NoClients { hit }
    }
}

impl Nemesis for NoClients {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.hit.choose(world)?;
        let cuts = self.hit.on.iter().map(|to| Cut::Clients { to: *to }).collect();
        world.cut(self.hit.holder, cuts)?;
        Ok(Struck::on(self.hit.on.clone()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        match world.held_back(self.hit.holder) {
            0 => Err("nothing was held back".to_owned()),
            packets => Ok(format!("{packets} packets held back")),
        }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        world.mend(self.hit.holder);
        Ok(())
    }
}
