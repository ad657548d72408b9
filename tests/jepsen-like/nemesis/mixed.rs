//! Two versions side by side: each replica in turn goes on with its data under another binary, and
//! later back. Every mixture of the two is led by either of them for a while.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Nemesis, Struck, Trouble, rolling};
use crate::replica::{Holder, http};
use crate::tools::{self, Random};
use crate::world::{PROGRAM, World};

/// Names the other binary.
const VARIABLE: &str = "QUORUMGATE_OTHER";
/// What a machine lacks on which nobody named one.
pub(crate) const OTHER: &str = "another binary, named by QUORUMGATE_OTHER";

/// Of a hundred replicas, so many are killed, the rest is asked to stop.
const KILLED_PERCENT: u64 = 40;
/// A replica is away until the others have gone on by so many entries, from and to.
const AWAY: (u64, u64) = (0, 100);
/// The first one on each way is away for so many that it needs a snapshot of the other version.
const AWAY_LONG: (u64, u64) = (160, 250);
const AWAY_LIMIT: Duration = Duration::from_secs(6);
/// Entries under one leader before the next one is to lead.
const LED_ENTRIES: u64 = 5;
const LED_LIMIT: Duration = Duration::from_secs(6);
const WELL_LIMIT: Duration = Duration::from_secs(15);
const LEAD_LIMIT: Duration = Duration::from_secs(10);
const ASK_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Mixed {
    holder: Holder,
    random: Random,
    other: PathBuf,
    killed: usize,
    /// How many replicas were of the other version, and whether one of them led.
    led: BTreeSet<(usize, bool)>,
}

impl Mixed {
    pub(super) fn new(draw: u64, holder: Holder) -> Mixed {
        let random = Random::new(draw);
        Mixed { holder, random, other: PathBuf::new(), killed: 0, led: BTreeSet::new() }
    }

    /// Has all replicas go on with a program, one after the other.
    fn exchange_all(&mut self, world: &mut World, program: Option<&Path>) -> Result<(), String> {
        let mut order: Vec<usize> = (0..world.founders).collect();
        self.random.shuffle(&mut order);
        let mut away = AWAY_LONG;
        for number in order {
            if world.replicas[number].program.as_deref() == program {
                world.revive(self.holder, &[number]);
                continue;
            }
            self.exchange(world, number, program, away)?;
            self.lead_in_turn(world);
            away = AWAY;
        }
        Ok(())
    }

    fn exchange(
        &mut self,
        world: &mut World,
        number: usize,
        program: Option<&Path>,
        away: (u64, u64),
    ) -> Result<(), String> {
        let stopped = if self.random.percent(KILLED_PERCENT) {
            self.killed += world.kill(self.holder, &[number]);
            Ok(())
        } else {
            rolling::stop(world, self.holder, number)
        };
        world.replicas[number].program = program.map(Path::to_owned);
        let _gone_on = await_entries(world, self.random.between(away.0, away.1), AWAY_LIMIT);
        world.revive(self.holder, &[number]);
        let well = world.await_well(WELL_LIMIT);
        stopped?;
        let version = if program.is_some() { "the other version" } else { "its own version" };
        well.map(drop).map_err(|why| format!("{} with {version}: {why}", world.name(number)))
    }

    /// Where two versions are mixed, has one of each lead until entries are written. Under a load of
    /// large bodies a hand-over may come to nothing; what has led is counted.
    fn lead_in_turn(&mut self, world: &World) {
        let is_other = |number: usize| world.replicas[number].program.is_some();
        let (others, own): (Vec<usize>, Vec<usize>) =
            (0..world.founders).partition(|number| is_other(*number));
        if others.is_empty() || own.is_empty() {
            return;
        }
        let Some(leader) = world.await_leader(LEAD_LIMIT) else { return };
        let next = *self.random.pick(if is_other(leader) { &own } else { &others });
        for leads in [leader, next] {
            let written =
                hand_over(world, leads).and_then(|()| await_entries(world, LED_ENTRIES, LED_LIMIT));
            if written.is_some() {
                self.led.insert((others.len(), is_other(leads)));
            }
        }
    }
}

/// Waits until so many entries more are applied than now.
fn await_entries(world: &World, entries: u64, limit: Duration) -> Option<()> {
    let applied = || world.status(world.leader()?).ok().map(|view| view.applied);
    let goal = tools::eventually(limit, applied)? + entries;
    tools::eventually(limit, || applied().filter(|applied| *applied >= goal).map(drop))
}

/// Has this replica lead; `None`: it does not come to that.
fn hand_over(world: &World, to: usize) -> Option<()> {
    let target = format!("/api/v1/admin/leader/transfer?member={}", world.name(to));
    tools::eventually(LEAD_LIMIT, || {
        let leader = world.leader()?;
        if leader != to {
            // Refused or not: who leads then is what counts.
            drop(http::ask(world.place.web(leader), "PUT", &target, ASK_LIMIT));
        }
        (leader == to).then_some(())
    })
}

/// The other binary, which must not be the one under test.
fn find_other() -> Result<PathBuf, Trouble> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let named = PathBuf::from(named.ok_or_else(|| Trouble::Lacking(OTHER.to_owned()))?);
    let read = |path: &Path| {
        std::fs::read(path).map_err(|err| format!("{VARIABLE}: {}: {err}", path.display()))
    };
    if read(&named)? == read(Path::new(PROGRAM))? {
        return Err(Trouble::Failed(format!("{VARIABLE} is the binary that is under test")));
    }
    // As the kernel will tell it.
    named.canonicalize().map_err(|err| Trouble::Failed(err.to_string()))
}

impl Nemesis for Mixed {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble> {
        self.other = find_other()?;
        world.await_well(WELL_LIMIT)?;
        let other = self.other.clone();
        self.exchange_all(world, Some(&other))?;
        Ok(Struck::on((0..world.founders).collect()))
    }

    fn fired(&mut self, world: &mut World) -> Result<String, String> {
        for number in 0..world.founders {
            let executable = world.replicas[number].executable();
            if executable.as_ref() != Some(&self.other) {
                return Err(format!("{} runs {executable:?}", world.name(number)));
            }
        }
        let mixtures = (world.founders - 1) * 2;
        let text = format!(
            "all have the other binary, {} were killed for it; {} of {mixtures} mixtures were led",
            self.killed,
            self.led.len()
        );
        let both = [true, false].iter().all(|side| self.led.iter().any(|(_, led)| led == side));
        if both { Ok(text) } else { Err(text) }
    }

    fn heal(&mut self, world: &mut World) -> Result<(), String> {
        self.exchange_all(world, None)
    }
}
