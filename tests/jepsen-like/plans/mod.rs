//! The named nemeses: which faults, how long, how far apart, and what a run with them must have
//! shown to prove anything.

mod disks;
mod members;
mod network;
mod processes;
mod stories;

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
    /// How often the leader may change, where the faults are no reason for it.
    pub(crate) leader_changes_max: Option<u64>,
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
    leader_changes_max: None,
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

/// The plans of one kind of fault each.
fn singles() -> Vec<&'static Plan> {
    [processes::ALL, network::ALL, disks::ALL].iter().flat_map(|plans| plans.iter()).collect()
}

/// The plans whose faults may come while others last.
fn overlapping() -> Vec<&'static Plan> {
    let mut plans = singles();
    // Not such as only make sense for so many replicas, or stand still for long.
    plans.retain(|plan| plan.replicas == 3 && plan.lanes == 1 && plan.name != "rolling");
    // Not such as need a machine to spare, which others may hold.
    let member = |plan: &&Plan| match plan.name {
        "member-remove" => true,
        "crash-places" => places::KNOWN,
        _ => false,
    };
    plans.extend(members::ALL.iter().filter(member));
    plans
}

/// All plans.
pub(crate) fn all() -> Vec<&'static Plan> {
    [singles(), members::ALL.iter().collect(), stories::ALL.iter().collect()].concat()
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
