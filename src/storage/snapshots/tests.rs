use super::super::error::Kind;
use super::super::testing::{Rng, scratch, spoil};
use super::*;

fn items() -> Vec<Vec<u8>> {
    let mut rng = Rng(3);
    let lens = [0, 1, 100, 70_000, 300_000, 5, 0, 262_140, 4, 600_000, 20];
    lens.iter().map(|len| rng.bytes(*len)).collect()
}

fn write(snapshots: &Snapshots, index: u64, items: &[Vec<u8>]) -> SnapshotFile {
    let mut writer = snapshots.create(index, 3, b"meta").unwrap();
    for item in items {
        writer.write_item(item).unwrap();
    }
    writer.finish().unwrap()
}

fn read(file: &SnapshotFile) -> Result<Vec<Vec<u8>>, Error> {
    file.items()?.collect()
}

#[test]
fn what_was_written_is_read() {
    let dir = scratch();
    let snapshots = Snapshots::open(&dir.path().join("snapshots")).unwrap();
    assert_eq!(snapshots.newest().unwrap().file, None);
    for (index, items) in [(1, vec![]), (2, vec![vec![]]), (3, items())] {
        let file = write(&snapshots, index, &items);
        assert_eq!((file.index, file.term, &file.meta[..]), (index, 3, &b"meta"[..]));
        assert_eq!(fs::metadata(&file.path).unwrap().len(), file.bytes);
        let newest = snapshots.newest().unwrap();
        assert!(newest.damaged.is_empty());
        assert_eq!(newest.file, Some(file.clone()));
        assert_eq!(read(&file).unwrap(), items);
    }
}

#[test]
fn only_what_is_older_than_the_oldest_needed_is_removed() {
    let dir = scratch();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    let files: Vec<_> = [9, 10, 20, 100].map(|index| write(&snapshots, index, &items())).into();
    snapshots.remove_older_than(&files[1]).unwrap();
    let left: Vec<_> = files.iter().map(|file| file.path.exists()).collect();
    assert_eq!(left, [false, true, true, true]);
}

#[test]
fn unfinished_files_leave_nothing() {
    let dir = scratch();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    let mut writer = snapshots.create(9, 1, b"").unwrap();
    writer.write_item(b"item").unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    fs::write(dir.path().join("77.tmp"), b"left by a crash").unwrap();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(snapshots.create(9, 1, &vec![0; 100_000]).is_err(), "meta data has a bound");
}

#[test]
fn a_damaged_newest_falls_back_to_the_older_one() {
    let dir = scratch();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    let older = write(&snapshots, 10, &items());
    let newer = write(&snapshots, 20, &items());
    let mut content = fs::read(&newer.path).unwrap();
    content[400_000] ^= 1;
    fs::write(&newer.path, content).unwrap();
    let newest = snapshots.newest().unwrap();
    assert_eq!(newest.file, Some(older.clone()));
    assert_eq!(newest.damaged.len(), 1);
    assert_eq!(newest.damaged[0].kind, Kind::Damaged);
    // A file under another's name is not what it says.
    fs::copy(&older.path, &newer.path).unwrap();
    let newest = snapshots.newest().unwrap();
    assert_eq!((newest.file, newest.damaged.len()), (Some(older), 1));
}

#[test]
fn every_flip_and_every_cut_of_a_small_file_is_noticed() {
    let dir = scratch();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    let file = write(&snapshots, 10, &[b"one".to_vec(), vec![], b"three".to_vec()]);
    let good = fs::read(&file.path).unwrap();
    let check = |content: &[u8], what: String| {
        fs::write(&file.path, content).unwrap();
        assert!(read(&file).is_err(), "{what}");
        assert_eq!(snapshots.newest().unwrap().file, None, "{what}");
    };
    for offset in 0..good.len() {
        for bit in 0..8 {
            let mut spoiled = good.clone();
            spoiled[offset] ^= 1 << bit;
            check(&spoiled, format!("byte {offset} bit {bit}"));
        }
        check(&good[..offset], format!("cut at {offset}"));
    }
    check(&[&good[..], b"x"].concat(), "one byte more".to_owned());
    check(&[&good[..], &good[..]].concat(), "twice".to_owned());
}

#[test]
fn damage_of_a_large_file_is_never_silent() {
    let dir = scratch();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    let items = items();
    let file = write(&snapshots, 10, &items);
    let good = fs::read(&file.path).unwrap();
    let mut rng = Rng(5);
    for trial in 0..12 {
        fs::write(&file.path, &good).unwrap();
        let how = spoil(&file.path, &mut rng);
        let mut given = 0;
        let result = file.items().and_then(|mut reader| {
            reader.try_for_each(|item| {
                assert_eq!(item?, items[given], "{trial}: {how}");
                given += 1;
                Ok(())
            })
        });
        assert!(result.is_err(), "{trial}: {how}");
    }
}

#[test]
fn announced_lengths_are_not_trusted() {
    let dir = scratch();
    let path = dir.path().join("s.snapshot");
    let mut header = format::MAGIC.to_vec();
    header.extend_from_slice(&[0; 16]);
    let mut huge_meta = header.clone();
    huge_meta.extend_from_slice(&u32::MAX.to_le_bytes());
    header.extend_from_slice(&0_u32.to_le_bytes());
    super::super::codec::seal(&mut header);
    let huge_block = [&header[..], &[format::BLOCK], &u32::MAX.to_le_bytes()].concat();
    // A valid block that begins an item of 4 GiB: only what is there is read.
    let mut block = vec![format::BLOCK];
    block.extend_from_slice(&4_u32.to_le_bytes());
    block.extend_from_slice(&u32::MAX.to_le_bytes());
    super::super::codec::seal(&mut block);
    let huge_item = [&header[..], &block].concat();
    for content in [huge_meta, huge_block, huge_item] {
        fs::write(&path, content).unwrap();
        let read = Items::open(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        assert_eq!(read.unwrap_err().kind, Kind::Damaged);
    }
}
