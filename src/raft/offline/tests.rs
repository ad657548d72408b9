//! A replica's disk, taken apart and put together again.

use std::fs::File;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::replica::Replica;
use super::super::tests::{id, let_go, newest, push, soon, start};
use super::*;

/// A replica that has some groups, some of them only in its log, and the file of a snapshot.
async fn replica_and_file(folder: &TempDir) -> (Replica, PathBuf) {
    let replica = start(folder, 5).await;
    for n in 0..17 {
        replica.propose(id(n), push(&format!("job{n}"), 1.0), soon()).await.unwrap();
    }
    let path = folder.path().join("file");
    let export = replica.export(soon()).await.unwrap();
    let written = path.clone();
    tokio::task::block_in_place(move || export.write(File::create(written).unwrap())).unwrap();
    (replica, path)
}

fn texts(view: &View) -> Vec<u8> {
    view.exposition(&[], crate::exposition::negotiate::negotiate(""), false).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_file_becomes_a_cluster_of_its_own() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (replica, file) = replica_and_file(&folder).await;
    let old = newest(&replica).await;
    let inspected = inspect(&file).unwrap();
    assert_eq!(inspected.facts.digest, old.view.digest());
    assert_eq!((inspected.facts.index, inspected.facts.groups), (old.index, 17));
    assert_eq!(inspected.facts.cluster, replica.status().cluster_id);
    assert_eq!(inspected.facts.members.len(), 1);

    let data = other.path().join("data");
    let made = restore(&file, &data, "new", false).unwrap();
    assert_ne!(Some(made.cluster), inspected.facts.cluster);
    assert_ne!(made.facts.digest, old.view.digest(), "the digest is keyed by the cluster");
    assert_eq!(made.aside, None);
    let restored = start(&other, 5).await;
    let read = newest(&restored).await;
    assert!(read.index > old.index && read.term > old.term);
    assert_eq!(read.view.groups().count(), 17);
    assert!(texts(&read.view) == texts(&old.view));
    assert_eq!(restored.name(), "new");
    // It remembers requests, and takes new ones.
    restored.propose(id(3), push("again", 2.0), soon()).await.unwrap();
    restored.propose(id(100), push("more", 2.0), soon()).await.unwrap();
    assert_eq!(newest(&restored).await.view.group_count(), 18);
    let_go(restored, &other).await;

    let refused = restore(&file, &data, "new", false).unwrap_err();
    assert!(matches!(refused, Error::Occupied { .. }), "{refused}");
    let made = restore(&file, &data, "newer", true).unwrap();
    assert!(made.aside.unwrap().join("IDENTITY").exists());
    let restored = start(&other, 5).await;
    assert_eq!(newest(&restored).await.view.group_count(), 17);
    let_go(restored, &other).await;
    let_go(replica, &folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_flipped_bit_of_a_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (replica, file) = replica_and_file(&folder).await;
    let good = std::fs::read(&file).unwrap();
    for offset in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[offset] ^= 1 << (offset % 8);
        std::fs::write(&file, bad).unwrap();
        assert!(inspect(&file).is_err(), "{offset}");
        let data = folder.path().join("other");
        assert!(restore(&file, &data, "x", false).is_err() && !data.exists(), "{offset}");
    }
    std::fs::write(&file, &good[..good.len() - 1]).unwrap();
    assert!(inspect(&file).is_err());
    let_go(replica, &folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_becomes_a_cluster_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (replica, _) = replica_and_file(&folder).await;
    let (old, status) = (newest(&replica).await, replica.status());
    let data = folder.path().join("data");
    assert!(Remains::read(&data).is_err(), "a replica works on it");
    let_go(replica, &folder).await;

    let remains = Remains::read(&data).unwrap();
    assert_eq!(remains.facts.digest, old.view.digest());
    assert_eq!(Some(remains.identity.cluster), status.cluster_id);
    assert!(remains.facts.index >= old.index && remains.committed <= remains.facts.index);
    drop(remains);
    let made = Remains::read(&data).unwrap().force_new_cluster().unwrap();
    assert_ne!(Some(made.cluster), status.cluster_id);
    assert_ne!(made.node, status.members[0].id);
    assert!(made.aside.unwrap().join("raft-log").exists());
    let replica = start(&folder, 5).await;
    let new = newest(&replica).await;
    assert!(texts(&new.view) == texts(&old.view));
    assert!(new.term > old.term);
    replica.propose(id(100), push("more", 2.0), soon()).await.unwrap();
    let_go(replica, &folder).await;
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Remains::read(empty.path()), Err(Error::Nothing { .. })));
}
