//! What goes wrong. A fault is data, so that a schedule can be stored and replayed; a nemesis brings
//! it about, proves that it took effect, and ends it.

mod clock;
mod damage;
mod disks;
mod kill;
mod lead;
mod member;
pub(crate) mod mixed;
mod network;
pub(crate) mod partition;
mod pause;
pub(crate) mod power;
mod rolling;
mod starve;
mod sync;
pub(crate) mod whom;
mod winner;
mod wipe;

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::disk::damage::{Harm, Part};
use crate::place::shape::Shape;
use crate::places;
use crate::replica::Holder;
use crate::world::{Setup, World};
use partition::Split;
use whom::Aim;

/// One fault, as it stands in a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// kill -9; started again at the end.
    Kill { aim: Aim },
    /// SIGSTOP; SIGCONT at the end.
    Pause { aim: Aim },
    /// Links between replicas are cut.
    Partition { split: Split, draw: u64 },
    /// Clients do not reach some replicas; the replicas reach each other.
    NoClients { aim: Aim },
    /// Connections of other replicas are answered with resets.
    Reset { aim: Aim },
    /// What replicas send to others is delayed, lost, repeated, reordered or throttled.
    Network { aim: Aim, shape: Shape },
    /// The wall clock is off.
    Clock { aim: Aim, milliseconds: i64 },
    /// A share of one processor is all there is.
    Cpu { aim: Aim, percent: u32 },
    /// A process that takes more memory than so much more is killed by the kernel.
    Memory { aim: Aim, mebibytes: u32 },
    /// The disk has no space left.
    FullDisk { aim: Aim },
    /// fsync fails.
    SyncError { aim: Aim },
    /// fsync takes longer.
    SlowSync { aim: Aim, milliseconds: u64 },
    /// The disk does so many writes in a second.
    SlowDisk { aim: Aim, writes: u32 },
    /// The disk does nothing.
    HungDisk { aim: Aim },
    /// What was not synced is lost, and the process with it.
    PowerCut { aim: Aim },
    /// The process dies at a certain place in the code, and what it did not sync is lost.
    PowerCutAt { aim: Aim, place: String, empty_disk: bool },
    /// All replicas died at a certain place when they were started for the first time.
    FirstStart { place: String },
    /// The lead is handed over.
    Transfer,
    /// SIGTERM to the leader; started again at the end.
    StopLeader,
    /// SIGTERM and a start, one replica after the other.
    Rolling,
    /// A member is removed; at the end it joins again with an empty disk.
    Remove { aim: Aim },
    /// Another replica joins; at the end it is removed.
    Add,
    /// A new replica takes the place of one whose machine is gone.
    Replace { aim: Aim },
    /// A replica starts with an empty disk.
    Wipe { aim: Aim },
    /// A replica starts with an older copy of its disk.
    OldDisk { aim: Aim },
    /// Bytes of a replica's files change while it is stopped.
    Damage { aim: Aim, part: Part, harm: Harm, draw: u64 },
    /// The same while those that have everything are away and the others lag.
    DamagedWinner { aim: Aim, part: Part, harm: Harm, draw: u64 },
    /// Another version takes the place of each replica in turn; at the end they go back.
    MixedVersions { draw: u64 },
    /// A byte of each snapshot that is sent to a replica with an empty disk changes on the way.
    CorruptSnapshot { aim: Aim },
}

/// Whom a fault has hit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Struck {
    pub(crate) on: Vec<usize>,
    /// Those that cannot reach a majority because of it.
    pub(crate) minority: Vec<usize>,
}

impl Struck {
    /// These are gone; if they are so many that the others are no majority, those are cut off.
    pub(crate) fn gone(on: Vec<usize>, world: &World) -> Struck {
        let left = (0..world.founders).filter(|number| world.replicas[*number].runs());
        let left: Vec<usize> = left.collect();
        let minority = if left.len() * 2 <= world.founders { left } else { Vec::new() };
        Struck { on, minority }
    }

    pub(crate) fn on(on: Vec<usize>) -> Struck {
        Struck { on, minority: Vec::new() }
    }
}

/// Why a fault is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// This machine lacks what it takes.
    Lacking(String),
    /// There is nobody to hit at the moment; nothing was begun, so there is nothing to take back.
    Nobody,
    /// The harness could not do it.
    Failed(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Trouble {
        Trouble::Failed(why)
    }
}

/// Brings one fault about and ends it.
pub(crate) trait Nemesis {
    fn inject(&mut self, world: &mut World) -> Result<Struck, Trouble>;

    /// Whether the fault took effect, asked just before it ends: what shows it, or what is missing.
    fn fired(&mut self, world: &mut World) -> Result<String, String>;

    fn heal(&mut self, world: &mut World) -> Result<(), String>;
}

impl Fault {
    /// What can bring it about. `holder` is the number of its step.
    pub(crate) fn nemesis(&self, holder: Holder) -> Box<dyn Nemesis> {
        use whom::Hit;
        let hit = |aim: &Aim| Hit::new(*aim, holder);
        match self {
            Fault::Kill { aim } => Box::new(kill::Kill::new(hit(aim))),
            Fault::Pause { aim } => Box::new(pause::Pause::new(hit(aim))),
            Fault::Partition { split, draw } => {
                Box::new(partition::Partition::new(*split, *draw, holder))
            }
            Fault::NoClients { aim } => Box::new(partition::NoClients::new(hit(aim))),
            Fault::Reset { aim } => Box::new(network::Reset::new(hit(aim))),
            Fault::Network { aim, shape } => Box::new(network::Spoil::new(hit(aim), *shape)),
            Fault::Clock { aim, milliseconds } => {
                Box::new(clock::Shift::new(hit(aim), *milliseconds))
            }
            Fault::Cpu { aim, percent } => Box::new(starve::Cpu::new(hit(aim), *percent)),
            Fault::Memory { aim, mebibytes } => Box::new(starve::Memory::new(hit(aim), *mebibytes)),
            Fault::FullDisk { aim } => Box::new(disks::Full::new(hit(aim))),
            Fault::SyncError { aim } => Box::new(sync::Failing::new(hit(aim))),
            Fault::SlowSync { aim, milliseconds } => {
                Box::new(sync::Slow::new(hit(aim), *milliseconds))
            }
            Fault::SlowDisk { aim, writes } => Box::new(starve::SlowDisk::new(hit(aim), *writes)),
            Fault::HungDisk { aim } => Box::new(disks::Hung::new(hit(aim))),
            Fault::PowerCut { aim } => Box::new(power::PowerCut::new(hit(aim))),
            Fault::PowerCutAt { aim, place, empty_disk } => {
                Box::new(power::PowerCutAt::new(hit(aim), place.clone(), *empty_disk))
            }
            Fault::FirstStart { .. } => Box::new(power::FirstStart),
            Fault::Transfer => Box::new(lead::Transfer::default()),
            Fault::StopLeader => Box::new(rolling::StopLeader::new(holder)),
            Fault::Rolling => Box::new(rolling::Rolling::new(holder)),
            Fault::Remove { aim } => Box::new(member::Remove::new(hit(aim))),
            Fault::Add => Box::new(member::Add::new(holder)),
            Fault::Replace { aim } => Box::new(member::Replace::new(hit(aim))),
            Fault::Wipe { aim } => Box::new(wipe::Wipe::new(hit(aim))),
            Fault::OldDisk { aim } => Box::new(wipe::OldDisk::new(hit(aim))),
            Fault::Damage { aim, part, harm, draw } => {
                Box::new(damage::Damage::new(hit(aim), *part, *harm, *draw))
            }
            Fault::DamagedWinner { aim, part, harm, draw } => {
                Box::new(winner::Winner::new(hit(aim), *part, *harm, *draw))
            }
            Fault::MixedVersions { draw } => Box::new(mixed::Mixed::new(*draw, holder)),
            Fault::CorruptSnapshot { aim } => Box::new(wipe::CorruptSnapshot::new(hit(aim))),
        }
    }

    /// Adds what it needs to what a run sets up.
    pub(crate) fn prepare(&self, setup: &mut Setup) {
        match self {
            Fault::Clock { .. } => setup.clock = true,
            Fault::SyncError { .. } | Fault::SlowSync { .. } => setup.shim = true,
            Fault::Add | Fault::Replace { .. } => setup.spares = 1,
            Fault::FirstStart { place } if places::KNOWN && Disk::can_mount().is_ok() => {
                setup.first_crash = Some(place.clone());
            }
            _ => {}
        }
    }
}
