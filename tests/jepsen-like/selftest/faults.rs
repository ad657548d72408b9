//! The runner's own parts that need no process to be tested.

use std::collections::BTreeSet;

use super::Failed;
use crate::checkers::Sighting;
use crate::disk::damage::{Harm, Part, harm};
use crate::nemesis::partition::minority;
use crate::place::{Cut, alter};
use crate::plans;
use crate::schedule::Schedule;
use crate::watch::leader_changes;
use crate::workload::Kind;

fn insist(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(what()) }
}

/// A seed is a schedule, another seed is another one, and a stored schedule is the same again.
pub(super) fn schedules() -> Result<(), Failed> {
    let names: BTreeSet<&str> = plans::all().iter().map(|plan| plan.name).collect();
    insist(names.len() == plans::all().len(), || "two nemeses have the same name".to_owned())?;
    for plan in plans::all() {
        let made = |seed| Schedule::new(plan, Kind::Mix, seed, 20, plan.replicas);
        let (one, again) = (made(7), made(7));
        insist(one == again, || format!("{} is not made from its seed", plan.name))?;
        insist(!one.steps.is_empty(), || format!("{} does nothing", plan.name))?;
        insist(one.steps.is_sorted_by_key(|step| step.at_ms), || format!("{} jumps", plan.name))?;
        insist(one.steps != made(8).steps, || format!("{} knows no chance", plan.name))?;
        let stored = serde_json::to_string(&one).map_err(|err| err.to_string())?;
        let read: Schedule = serde_json::from_str(&stored).map_err(|err| err.to_string())?;
        insist(read == one, || format!("{} reads back as {read:?}", plan.name))?;
    }
    Ok(())
}

/// Who cannot exchange messages both ways with a majority.
pub(super) fn minorities() -> Result<(), Failed> {
    let link = |from, to| Cut::Link { from, to };
    let isolated = [link(0, 1), link(1, 0), link(0, 2), link(2, 0)];
    let unheard = [link(0, 1), link(0, 2)];
    let bridge = [link(0, 1), link(1, 0)];
    let apart: Vec<Cut> = (0..3).flat_map(|a| (0..3).map(move |b| link(a, b))).collect();
    for (cuts, expected) in [
        (&isolated[..], vec![0]),
        (&unheard, vec![0]),
        (&bridge, vec![]),
        (&apart, vec![0, 1, 2]),
        (&[Cut::Clients { to: 0 }], vec![]),
    ] {
        let found = minority(cuts, 3);
        insist(found == expected, || format!("{cuts:?}: {found:?}, not {expected:?}"))?;
    }
    Ok(())
}

/// The sum over a packet with its checksum is all ones, for segments of even and odd length.
pub(super) fn checksums() -> Result<(), Failed> {
    for length in [20, 21, 64, 1447] {
        let mut packet: Vec<u8> =
            (0..20 + length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        packet[0] = 0x45;
        alter::set_checksum(&mut packet);
        // What the receiver adds up: addresses, protocol, length, segment.
        let mut all = packet[12..20].to_vec();
        all.extend([0, 6]);
        all.extend(u16::try_from(length).unwrap().to_be_bytes());
        all.extend(&packet[20..]);
        all.resize(all.len().next_multiple_of(2), 0);
        let words = all.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(word[1]));
        let mut sum: u64 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        insist(sum == 0xffff, || format!("{length} bytes add up to {sum:x}"))?;
    }
    Ok(())
}

/// Damage to the end of the log is in the newest file's last bytes; where nothing is, nothing is
/// damaged.
pub(super) fn damage() -> Result<(), Failed> {
    let folder = tempfile::tempdir().map_err(|err| err.to_string())?;
    let log = folder.path().join("raft-log");
    std::fs::create_dir(&log).map_err(|err| err.to_string())?;
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(log.join(name), bytes).map_err(|err| err.to_string())
    };
    let read = |name: &str| std::fs::read(log.join(name)).map_err(|err| err.to_string());
    // The newest file is longer than what it holds.
    let newest = [vec![7; 100_000], vec![0; 50_000]].concat();
    for draw in 0..50 {
        for kind in [Harm::BitFlip, Harm::ZeroedPage, Harm::CutTail] {
            write("1.raftlog", &[7; 9000])?;
            write("2.raftlog", &newest)?;
            write("2.rewrite", &[7; 9000])?;
            let done = harm(folder.path(), Part::LogEnd, kind, draw);
            insist(done.is_some(), || format!("{kind:?} did nothing"))?;
            let after = read("2.raftlog")?;
            let same = newest.iter().zip(&after).take_while(|(a, b)| a == b).count();
            insist((79_000..100_000).contains(&same), || format!("{kind:?} at {same}"))?;
            let others = [read("1.raftlog")?, read("2.rewrite")?].concat();
            insist(others == vec![7; 18_000], || format!("{kind:?} in another file"))?;
        }
    }
    write("2.raftlog", &[0; 9000])?;
    let none = harm(folder.path(), Part::LogEnd, Harm::BitFlip, 1);
    insist(none.is_none(), || format!("nothing is damaged: {none:?}"))
}

/// The same leader in a later term is a change as well; nobody is none.
pub(super) fn leaders() -> Result<(), Failed> {
    let seen = |led: &[(u64, &str)]| {
        let sighting = |&(term, leader): &(u64, &str)| Sighting {
            term,
            leader: leader.to_owned(),
            ..Sighting::default()
        };
        leader_changes(&led.iter().map(sighting).collect::<Vec<_>>())
    };
    for (led, expected) in [
        (&[][..], 0),
        (&[(1, "a"), (1, "a"), (2, "")], 0),
        (&[(1, "a"), (2, "b"), (1, "a")], 1),
        (&[(1, "a"), (3, "a")], 1),
    ] {
        let found = seen(led);
        insist(found == expected, || format!("{led:?}: {found}, not {expected}"))?;
    }
    Ok(())
}
