use std::collections::BTreeMap;
use std::fs;

use super::super::error::Kind;
use super::super::testing::{Rng, copy_dir, files, scratch, spoil};
use super::*;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn loaded(path: &Path) -> (StateDb, Model) {
    let folder = Folder::lock(path).unwrap();
    match StateDb::open(&folder).unwrap() {
        Opened::Loaded { db, items } => (db, items.into_iter().collect()),
        Opened::Rebuild { reason, .. } => panic!("{reason}"),
    }
}

fn rebuilt(path: &Path) -> (StateDb, String) {
    let folder = Folder::lock(path).unwrap();
    match StateDb::open(&folder).unwrap() {
        Opened::Rebuild { db, reason } => (db, reason),
        Opened::Loaded { .. } => panic!("it was loaded"),
    }
}

/// Makes random changes to both.
fn change(db: &mut StateDb, model: &mut Model, rng: &mut Rng, keys: u64, bytes_max: u64) {
    let mut changes = Vec::new();
    for _ in 0..=rng.below(5) {
        let key = format!("key {}", rng.below(keys)).into_bytes();
        let value = (rng.below(5) > 0).then(|| {
            let len = rng.below(bytes_max);
            rng.bytes(len)
        });
        match &value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(&key),
        };
        changes.push((key, value));
    }
    db.write(changes).unwrap();
}

#[test]
fn what_was_written_is_loaded_again() {
    let dir = scratch();
    let mut model = Model::new();
    let mut rng = Rng(1);
    for round in 0..4 {
        let (mut db, found) = loaded(dir.path());
        assert_eq!(found, model, "round {round}");
        for _ in 0..50 {
            change(&mut db, &mut model, &mut rng, 40, 2000);
        }
        // Large values go to files of their own.
        let large = rng.bytes(900_000);
        model.insert(b"large".to_vec(), large.clone());
        db.write(vec![(b"large".to_vec(), Some(large))]).unwrap();
        if round % 2 == 0 {
            db.flush().unwrap();
        }
    }
    assert!(!dir.path().join("state.opening").exists());
}

#[test]
fn a_crash_leaves_the_state_after_some_write_since_the_last_flush() {
    let dir = scratch();
    let (mut db, mut model) = loaded(dir.path());
    let mut rng = Rng(2);
    let mut history = vec![model.clone()];
    let mut flushed = 0;
    for step in 1..=60 {
        change(&mut db, &mut model, &mut rng, 30, 20_000);
        history.push(model.clone());
        if step % 25 == 0 {
            db.flush().unwrap();
            flushed = step;
        }
        if step % 10 == 3 {
            let image = scratch();
            copy_dir(dir.path(), image.path());
            let (db, found) = loaded(image.path());
            let sequence = usize::try_from(db.book.sequence()).unwrap();
            assert!(sequence >= flushed, "{sequence} {flushed}");
            assert_eq!(found, history[sequence]);
        }
    }
}

/// Whatever happens to one file, the state is exactly what was written or it is set aside.
#[test]
fn damage_is_never_silent() {
    let mut set_aside = 0;
    for (seed, writes, bytes_max) in [(1, 5, 300), (2, 40, 1000), (3, 120, 20_000)] {
        let dir = scratch();
        let (mut db, mut model) = loaded(dir.path());
        let mut rng = Rng(seed);
        for _ in 0..writes {
            change(&mut db, &mut model, &mut rng, 60, bytes_max);
        }
        db.flush().unwrap();
        drop(db);
        for trial in 0..20 {
            let victim = scratch();
            copy_dir(dir.path(), victim.path());
            let candidates = files(victim.path());
            // Mostly the data file: it is where the data is.
            let data = victim.path().join("state/db");
            let any = &candidates[usize::try_from(rng.below(candidates.len() as u64)).unwrap()];
            let file = if rng.below(4) > 0 { &data } else { any };
            let how = spoil(file, &mut rng);
            let folder = Folder::lock(victim.path()).unwrap();
            match StateDb::open(&folder).unwrap() {
                Opened::Loaded { items, .. } => {
                    let found: Model = items.into_iter().collect();
                    assert_eq!(found, model, "seed {seed} trial {trial}: {how}");
                }
                Opened::Rebuild { mut db, reason } => {
                    set_aside += 1;
                    assert!(!reason.is_empty());
                    assert!(
                        victim.path().join("state.damaged-1").exists() || how.contains("removed")
                    );
                    db.write(vec![(b"k".to_vec(), Some(b"v".to_vec()))]).unwrap();
                }
            }
        }
    }
    assert!(set_aside > 20, "most damage hits something: {set_aside}");
}

#[test]
fn an_open_that_did_not_end_is_set_aside_and_only_the_last_is_kept() {
    let dir = scratch();
    for round in 1..=3 {
        let (mut db, _) = loaded(dir.path());
        db.write(vec![(b"k".to_vec(), Some(vec![1; 100]))]).unwrap();
        db.flush().unwrap();
        drop(db);
        fs::write(dir.path().join("state.opening"), b"").unwrap();
        let (db, reason) = rebuilt(dir.path());
        assert!(reason.contains("while it was being opened"), "{reason}");
        drop(db);
        let (_, found) = loaded(dir.path());
        assert_eq!(found, Model::new());
        for number in 1..=3 {
            let kept = dir.path().join(format!("state.damaged-{number}"));
            assert_eq!(kept.exists(), number == round, "{number}");
        }
    }
}

#[test]
fn an_older_copy_and_a_missing_folder_are_noticed() {
    let dir = scratch();
    let (mut db, _) = loaded(dir.path());
    db.write(vec![(b"k".to_vec(), Some(b"1".to_vec()))]).unwrap();
    db.flush().unwrap();
    drop(db);
    let older = scratch();
    copy_dir(&dir.path().join("state"), older.path());
    let (mut db, _) = loaded(dir.path());
    db.write(vec![(b"k".to_vec(), Some(b"2".to_vec()))]).unwrap();
    db.flush().unwrap();
    drop(db);
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    copy_dir(older.path(), &dir.path().join("state"));
    let (db, reason) = rebuilt(dir.path());
    assert_eq!(reason, "it ends at write 1, but write 2 was flushed");
    drop(db);
    let (mut db, _) = loaded(dir.path());
    db.write(vec![(b"k".to_vec(), None)]).unwrap();
    db.flush().unwrap();
    drop(db);
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    let (_, reason) = rebuilt(dir.path());
    assert_eq!(reason, "its folder is missing");
}

#[test]
fn a_failed_database_stays_failed_until_it_is_made_anew() {
    let dir = scratch();
    let (mut db, _) = loaded(dir.path());
    db.write(vec![(b"k".to_vec(), Some(b"1".to_vec()))]).unwrap();
    // A file that cannot be synced: its folder is gone.
    fs::remove_dir_all(dir.path().join("state")).unwrap();
    assert!(db.flush().is_err());
    fs::create_dir_all(dir.path().join("state/blobs")).unwrap();
    assert!(db.flush().is_err());
    assert_eq!(db.write(vec![]).unwrap_err().kind, Kind::Io);
    let folder = Folder::lock(dir.path()).unwrap();
    let mut db = StateDb::rewrite(&folder).unwrap();
    db.write(vec![(b"k".to_vec(), Some(b"2".to_vec()))]).unwrap();
    db.flush().unwrap();
    drop((db, folder));
    assert_eq!(loaded(dir.path()).1, Model::from([(b"k".to_vec(), b"2".to_vec())]));
}

#[test]
fn another_user_of_the_same_database_is_no_damage() {
    let dir = scratch();
    let (_db, _) = loaded(dir.path());
    let folder = Folder::lock(dir.path()).unwrap();
    assert_eq!(StateDb::open(&folder).unwrap_err().kind, Kind::InUse);
    assert!(!dir.path().join("state.damaged-1").exists());
}
