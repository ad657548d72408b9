//! Links between replicas, and to clients, that are cut or work badly.

use super::{PLAIN, Plan, SHAPE, aim, split, spoil};
use crate::nemesis::Fault;
use crate::nemesis::partition::Split;
use crate::nemesis::whom::Whom;
use crate::place::shape::Shape;

pub(super) const ALL: &[Plan] = &[
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
