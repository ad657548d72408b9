//! Disks that are full, fail, hang, lose the power, or hold something else than they should.

use super::{PLAIN, Plan, aim, damage};
use crate::disk::damage::Part;
use crate::nemesis::Fault;
use crate::nemesis::whom::Whom;

pub(super) const ALL: &[Plan] = &[
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
        moves_lead: true,
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
