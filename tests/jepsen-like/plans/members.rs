//! Members that come and go, crashes at places in the code, and everything at once.

use super::{NEVER_MS, PLAIN, Plan, aim};
use crate::nemesis::Fault;
use crate::nemesis::whom::Whom;
use crate::places;

pub(super) const ALL: &[Plan] = &[
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
            let whom = match place {
                // Whoever comes back as a follower of the leader after it saves a vote.
                "vote-save-before" | "vote-save-after" => Whom::Leader,
                // Only a follower forwards, and a leader that comes back may lead again at once.
                "forward-before" | "forward-after" => Whom::Follower,
                // Only a leader is waited for, and one of all becomes it.
                "respond" => Whom::All,
                _ => Whom::Any,
            };
            Fault::PowerCutAt { aim: aim(r, whom), place: place.to_owned(), empty_disk }
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
            let plan = *random.pick(&super::overlapping());
            let round = usize::try_from(random.next() % 64).unwrap();
            (plan.fault)(random, round)
        },
        moves_lead: true,
        goes_on: false,
        ..PLAIN
    },
];
