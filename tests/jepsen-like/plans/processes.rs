//! Processes that die, stop, hang and starve, and clocks that are wrong.

use super::{PLAIN, Plan, aim};
use crate::nemesis::Fault;
use crate::nemesis::whom::Whom;

pub(super) const ALL: &[Plan] = &[
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
        leader_changes_max: Some(0),
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
        leader_changes_max: Some(0),
        goes_on: false,
        ..PLAIN
    },
];
