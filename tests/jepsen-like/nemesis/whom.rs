//! Whom a fault hits: said by role in the schedule, found out when it happens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Trouble;
use crate::replica::Holder;
use crate::tools::Random;
use crate::world::World;

/// How long a fault that is for the leader waits for one.
const LEADER_WAIT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Whom {
    Leader,
    Follower,
    Any,
    /// Fewer than half, as many as can be.
    Minority,
    /// More than half, as few as can be, with the leader.
    Majority,
    All,
    /// This one, whatever it is.
    Number(usize),
}

/// By role, and by a number where the role leaves a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aim {
    pub(crate) whom: Whom,
    pub(crate) draw: u64,
}

impl Aim {
    /// The founders meant, of those that run.
    pub(crate) fn resolve(self, world: &World) -> Result<Vec<usize>, Trouble> {
        let mut running: Vec<usize> =
            world.running().into_iter().filter(|number| *number < world.founders).collect();
        if running.is_empty() {
            return Err(Trouble::Nobody);
        }
        let founders = world.founders;
        let leader = match self.whom {
            Whom::Leader => Some(world.await_leader(LEADER_WAIT).ok_or(Trouble::Nobody)?),
            Whom::Follower | Whom::Majority => world.await_leader(LEADER_WAIT),
            Whom::Any | Whom::Minority | Whom::All | Whom::Number(_) => None,
        };
        // In an order that depends on the draw only.
        Random::new(self.draw).shuffle(&mut running);
        let chosen = match self.whom {
            Whom::Leader => leader.into_iter().collect(),
            Whom::Follower => {
                running.into_iter().filter(|number| Some(*number) != leader).take(1).collect()
            }
            Whom::Any => running.into_iter().take(1).collect(),
            Whom::Minority => running.into_iter().take((founders - 1) / 2).collect(),
            Whom::Majority => {
                running.sort_by_key(|number| Some(*number) != leader);
                running.into_iter().take(founders / 2 + 1).collect()
            }
            Whom::All => running,
            Whom::Number(one) => running.into_iter().filter(|number| *number == one).collect(),
        };
        let chosen: Vec<usize> = chosen;
        if chosen.is_empty() { Err(Trouble::Nobody) } else { Ok(chosen) }
    }
}

/// What most nemeses keep: whom they are for, in whose name, and whom they hit.
pub(crate) struct Hit {
    pub(crate) aim: Aim,
    pub(crate) holder: Holder,
    pub(crate) on: Vec<usize>,
}

impl Hit {
    pub(crate) fn new(aim: Aim, holder: Holder) -> Hit {
        Hit { aim, holder, on: Vec::new() }
    }

    /// Finds out whom it hits.
    pub(crate) fn choose(&mut self, world: &World) -> Result<(), Trouble> {
        self.on = self.aim.resolve(world)?;
        Ok(())
    }
}
