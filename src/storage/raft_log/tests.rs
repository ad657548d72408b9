use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use super::super::error::Kind;
use super::super::testing::{Rng, copy_dir, files, scratch, spoil};
use super::super::{Folder, Identity};
use super::*;

/// Small files, so that short tests rotate and purge; next to no tail, so that reads go to disk.
fn small() -> Options {
    Options { file_bytes: 64 << 10, tail_bytes_max: 4 << 10, ..Options::default() }
}

fn new_folder(dir: &Path) {
    let folder = Folder::lock(dir).unwrap();
    folder.initialise(&Identity { cluster: [1; 16], node: 1, name: "a".into() }).unwrap();
}

fn open_with(dir: &Path, options: Options) -> Result<(RaftLog, Recovered), Error> {
    RaftLog::open(&dir.join("raft-log"), &dir.join("high-water"), options)
}

fn open_by_hand(dir: &Path) -> (RaftLog, ByHand) {
    let (handed, taken) = sync_channel(1);
    let take_over = Box::new(move |by_hand| handed.send(by_hand).unwrap());
    let by_hand = Some(Hands { woken: Box::new(|| {}), take_over });
    let (log, _) = open_with(dir, Options { by_hand, ..small() }).unwrap();
    (log, taken.recv().unwrap())
}

fn open(dir: &Path) -> RaftLog {
    let (log, recovered) = open_with(dir, small()).unwrap();
    assert_eq!((recovered.damage, recovered.lost_tail), (None, None));
    assert!(!recovered.mark_slot_spoiled);
    log
}

fn waiting() -> (Done, Receiver<io::Result<()>>) {
    let (told, answer) = sync_channel(1);
    (Box::new(move |result| told.send(result).unwrap()), answer)
}

fn record(index: u64, len: u64) -> Record {
    Record { index, bytes: Rng(index ^ len << 40).bytes(len).into() }
}

fn append(log: &RaftLog, records: Vec<Record>) {
    let (done, answer) = waiting();
    log.append(records, done);
    answer.recv().unwrap().unwrap();
}

#[test]
fn what_is_on_its_way_to_the_disk_is_not_durable() {
    let dir = scratch();
    new_folder(dir.path());
    let (log, mut thread) = open_by_hand(dir.path());
    let mut work = || {
        let batch = thread.take(usize::MAX).unwrap();
        assert!(thread.work_off(batch));
    };
    let append = |indexes: Range<u64>| {
        log.append(indexes.map(|index| record(index, 10)).collect(), Box::new(|_| {}));
    };
    append(1..5);
    assert_eq!((log.last_index(), log.durable_index()), (Some(4), Some(0)));
    work();
    assert_eq!(log.durable_index(), Some(4));
    // Others take the place of durable ones, and are not yet what those were.
    log.truncate_after(Some(2), Box::new(|_| {}));
    append(3..7);
    assert_eq!((log.last_index(), log.durable_index()), (Some(6), Some(2)));
    work();
    assert_eq!(log.durable_index(), Some(6));
    log.purge(6, Bytes::new(), Box::new(|_| {}));
    work();
    assert_eq!((log.last_index(), log.durable_index()), (None, Some(6)));
}

/// It may be about entries that are not in the batch: a crash would leave it without them, or with
/// those whose place they take.
#[test]
fn a_hint_goes_to_the_disk_with_the_last_that_waits() {
    let dir = scratch();
    new_folder(dir.path());
    let (log, mut thread) = open_by_hand(dir.path());
    for index in 1..4 {
        log.append(vec![record(index, 10)], Box::new(|_| {}));
    }
    log.save_committed(Bytes::from_static(b"3"));
    let mut on_disk = || {
        let batch = thread.take(1).unwrap();
        assert!(thread.work_off(batch));
        let image = scratch();
        copy_dir(dir.path(), image.path());
        let log = open(image.path());
        (log.last_index(), log.committed())
    };
    assert_eq!(on_disk(), (Some(1), None));
    assert_eq!(on_disk(), (Some(2), None));
    assert_eq!(on_disk(), (Some(3), Some(Bytes::from_static(b"3"))));
}

/// What a log has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    records: BTreeMap<u64, Bytes>,
    first: u64,
    next: u64,
    vote: Option<Bytes>,
    marker: Option<Bytes>,
    committed: Option<Bytes>,
}

impl Model {
    fn of(log: &RaftLog) -> Result<Model, Error> {
        let (first, next) = {
            let live = lock(&log.shared.live);
            (live.first, live.next)
        };
        let mut records = BTreeMap::new();
        let mut at = first;
        while at < next {
            let read = log.read(at..next, 2000)?;
            assert!(!read.is_empty(), "at least one");
            for record in read {
                assert_eq!(record.index, at);
                records.insert(at, record.bytes);
                at += 1;
            }
        }
        let (vote, marker, committed) = (log.vote(), log.purged_marker(), log.committed());
        Ok(Model { records, first, next, vote, marker, committed })
    }

    /// The committed hint may be older on disk.
    fn durable(mut self) -> Model {
        self.committed = None;
        self
    }

    /// Does one random thing to the log and to the model.
    fn step(&mut self, log: &RaftLog, rng: &mut Rng, done: Done) {
        match rng.below(20) {
            0 | 1 => {
                let vote = Bytes::from(rng.bytes(24));
                self.vote = Some(vote.clone());
                log.save_vote(vote, done);
            }
            2 => {
                let kept = self.first + rng.below(self.next - self.first + 1);
                self.next = kept;
                self.records.split_off(&kept);
                log.truncate_after(kept.checked_sub(1), done);
            }
            3 | 4 => {
                // Now and then beyond the end, as after the install of a snapshot.
                let beyond = if rng.below(4) == 0 { 40 } else { 0 };
                let upto = self.first + rng.below(self.next - self.first + 1 + beyond);
                let marker = Bytes::from(rng.bytes(30));
                self.first = upto + 1;
                self.next = self.next.max(self.first);
                self.records = self.records.split_off(&self.first);
                self.marker = Some(marker.clone());
                log.purge(upto, marker, done);
            }
            _ => {
                if rng.below(2) == 0 {
                    let committed = Bytes::from(rng.bytes(16));
                    self.committed = Some(committed.clone());
                    log.save_committed(committed);
                }
                let mut records = Vec::new();
                for _ in 0..rng.below(6) {
                    let bytes_max = if rng.below(10) == 0 { 5000 } else { 700 };
                    let len = rng.below(bytes_max);
                    let bytes = Bytes::from(rng.bytes(len));
                    records.push(Record { index: self.next, bytes: bytes.clone() });
                    self.records.insert(self.next, bytes);
                    self.next += 1;
                }
                log.append(records, done);
            }
        }
    }
}

fn quick() -> Done {
    Box::new(|result| result.unwrap())
}

/// Runs `steps` random operations; returns the open log once all are done.
fn run(dir: &Path, model: &mut Model, rng: &mut Rng, steps: u64) -> RaftLog {
    let log = open(dir);
    for _ in 0..steps {
        model.step(&log, rng, quick());
    }
    settle(&log);
    log
}

/// Waits until everything submitted is durable.
fn settle(log: &RaftLog) {
    append(log, Vec::new());
}

/// Copies the folder as a crash at this moment would leave it: the log thread stands still.
fn crash(log: &RaftLog, dir: &Path, image: &Path) {
    let (told, answer) = sync_channel(1);
    let (dir, image) = (dir.to_path_buf(), image.to_path_buf());
    let copy: Done = Box::new(move |result| {
        result.unwrap();
        copy_dir(&dir, &image);
        told.send(()).unwrap();
    });
    log.append(Vec::new(), copy);
    answer.recv().unwrap();
}

#[test]
fn a_new_log_is_empty_and_remembers_what_it_is_told() {
    let dir = scratch();
    new_folder(dir.path());
    let log = open(dir.path());
    assert_eq!((log.first_index(), log.last_index(), log.vote()), (None, None, None));
    append(&log, (0..10).map(|index| record(index, 100)).collect());
    let (done, answer) = waiting();
    log.save_vote(Bytes::from_static(b"vote"), done);
    answer.recv().unwrap().unwrap();
    log.save_committed(Bytes::from_static(b"nine"));
    assert_eq!(log.read(3..5, usize::MAX).unwrap(), vec![record(3, 100), record(4, 100)]);
    log.close();
    let log = open(dir.path());
    assert_eq!((log.first_index(), log.last_index()), (Some(0), Some(9)));
    assert_eq!(log.vote(), Some(Bytes::from_static(b"vote")));
    assert_eq!(log.committed(), Some(Bytes::from_static(b"nine")));
    assert_eq!(log.read(8..99, usize::MAX).unwrap(), vec![record(8, 100), record(9, 100)]);
    assert_eq!(log.read(0..9, 1).unwrap(), vec![record(0, 100)]);
    assert_eq!(log.read(0..9, 250).unwrap().len(), 2);
    assert_eq!(log.read(10..20, 1).unwrap(), vec![]);
    assert_eq!(open_with(dir.path(), small()).unwrap_err().kind, Kind::InUse);
}

#[test]
fn any_order_of_operations_survives_restarts_and_crashes() {
    for seed in 0..6 {
        let dir = scratch();
        new_folder(dir.path());
        let (mut model, mut rng) = (Model::default(), Rng(seed));
        for round in 0..4 {
            let log = run(dir.path(), &mut model, &mut rng, 150);
            assert_eq!(Model::of(&log).unwrap(), model, "seed {seed} round {round}");
            let image = scratch();
            crash(&log, dir.path(), image.path());
            let image = Model::of(&open(image.path())).unwrap();
            assert_eq!(image.durable(), model.clone().durable(), "seed {seed} round {round}");
            log.close();
            let reopened = Model::of(&open(dir.path())).unwrap();
            assert_eq!(reopened, model, "seed {seed} round {round}");
        }
    }
}

#[test]
fn reads_while_writing_never_show_what_was_dropped() {
    let dir = scratch();
    new_folder(dir.path());
    let log = open(dir.path());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while seen < 2000 {
                let read = log.read(0..u64::MAX, 10_000).unwrap();
                for pair in read.windows(2) {
                    assert_eq!(pair[0].index + 1, pair[1].index);
                }
                // Each record tells its index, and in which rewriting of the log it was made.
                for pair in read.windows(2) {
                    let rewriting =
                        |r: &Record| u64::from_le_bytes(r.bytes[8..16].try_into().unwrap());
                    assert!(rewriting(&pair[0]) <= rewriting(&pair[1]));
                }
                for record in &read {
                    assert_eq!(record.bytes[..8], record.index.to_le_bytes());
                }
                seen = lock(&log.shared.live).next.max(seen);
            }
        });
        let mut rng = Rng(7);
        let (mut next, mut first) = (0_u64, 0_u64);
        for rewriting in 0_u64.. {
            if reader.is_finished() {
                break;
            }
            for _ in 0..20 {
                let mut bytes = [next.to_le_bytes(), rewriting.to_le_bytes()].concat();
                bytes.resize(400, 0);
                log.append(vec![Record { index: next, bytes: bytes.into() }], quick());
                next += 1;
            }
            settle(&log);
            if rng.below(3) == 0 {
                next -= rng.below(10);
                log.truncate_after(Some(next - 1), quick());
            }
            if next - first > 100 {
                first = next - 50;
                log.purge(first - 1, Bytes::new(), quick());
            }
        }
    });
}

#[test]
fn done_is_called_in_order_and_waiting_operations_share_one_sync() {
    let dir = scratch();
    new_folder(dir.path());
    let syncs = Arc::new(Mutex::new(Vec::new()));
    let on_sync: OnSync = Box::new({
        let syncs = syncs.clone();
        move |_, records, bytes| lock(&syncs).push((records, bytes))
    });
    let (log, _) = open_with(dir.path(), Options { on_sync, ..small() }).unwrap();
    // The first operation's answer holds the log thread while the others gather.
    let (go_on, told) = sync_channel::<()>(0);
    let (entered, inside) = sync_channel::<()>(0);
    let hold: Done = Box::new(move |result| {
        result.unwrap();
        entered.send(()).unwrap();
        told.recv().unwrap();
    });
    log.append(vec![record(0, 10)], hold);
    inside.recv().unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    for index in 1..=100 {
        let order = order.clone();
        log.append(
            vec![record(index, 10)],
            Box::new(move |result| lock(&order).push((index, result.is_ok()))),
        );
    }
    // A wrong one is refused in its place.
    let wrong = order.clone();
    log.append(vec![record(500, 1)], Box::new(move |r| lock(&wrong).push((500, r.is_ok()))));
    assert_eq!(log.last_index(), Some(100), "readable before it is durable");
    assert_eq!(log.durable_index(), Some(0), "nobody may hold this disk to the others yet");
    assert_eq!(log.read(0..200, usize::MAX).unwrap().len(), 101);
    let (done, answer) = waiting();
    log.save_vote(Bytes::from_static(b"v"), done);
    assert_eq!(lock(&order).len(), 0);
    go_on.send(()).unwrap();
    answer.recv().unwrap().unwrap();
    let expected: Vec<_> = (1..=100).map(|i| (i, true)).chain([(500, false)]).collect();
    assert_eq!(*lock(&order), expected);
    assert_eq!(log.durable_index(), Some(100));
    log.close();
    assert_eq!(*lock(&syncs), vec![(1, 10), (100, 1000)]);
}

#[test]
fn a_hint_alone_is_not_synced() {
    let dir = scratch();
    new_folder(dir.path());
    let syncs = Arc::new(AtomicUsize::new(0));
    let on_sync: OnSync = Box::new({
        let syncs = syncs.clone();
        move |_, _, _| {
            syncs.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (log, _) = open_with(dir.path(), Options { on_sync, ..small() }).unwrap();
    log.save_committed(Bytes::from_static(b"c"));
    settle(&log);
    log.close();
    assert_eq!(syncs.load(Ordering::SeqCst), 0);
    assert_eq!(open(dir.path()).committed(), Some(Bytes::from_static(b"c")));
}

#[test]
fn purging_gives_the_space_back() {
    let dir = scratch();
    new_folder(dir.path());
    let log = open(dir.path());
    let mut next = 0;
    for round in 0..5 {
        let end = next + 1500;
        // Not all at once: what is waiting is written in one piece, into one file.
        while next < end {
            append(&log, (next..next + 20).map(|index| record(index, 1000)).collect());
            next += 20;
        }
        let full = log.stats().unwrap();
        assert!(full.bytes_on_disk > 1_500_000, "round {round}: {full:?}");
        log.purge(next - 10, Bytes::from_static(b"m"), quick());
        settle(&log);
        // The space is given back by the log thread when it has nothing else to do.
        let mut after = log.stats().unwrap();
        for _ in 0..200 {
            if after.bytes_on_disk < 300_000 {
                break;
            }
            settle(&log);
            after = log.stats().unwrap();
        }
        assert!(after.bytes_on_disk < 300_000, "round {round}: {after:?}");
        assert_eq!((after.entries, after.reclaim_error), (9, None));
    }
    log.close();
    assert_eq!(open(dir.path()).first_index(), Some(next - 9));
}

#[test]
fn what_does_not_fit_is_refused() {
    let dir = scratch();
    new_folder(dir.path());
    let log = open(dir.path());
    append(&log, (0..20).map(|index| record(index, 10)).collect());
    log.purge(9, Bytes::new(), quick());
    let oversized = Bytes::from(vec![0; FIELD_BYTES_MAX + 1]);
    let refused = |submit: &dyn Fn(Done)| {
        let (done, answer) = waiting();
        submit(done);
        assert_eq!(answer.recv().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    };
    refused(&|done| log.append(vec![record(22, 1)], done));
    refused(&|done| log.append(vec![record(20, 1), record(22, 1)], done));
    refused(&|done| log.save_vote(oversized.clone(), done));
    refused(&|done| log.purge(12, oversized.clone(), done));
    refused(&|done| log.truncate_after(Some(5), done));
    append(&log, vec![record(20, 1)]);
    assert_eq!((log.first_index(), log.last_index()), (Some(10), Some(20)));
}

/// The heart: whatever happens to one file, the log is the same or says that it is not.
#[test]
fn damage_is_never_silent() {
    let mut told = 0;
    for seed in 0..8 {
        let dir = scratch();
        new_folder(dir.path());
        let (mut model, mut rng) = (Model::default(), Rng(1000 + seed));
        run(dir.path(), &mut model, &mut rng, 200).close();
        let log = run(dir.path(), &mut model, &mut rng, 60);
        let image = scratch();
        crash(&log, dir.path(), image.path());
        if seed % 2 == 0 {
            log.close();
            std::fs::remove_dir_all(image.path()).unwrap();
            copy_dir(dir.path(), image.path());
        }
        let expected = model.durable();
        for trial in 0..40 {
            let victim = scratch();
            copy_dir(image.path(), victim.path());
            let candidates = files(victim.path());
            let candidates: Vec<_> =
                candidates.iter().filter(|path| !path.ends_with("IDENTITY")).collect();
            let file = candidates[usize::try_from(rng.below(candidates.len() as u64)).unwrap()];
            let how = spoil(file, &mut rng);
            let what = format!("seed {seed} trial {trial}: {how}");
            match open_with(victim.path(), small()) {
                Err(error) => {
                    assert_eq!(error.kind, Kind::Damaged, "{what}: {error}");
                    told += 1;
                }
                Ok((
                    _,
                    Recovered { damage: Some(_), .. } | Recovered { lost_tail: Some(_), .. },
                )) => {
                    told += 1;
                }
                Ok((log, _)) => assert_eq!(Model::of(&log).unwrap().durable(), expected, "{what}"),
            }
        }
    }
    assert!(told > 40, "too little damage hit anything that counts: {told}");
}

/// Every possible place to cut the newest file, at the boundaries of batches too.
#[test]
fn every_lost_tail_is_noticed_and_can_be_healed() {
    let dir = scratch();
    new_folder(dir.path());
    let log = open(dir.path());
    for index in 0..12 {
        append(&log, vec![record(index, 20)]);
        log.save_vote(Bytes::from(format!("vote {index}")), quick());
    }
    log.truncate_after(Some(8), quick());
    settle(&log);
    log.close();
    let file = "raft-log/0000000000000001.raftlog";
    let content = std::fs::read(dir.path().join(file)).unwrap();
    for len in (0..content.len()).step_by(7) {
        let victim = scratch();
        copy_dir(dir.path(), victim.path());
        std::fs::write(victim.path().join(file), &content[..len]).unwrap();
        let (log, recovered) = open_with(victim.path(), small()).unwrap();
        let lost = recovered.lost_tail.unwrap();
        assert!(lost.mark_next == 9 && lost.batches > 0, "{len}: {lost:?}");
        assert_eq!(log.vote(), Some(Bytes::from_static(b"vote 11")), "the mark knows the vote");
        let (done, answer) = waiting();
        log.save_vote(Bytes::from_static(b"another"), done);
        assert_eq!(answer.recv().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(log);
        if len % 5 > 0 {
            continue;
        }
        // The next start finds it again.
        let (log, recovered) = open_with(victim.path(), small()).unwrap();
        assert_eq!(recovered.lost_tail.unwrap().mark_next, 9);
        assert!(log.reset_to(7, Bytes::new()).is_err(), "entry 8 was durable");
        log.reset_to(8, Bytes::from_static(b"eight")).unwrap();
        append(&log, vec![record(9, 5)]);
        log.close();
        let log = open(victim.path());
        assert_eq!((log.first_index(), log.last_index()), (Some(9), Some(9)));
        assert_eq!(log.vote(), Some(Bytes::from_static(b"vote 11")));
        assert_eq!(log.purged_marker(), Some(Bytes::from_static(b"eight")));
    }
}

#[test]
fn damaged_entries_are_told_and_can_be_purged_away() {
    let dir = scratch();
    new_folder(dir.path());
    let log = open(dir.path());
    for index in 0..30 {
        append(&log, vec![record(index, 500)]);
    }
    log.close();
    let file = dir.path().join("raft-log/0000000000000001.raftlog");
    let mut content = std::fs::read(&file).unwrap();
    for index in [5, 11] {
        let bytes = record(index, 500).bytes;
        let at = content.windows(100).position(|window| window == &bytes[..100]).unwrap();
        content[at + 50] ^= 4;
    }
    std::fs::write(&file, &content).unwrap();
    let (log, recovered) = open_with(dir.path(), small()).unwrap();
    let damage = recovered.damage.unwrap();
    assert_eq!((damage.first, damage.last, recovered.lost_tail), (5, 11, None));
    assert_eq!(log.read(5..6, 1).unwrap_err().kind, Kind::Damaged);
    assert_eq!(log.read(12..13, 1).unwrap(), vec![record(12, 500)]);
    assert!(log.reset_to(10, Bytes::new()).is_err());
    log.reset_to(11, Bytes::from_static(b"m")).unwrap();
    append(&log, vec![record(30, 1)]);
    log.close();
    let log = open(dir.path());
    assert_eq!((log.first_index(), log.last_index()), (Some(12), Some(30)));
    assert_eq!(log.read(12..31, usize::MAX).unwrap().len(), 19);
}

#[test]
fn yesterdays_log_beside_todays_mark_is_noticed() {
    let dir = scratch();
    new_folder(dir.path());
    let log = open(dir.path());
    append(&log, vec![record(0, 10)]);
    log.close();
    let yesterday = scratch();
    copy_dir(&dir.path().join("raft-log"), yesterday.path());
    let log = open(dir.path());
    log.save_vote(Bytes::from_static(b"today"), quick());
    log.close();
    std::fs::remove_dir_all(dir.path().join("raft-log")).unwrap();
    copy_dir(yesterday.path(), &dir.path().join("raft-log"));
    let (log, recovered) = open_with(dir.path(), small()).unwrap();
    assert!(recovered.lost_tail.is_some());
    assert_eq!(log.vote(), Some(Bytes::from_static(b"today")));
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run here must say so")]
fn a_full_disk_fails_writes_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(dir.path())
        .output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED a_full_disk_fails_writes_and_loses_nothing: cannot mount a tmpfs");
        return;
    }
    let result = std::panic::catch_unwind(|| fill_the_disk(dir.path()));
    let unmount = std::process::Command::new("umount").arg("-l").arg(dir.path()).status();
    assert!(unmount.unwrap().success());
    result.unwrap();
}

fn fill_the_disk(dir: &Path) {
    let path = dir.join("storage");
    new_folder(&path);
    std::fs::write(dir.join("filler"), vec![0; 300 << 10]).unwrap();
    let log = open(&path);
    let mut acknowledged = 0;
    let error = loop {
        let (done, answer) = waiting();
        log.append(vec![record(acknowledged, 5000)], done);
        match answer.recv().unwrap() {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(acknowledged > 50 && error.to_string().contains("space"), "{error}");
    // It stays failed although there is room again: what is on disk has to be read anew.
    std::fs::remove_file(dir.join("filler")).unwrap();
    let (done, answer) = waiting();
    log.save_vote(Bytes::from_static(b"v"), done);
    assert!(answer.recv().unwrap().is_err());
    log.close();
    let log = open(&path);
    assert!(log.last_index().unwrap() + 1 >= acknowledged);
    let next = log.last_index().unwrap() + 1;
    for index in 0..next {
        assert_eq!(log.read(index..index + 1, 1).unwrap(), vec![record(index, 5000)]);
    }
    append(&log, vec![record(next, 100)]);
}

/// A file that is not the newest and has no header: no crash leaves that, so nothing is cut off.
#[test]
fn a_log_that_cannot_be_opened_is_refused_in_one_line_and_left_alone() {
    let dir = scratch();
    new_folder(dir.path());
    let log = open(dir.path());
    for index in 0..40 {
        append(&log, vec![record(index, 10_000)]);
    }
    log.close();
    let before = files(&dir.path().join("raft-log"));
    let mut logs = before.iter().filter(|path| path.extension().is_some_and(|e| e == "raftlog"));
    let file = logs.next().unwrap();
    assert!(logs.count() > 2);
    let whole = std::fs::read(file).unwrap();
    let mut spoiled = whole.clone();
    spoiled[3] ^= 1;
    std::fs::write(file, &spoiled).unwrap();
    for _ in 0..2 {
        let refusal = open_with(dir.path(), small()).unwrap_err();
        assert_eq!(refusal.kind, Kind::Damaged);
        let (line, folder) = (refusal.to_string(), dir.path().join("raft-log"));
        let begin = format!(
            "the raft log is damaged: {}: it cannot be opened, so nothing tells where it ended: ",
            folder.display()
        );
        assert!(line.starts_with(&begin), "{line}");
        let advice = "; nothing was changed: restore the storage folder from a backup, or move it \
                      away (and keep it) to start empty";
        assert!(line.ends_with(advice), "{line}");
        assert!(!line.contains('\n'), "{line}");
        assert_eq!(std::fs::read(file).unwrap(), spoiled);
    }
    // As from a backup: everything is there.
    std::fs::write(file, &whole).unwrap();
    let log = open(dir.path());
    assert_eq!((log.first_index(), log.last_index()), (Some(0), Some(39)));
}
