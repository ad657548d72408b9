//! The leader's disk fills up: another replica takes the lead, and nobody who pushes notices.

use std::collections::BTreeMap;

use super::load::{Front, Load};
use crate::durability::disk::Disk;
use crate::durability::full_disk::{MIB, fill, fill_up_to};
use crate::durability::skip;
use crate::harness::cluster::{Cluster, THREE};
use crate::harness::eventually;
use crate::harness::process::PATIENCE;

/// Changes between two events.
const SOME: usize = 40;

#[test]
fn the_lead_leaves_a_disk_that_fills_up() {
    let disks: Option<BTreeMap<_, _>> =
        THREE.iter().map(|name| Some((*name, Disk::new(192)?))).collect();
    let Some(disks) = disks else {
        return skip("root and loop mounts");
    };
    let mut cluster = Cluster::prepared(THREE, &["--limits.disk-free-bytes=32MiB"]);
    for (name, disk) in &disks {
        cluster.put_on(name, &disk.mount_point());
        cluster.start(name);
    }
    cluster.until_ready(THREE);
    let front = Front::of(&cluster, THREE);
    let load = Load::start(&front);
    load.more(SOME);

    // Pushes would still be taken, but not for long.
    let full = cluster.leader();
    let rest: Vec<_> = THREE.iter().copied().filter(|name| *name != full).collect();
    let mount_point = disks[full].mount_point();
    let filler = fill_up_to(&mount_point, 36 * MIB);
    let successor = eventually(PATIENCE, "another leader", || {
        Some(cluster.leader()).filter(|leader| *leader != full)
    });
    load.more(SOME);

    // It takes part no more, and the others make a quorum.
    front.drain(full);
    let last = mount_point.join("last");
    fill(&last);
    eventually(PATIENCE, "the full disk to be noticed", || {
        (cluster.ready(full).status == 503).then_some(())
    });
    load.more(SOME);
    cluster.push(full, "job/through_the_full_one", "c 1\n");
    assert!(cluster.scrape(successor).contains("through_the_full_one"));
    assert_eq!(cluster.leader_among(&rest), successor);

    for path in [filler, last] {
        std::fs::remove_file(path).unwrap();
    }
    cluster.until_ready(THREE);
    front.open(&cluster, full);
    load.more(SOME);
    load.finish().check("the leader's disk fills up", &cluster, THREE);
}
