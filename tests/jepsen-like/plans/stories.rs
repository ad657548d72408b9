//! Faults of several steps that only make sense in their order, and take all replicas.

use super::{PLAIN, Plan, aim};
use crate::disk::damage::{Harm, Part};
use crate::nemesis::Fault;
use crate::nemesis::whom::Whom;

pub(super) const ALL: &[Plan] = &[
    Plan {
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
    },
    Plan {
        name: "mixed-versions",
        about: "another binary in place of one replica after the other, and back",
        hold_ms: (2500, 4000),
        // The way back takes as long as the way there, and is over before the next one begins.
        gap_ms: (12_000, 16_000),
        fault: |r, _| Fault::MixedVersions { draw: r.next() >> 32 },
        moves_lead: true,
        sends_snapshot: true,
        ..PLAIN
    },
];
