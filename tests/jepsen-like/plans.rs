//! The named nemeses: which faults, how long, how far apart, and what a run with them must have
//! shown to prove anything.

use crate::disk::damage::{Harm, Part};
use crate::nemesis::Fault;
use crate::nemesis::partition::Split;
use crate::nemesis::whom::{Aim, Whom};
use crate::place::shape::Shape;
use crate::places;
use crate::tools::Random;
use crate::workload::Kind;

pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The fewest replicas among which it makes sense.
    pub(crate) replicas: usize,
    /// How long a fault lasts, from and to.
    pub(crate) hold_ms: (u64, u64),
    /// How long nothing happens after it.
    pub(crate) gap_ms: (u64, u64),
    /// Sequences of faults side by side.
    pub(crate) lanes: u32,
    /// The faults, one for each round.
    pub(crate) fault: fn(&mut Random, usize) -> Fault,
    /// Whether the leader has to change.
    pub(crate) moves_lead: bool,
    /// Whether pushes are acknowledged while a fault lasts, since a majority is left.
    pub(crate) goes_on: bool,
    /// Whether a replica has to be brought up to date with a snapshot.
    pub(crate) sends_snapshot: bool,
}

/// Longer than any run.
const NEVER_MS: u64 = 1 << 40;

/// A plan of faults that come one at a time.
const PLAIN: Plan = Plan {
    name: "",
    about: "",
    replicas: 3,
    hold_ms: (1000, 3000),
    gap_ms: (2000, 4000),
    lanes: 1,
    fault: |random, _| Fault::Kill { aim: aim(random, Whom::Any) },
    goes_on: true,
    moves_lead: false,
    sends_snapshot: false,
};

fn aim(random: &mut Random, whom: Whom) -> Aim {
    Aim { whom, draw: random.next() >> 32 }
}

fn split(random: &mut Random, split: Split) -> Fault {
    Fault::Partition { split, draw: random.next() >> 32 }
}

fn spoil(random: &mut Random, whom: Whom, shape: Shape) -> Fault {
    Fault::Network { aim: aim(random, whom), shape }
}

fn damage(random: &mut Random, part: Part, round: usize) -> Fault {
    let harm = [Harm::BitFlip, Harm::ZeroedPage, Harm::CutTail][round % 3];
    let aim = aim(random, if round.is_multiple_of(2) { Whom::Follower } else { Whom::Leader });
    Fault::Damage { aim, part, harm, draw: random.next() >> 32 }
}

const SHAPE: Shape = Shape {
    delay_ms: 0,
    jitter_ms: 0,
    loss_percent: 0,
    reorder_percent: 0,
    repeat_percent: 0,
    kilobits: None,
    corrupt_snapshots: false,
};

/// Processes that die, stop and hang.
const PROCESSES: &[Plan] = &[
    Plan {
        name: "kill-leader",
        about: "kill -9 of the leader",
        hold_ms: (0, 3000),
        fault: |r, _| Fault::Kill { aim: aim(r, Whom::Leader) },
        moves_lead: true,
        ..PLAIN
    },
    Plan { name: "kill-any", about: "kill -9 of any replica", hold_ms: (0, 5000), ..PLAIN },
    Plan {
        name: "kill-majority",
        about: "kill -9 of the leader and as many others as make a majority",
        fault: |r, _| Fault::Kill { aim: aim(r, Whom::Majority) },
        moves_lead: true,
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "kill-all",
        about: "kill -9 of all replicas at once",
        hold_ms: (0, 2000),
        fault: |r, _| Fault::Kill { aim: aim(r, Whom::All) },
        moves_lead: true,
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "pause-leader",
        about: "SIGSTOP of the leader, SIGCONT later",
        hold_ms: (200, 4000),
        fault: |r, _| Fault::Pause { aim: aim(r, Whom::Leader) },
        moves_lead: true,
        ..PLAIN
    },
    Plan {
        name: "pause-any",
        about: "SIGSTOP of any replica, SIGCONT later",
        hold_ms: (200, 5000),
        fault: |r, _| Fault::Pause { aim: aim(r, Whom::Any) },
        ..PLAIN
    },
    Plan {
        name: "rolling",
        about: "SIGTERM and a start, one replica after the other",
        hold_ms: (0, 100),
        fault: |_, _| Fault::Rolling,
        moves_lead: true,
        ..PLAIN
    },
    Plan {
        name: "stop-leader",
        about: "SIGTERM to the leader",
        fault: |_, _| Fault::StopLeader,
        moves_lead: true,
        ..PLAIN
    },
    Plan {
        name: "transfer",
        about: "the lead is handed over",
        hold_ms: (0, 500),
        gap_ms: (500, 2500),
        fault: |_, _| Fault::Transfer,
        moves_lead: true,
        ..PLAIN
    },
    Plan {
        name: "cpu",
        about: "8 percent of one processor for the leader",
        hold_ms: (3000, 6000),
        fault: |r, _| Fault::Cpu { aim: aim(r, Whom::Leader), percent: 8 },
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "memory",
        about: "no more than 1 MiB of new memory for one replica; the kernel kills it at the limit",
        hold_ms: (4000, 7000),
        fault: |r, _| Fault::Memory { aim: aim(r, Whom::Any), mebibytes: 1 },
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "clock-jump",
        about: "the leader's wall clock is off by up to an hour",
        fault: |r, round| Fault::Clock {
            aim: aim(r, Whom::Leader),
            milliseconds: [3_600_000, -3_600_000, 30_000, -30_000][round % 4],
        },
        ..PLAIN
    },
    Plan {
        name: "clock-flap",
        about: "wall clocks that are off by less than half a second, now ahead, now behind",
        hold_ms: (100, 600),
        gap_ms: (0, 100),
        lanes: 2,
        fault: |r, round| {
            let off = i64::try_from(r.between(50, 450)).unwrap();
            let milliseconds = if round.is_multiple_of(2) { off } else { -off };
            Fault::Clock { aim: aim(r, Whom::Any), milliseconds }
        },
        goes_on: false,
        ..PLAIN
    },
];

/// Links between replicas, and to clients.
const NETWORK: &[Plan] = &[
    Plan {
        name: "isolate-leader",
        about: "the leader sees no other replica",
        hold_ms: (1000, 5000),
        fault: |r, _| split(r, Split::IsolateLeader),
        moves_lead: true,
        ..PLAIN
    },
    Plan {
        name: "isolate-any",
        about: "one replica sees no other",
        hold_ms: (1000, 5000),
        fault: |r, _| split(r, Split::IsolateAny),
        ..PLAIN
    },
    Plan {
        name: "halves",
        about: "a minority and a majority that do not see each other",
        hold_ms: (1000, 5000),
        fault: |r, _| split(r, Split::Halves),
        ..PLAIN
    },
    Plan {
        name: "apart",
        about: "no replica sees another",
        fault: |r, _| split(r, Split::All),
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "bridge",
        about: "two halves that do not see each other, and one replica that sees all",
        hold_ms: (2000, 5000),
        fault: |r, _| split(r, Split::Bridge),
        ..PLAIN
    },
    Plan {
        name: "ring",
        about: "each replica sees its two neighbours only",
        replicas: 5,
        hold_ms: (2000, 5000),
        fault: |r, _| split(r, Split::Ring),
        ..PLAIN
    },
    Plan {
        name: "leader-unheard",
        about: "the leader hears the others, and they do not hear it",
        hold_ms: (1500, 5000),
        fault: |r, _| split(r, Split::LeaderUnheard),
        moves_lead: true,
        ..PLAIN
    },
    Plan {
        name: "leader-deaf",
        about: "the others hear the leader, and it does not hear them",
        hold_ms: (1500, 5000),
        fault: |r, _| split(r, Split::LeaderDeaf),
        moves_lead: true,
        ..PLAIN
    },
    Plan {
        name: "no-clients",
        about: "clients do not reach the leader; the replicas reach each other",
        fault: |r, _| Fault::NoClients { aim: aim(r, Whom::Leader) },
        ..PLAIN
    },
    Plan {
        name: "reset",
        about: "whoever calls the leader from another replica is answered with a reset",
        fault: |r, _| Fault::Reset { aim: aim(r, Whom::Leader) },
        ..PLAIN
    },
    Plan {
        name: "delay",
        about: "what replicas send to others takes 75 ± 50 ms",
        hold_ms: (3000, 6000),
        fault: |r, _| spoil(r, Whom::All, Shape { delay_ms: 75, jitter_ms: 50, ..SHAPE }),
        ..PLAIN
    },
    Plan {
        name: "loss",
        about: "up to 30 percent of the packets are lost",
        hold_ms: (3000, 6000),
        fault: |r, _| {
            let loss_percent = r.between(5, 31);
            spoil(r, Whom::All, Shape { loss_percent, ..SHAPE })
        },
        ..PLAIN
    },
    Plan {
        name: "duplicate",
        about: "a quarter of the packets come twice",
        fault: |r, _| spoil(r, Whom::All, Shape { repeat_percent: 25, ..SHAPE }),
        ..PLAIN
    },
    Plan {
        name: "reorder",
        about: "a quarter of the packets come after later ones",
        fault: |r, _| spoil(r, Whom::All, Shape { reorder_percent: 25, jitter_ms: 2, ..SHAPE }),
        ..PLAIN
    },
    Plan {
        name: "narrow",
        about: "a quarter of a megabit a second from the leader",
        hold_ms: (3000, 6000),
        fault: |r, _| spoil(r, Whom::Leader, Shape { kilobits: Some(250), ..SHAPE }),
        goes_on: false,
        ..PLAIN
    },
];

/// Disks that are full, fail, hang, lose the power, or hold something else than they should.
const DISKS: &[Plan] = &[
    Plan {
        name: "power-cut-any",
        about: "a power cut of one replica",
        fault: |r, _| Fault::PowerCut { aim: aim(r, Whom::Any) },
        ..PLAIN
    },
    Plan {
        name: "power-cut-majority",
        about: "a power cut of the leader and as many others as make a majority",
        fault: |r, _| Fault::PowerCut { aim: aim(r, Whom::Majority) },
        moves_lead: true,
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "power-cut-all",
        about: "a power cut of all replicas at once",
        hold_ms: (0, 1500),
        fault: |r, _| Fault::PowerCut { aim: aim(r, Whom::All) },
        moves_lead: true,
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "full-disk",
        about: "the disk of one replica has no space left",
        hold_ms: (2000, 5000),
        fault: |r, _| Fault::FullDisk { aim: aim(r, Whom::Any) },
        ..PLAIN
    },
    Plan {
        name: "full-disk-leader",
        about: "the disk of the leader has no space left",
        hold_ms: (2000, 5000),
        fault: |r, _| Fault::FullDisk { aim: aim(r, Whom::Leader) },
        ..PLAIN
    },
    Plan {
        name: "full-disk-all",
        about: "no disk has any space left",
        hold_ms: (2000, 4000),
        fault: |r, _| Fault::FullDisk { aim: aim(r, Whom::All) },
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "sync-error",
        about: "fsync fails on the leader",
        fault: |r, _| Fault::SyncError { aim: aim(r, Whom::Leader) },
        moves_lead: true,
        ..PLAIN
    },
    Plan {
        name: "slow-sync",
        about: "fsync takes up to 400 ms longer on the leader",
        hold_ms: (3000, 6000),
        fault: |r, _| {
            let milliseconds = r.between(50, 400);
            Fault::SlowSync { aim: aim(r, Whom::Leader), milliseconds }
        },
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "slow-disk",
        about: "20 writes a second on the leader's disk",
        hold_ms: (3000, 6000),
        fault: |r, _| Fault::SlowDisk { aim: aim(r, Whom::Leader), writes: 20 },
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "hung-disk",
        about: "the leader's disk does nothing for up to 8 s",
        hold_ms: (3000, 8000),
        fault: |r, _| Fault::HungDisk { aim: aim(r, Whom::Leader) },
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "wipe",
        about: "a replica starts with an empty disk",
        hold_ms: (0, 2000),
        gap_ms: (3500, 5000),
        fault: |r, _| Fault::Wipe { aim: aim(r, Whom::Any) },
        sends_snapshot: true,
        ..PLAIN
    },
    Plan {
        name: "old-disk",
        about: "a replica starts with an older copy of its disk",
        hold_ms: (2500, 4000),
        gap_ms: (4000, 6000),
        fault: |r, _| Fault::OldDisk { aim: aim(r, Whom::Any) },
        ..PLAIN
    },
    Plan {
        name: "damage-log",
        about: "a bit, a page or the end of a stopped replica's log is another one",
        hold_ms: (100, 1500),
        gap_ms: (3000, 5000),
        fault: |r, round| damage(r, Part::Log, round),
        ..PLAIN
    },
    Plan {
        name: "damage-state",
        about: "a bit, a page or the end of a stopped replica's state database is another one",
        hold_ms: (100, 1500),
        gap_ms: (3000, 5000),
        fault: |r, round| damage(r, Part::State, round),
        ..PLAIN
    },
    Plan {
        name: "damage-snapshot",
        about: "a bit, a page or the end of a stopped replica's snapshot is another one",
        hold_ms: (100, 1500),
        gap_ms: (3000, 5000),
        fault: |r, round| damage(r, Part::Snapshots, round),
        ..PLAIN
    },
    Plan {
        name: "corrupt-snapshot",
        about: "a byte of each snapshot changes on its way to a replica with an empty disk",
        hold_ms: (2500, 4000),
        gap_ms: (4000, 6000),
        fault: |r, _| Fault::CorruptSnapshot { aim: aim(r, Whom::Follower) },
        sends_snapshot: true,
        ..PLAIN
    },
];

/// Members that come and go, and everything at once.
const MEMBERS: &[Plan] = &[
    Plan {
        name: "member-remove",
        about: "a member is removed, and joins again with an empty disk",
        gap_ms: (2000, 3000),
        fault: |r, round| {
            let whom = if round.is_multiple_of(2) { Whom::Leader } else { Whom::Any };
            Fault::Remove { aim: aim(r, whom) }
        },
        sends_snapshot: true,
        ..PLAIN
    },
    Plan {
        name: "member-add",
        about: "another replica joins, and is removed again",
        gap_ms: (2000, 3000),
        fault: |_, _| Fault::Add,
        sends_snapshot: true,
        ..PLAIN
    },
    Plan {
        name: "member-replace",
        about: "another replica takes the place of one whose machine is gone",
        gap_ms: (2000, 3000),
        fault: |r, _| Fault::Replace { aim: aim(r, Whom::Any) },
        sends_snapshot: true,
        ..PLAIN
    },
    Plan {
        name: "rolling-wipe",
        about: "a rolling restart, then a replica with an empty disk, in turns",
        hold_ms: (0, 1000),
        gap_ms: (2500, 4000),
        fault: |r, round| {
            let aim = aim(r, Whom::Any);
            if round.is_multiple_of(2) { Fault::Rolling } else { Fault::Wipe { aim } }
        },
        moves_lead: true,
        sends_snapshot: true,
        ..PLAIN
    },
    Plan {
        name: "crash-places",
        about: "a crash at a place in the code, and a power cut",
        hold_ms: (0, 1000),
        fault: |r, round| {
            let (place, empty_disk) = places::ALL[round % places::ALL.len()];
            Fault::PowerCutAt { aim: aim(r, Whom::Any), place: place.to_owned(), empty_disk }
        },
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "crash-first-start",
        about: "all replicas crash at a place in the code while they form their cluster, then the power fails",
        hold_ms: (0, 100),
        gap_ms: (NEVER_MS, NEVER_MS + 1),
        fault: |_, round| {
            let place = places::FIRST[round % places::FIRST.len()].to_owned();
            Fault::FirstStart { place }
        },
        goes_on: false,
        ..PLAIN
    },
    Plan {
        name: "chaos",
        about: "faults of all kinds, overlapping",
        hold_ms: (300, 4000),
        gap_ms: (500, 3000),
        lanes: 3,
        fault: |random, _| {
            let single = joined(&[PROCESSES, NETWORK, DISKS]);
            let plan = loop {
                let plan = *random.pick(&single);
                // Faults that only make sense for so many replicas, or stand still for long.
                if plan.replicas == 3 && plan.lanes == 1 && plan.name != "rolling" {
                    break plan;
                }
            };
            let round = usize::try_from(random.next() % 64).unwrap();
            (plan.fault)(random, round)
        },
        moves_lead: true,
        goes_on: false,
        ..PLAIN
    },
];

fn joined(tables: &[&'static [Plan]]) -> Vec<&'static Plan> {
    tables.iter().flat_map(|plans| plans.iter()).collect()
}

/// All plans.
pub(crate) fn all() -> Vec<&'static Plan> {
    joined(&[PROCESSES, NETWORK, DISKS, MEMBERS])
}

pub(crate) fn named(name: &str) -> Option<&'static Plan> {
    all().into_iter().find(|plan| plan.name == name)
}

/// How many operations a second from how many clients: small ones are many, large ones few.
pub(crate) fn load_of(kind: Kind) -> (u32, u32) {
    match kind {
        Kind::Large => (8, 4),
        Kind::Churn => (200, 10),
        Kind::Puts | Kind::Mix | Kind::Set | Kind::Inconsistent | Kind::Retries | Kind::Reads => {
            (150, 8)
        }
    }
}
