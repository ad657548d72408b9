//! Faults of several steps that only make sense in their order, and take all replicas.

use super::{PLAIN, Plan, aim};
use crate::disk::damage::{Harm, Part};
use crate::nemesis::Fault;
use crate::nemesis::whom::Whom;

pub(super) const ALL: &[Plan] = &[Plan {
    name: "damaged-winner",
    about: "the log of the one that would win is damaged, beside one that lags, the third away",
    hold_ms: (4000, 7000),
    gap_ms: (3000, 5000),
    fault: |r, round| Fault::DamagedWinner {
        aim: aim(r, if round.is_multiple_of(2) { Whom::Follower } else { Whom::Leader }),
        part: if r.percent(25) { Part::Log } else { Part::LogEnd },
        harm: [Harm::BitFlip, Harm::ZeroedPage, Harm::CutTail][round % 3],
        draw: r.next() >> 32,
    },
    moves_lead: true,
    ..PLAIN
}];
