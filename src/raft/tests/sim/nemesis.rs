//! What goes wrong, as chance has it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::net::{Closed, Weather, between};
use super::story::tell;
use super::world::{NODES, World, address};
use crate::raft::replica::MemberChange;
use crate::storage::power::Cut;

/// How long a replica stays down at most.
const DOWN_MAX: Duration = Duration::from_secs(2);

/// What a schedule may have.
pub(super) struct Nemesis {
    world: World,
    /// How long it is quiet between two faults, in milliseconds.
    pause: (u64, u64),
    /// Whether one disk may be lost or damaged. More than one at a time nobody can make good.
    damages: bool,
}

impl Nemesis {
    pub(super) fn new(world: World) -> Nemesis {
        let chance = &world.chance;
        let pause = if chance.permille(500) { (20, 200) } else { (100, 900) };
        let damages = chance.permille(250);
        let mut weather = Weather::default();
        if chance.permille(600) {
            weather.lost = chance.below(60);
            weather.late = chance.below(200);
        }
        if chance.permille(500) {
            weather.repeated = chance.below(150);
        }
        if chance.permille(300) {
            weather.spoiled = 300;
        }
        tell(format!("{weather:?}, damages: {damages}"));
        world.net.set_weather(weather);
        Nemesis { world, pause, damages }
    }

    /// Works until the world says that it is over.
    pub(super) async fn run(mut self) {
        while !self.world.is_over() {
            tokio::time::sleep(self.world.chance.millis(self.pause.0, self.pause.1)).await;
            self.something();
            for index in 0..NODES {
                self.perhaps_restart(index);
            }
        }
    }

    fn something(&mut self) {
        match self.world.chance.below(20) {
            0..=3 => self.close_links(),
            4..=6 => self.world.net.heal(),
            7..=9 => self.end_one(),
            10 => {
                let cut = self.cut();
                for index in 0..NODES {
                    if self.world.chance.permille(750) {
                        self.world.end_process(index, cut);
                    }
                }
            }
            11..=14 => {
                let operations = self.world.chance.below(40);
                self.world.arm(self.somebody(), self.cut(), operations);
            }
            15 => self.turn_clock(),
            16 => self.slow_disk(),
            17 => self.hand_over(),
            18 => self.restart_at_once(),
            _ => {
                if self.damages {
                    self.damages = !self.damage();
                }
            }
        }
    }

    fn cut(&self) -> Cut {
        Cut::ALL[self.world.chance.index(Cut::ALL.len())]
    }

    /// The leader as often as anybody.
    fn somebody(&self) -> usize {
        let leader = (0..NODES).find(|index| leads(&self.world, *index));
        let leader = leader.filter(|_| self.world.chance.permille(500));
        leader.unwrap_or_else(|| self.world.chance.index(NODES))
    }

    fn close_links(&self) {
        let how = if self.world.chance.permille(400) { Closed::Held } else { Closed::Cut };
        let all: BTreeSet<String> = (0..NODES).map(address).collect();
        let one = BTreeSet::from([address(self.somebody())]);
        let others: BTreeSet<String> = all.difference(&one).cloned().collect();
        let (some, others) = match self.world.chance.below(4) {
            0 | 1 => (one, others),
            // Two that do not reach each other; both reach the third.
            2 => (one, others.into_iter().take(1).collect()),
            _ => (all.clone(), all),
        };
        tell(format!("closed ({how:?}): {some:?} to {others:?}"));
        let both = self.world.chance.permille(700);
        for (from, to) in between(&some, &others) {
            self.world.net.close(&from, &to, how);
            if both {
                self.world.net.close(&to, &from, how);
            }
        }
    }

    fn end_one(&self) {
        self.world.end_process(self.somebody(), self.cut());
    }

    /// Ends a process and starts the next before anybody has noticed.
    fn restart_at_once(&self) {
        let index = self.somebody();
        self.world.end_process(index, self.cut());
        if self.world.nodes()[index].down_since.is_some() {
            self.world.start(index);
        }
    }

    fn turn_clock(&self) {
        let index = self.world.chance.index(NODES);
        let nodes = self.world.nodes();
        let hours = i64::try_from(self.world.chance.below(5)).unwrap() - 2;
        tell(format!("the clock of {} turns by {hours} h", nodes[index].name));
        nodes[index]
            .clock
            .fetch_add(hours * 3_600_000_000_000, std::sync::atomic::Ordering::Relaxed);
    }

    fn slow_disk(&self) {
        let index = self.somebody();
        let (pace, name) = {
            let nodes = self.world.nodes();
            (std::sync::Arc::clone(&nodes[index].pace), nodes[index].name)
        };
        let (time, until) =
            (self.world.chance.millis(20, 900), self.world.chance.millis(100, 2000));
        tell(format!("the disk of {name} takes {time:?} more"));
        pace.stall(time);
        tokio::spawn(async move {
            tokio::time::sleep(until).await;
            pace.stall(Duration::ZERO);
        });
    }

    fn hand_over(&self) {
        let Some((replica, _)) = self.world.replica(self.somebody()) else { return };
        tell("the lead is to be handed over");
        tokio::spawn(async move {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
            drop(replica.change_members(MemberChange::Lead(None), deadline).await);
        });
    }

    /// Damages one disk; whether it did.
    fn damage(&self) -> bool {
        let index = self.world.chance.index(NODES);
        // Only where the others have all of it.
        let holds = |other: usize| self.world.nodes()[other].known_as.is_some();
        let runs = |other: usize| self.world.replica(other).is_some();
        let whole = (0..NODES).all(|other| other == index || (holds(other) && runs(other)));
        if !whole || self.world.nodes()[index].lives == 0 {
            return false;
        }
        self.world.end_process(index, self.cut());
        if self.world.chance.permille(500) {
            self.world.wipe(index);
        } else {
            self.world.spoil(index);
        }
        true
    }

    fn perhaps_restart(&self, index: usize) {
        let down_for = self.world.nodes()[index].down_since.map(|since| since.elapsed());
        if down_for.is_some_and(|time| time > DOWN_MAX || self.world.chance.permille(300)) {
            self.world.start(index);
        }
    }
}

/// Whether a replica takes itself for the leader.
pub(super) fn leads(world: &World, index: usize) -> bool {
    let Some((replica, _)) = world.replica(index) else { return false };
    replica
        .running()
        .is_ok_and(|running| running.metrics().current_leader == Some(running.identity.node))
}
