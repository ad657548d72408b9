//! Damage at rest, in every part of what is on disk: healed, or refused with one line. Never silent.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::load::Book;
use super::{FLAGS, check, push_some, pushed, try_start};
use crate::harness::process::{PATIENCE, Server};
use crate::harness::{copy_folder, eventually, say};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    FlippedBit,
    ZeroedPage,
    CutTail,
    Removed,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Healed,
    Refused,
    Untouched,
}

const DAMAGES: &[Damage] =
    &[Damage::FlippedBit, Damage::ZeroedPage, Damage::CutTail, Damage::Removed];

/// Where in the file, as tenths of its length.
const PLACES: &[u64] = &[0, 3, 6, 9];

/// How the process ended before the damage was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In the middle of pushes.
    KilledUnderLoad,
    /// With every push answered.
    Killed,
    Stopped,
}

/// What every start must show.
enum Expected {
    /// This scrape and this answer of the API, byte by byte.
    All((String, String)),
    /// What was acknowledged; the rest may be lost with the end of the log.
    Acknowledged(Book),
}

#[test]
fn damage_to_the_log_is_never_silent() {
    let ends = [End::KilledUnderLoad, End::Killed, End::Stopped];
    damage_everywhere(|name| name.contains("/raft-log/"), &ends, false);
}

#[test]
fn damage_to_the_high_water_mark_is_never_silent() {
    damage_everywhere(|name| name.contains("high-water"), ENDS, false);
}

#[test]
fn damage_to_the_state_database_is_healed() {
    damage_everywhere(|name| name.contains("/state/"), ENDS, true);
}

#[test]
fn damage_to_the_mark_of_the_state_database_is_healed() {
    damage_everywhere(|name| name.ends_with("/state-mark"), ENDS, true);
}

#[test]
fn damage_to_the_newest_snapshot_is_healed() {
    damage_everywhere(|name| name.contains("/snapshots/"), ENDS, true);
}

#[test]
fn damage_to_the_identity_is_never_silent() {
    damage_everywhere(|name| name.ends_with("/IDENTITY"), ENDS, false);
}

/// Damage beside the log must not change anything, also not what nobody was promised.
const ENDS: &[End] = &[End::KilledUnderLoad, End::Stopped];

/// Makes a folder with data, then damages each matching file in each way, one at a time.
fn damage_everywhere(matches: impl Fn(&str) -> bool, ends: &[End], must_heal: bool) {
    let mut endings = [0; 3];
    for end in ends {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let book = prepare(folder.path(), *end);
        let pristine = folder.path().join("data");
        let files = largest(files_below(&pristine), &matches);
        assert!(!files.is_empty(), "there is nothing to damage");
        let in_log = files.iter().any(|file| file.starts_with(pristine.join("raft-log")));
        let expected = match end {
            End::KilledUnderLoad if in_log => Expected::Acknowledged(book),
            _ => Expected::All(undamaged(&pristine, &book)),
        };
        for file in files {
            for damage in DAMAGES {
                let places = if *damage == Damage::Removed { &PLACES[..1] } else { PLACES };
                for place in places {
                    let inside = file.strip_prefix(&pristine).unwrap();
                    let ending = trial(&pristine, inside, *damage, *place, &expected, must_heal);
                    endings[ending as usize] += 1;
                }
            }
        }
    }
    let [healed, refused, untouched] = endings;
    assert!(healed + refused > 0, "none of {untouched} trials changed anything");
    say(&format!("damage: {healed} healed, {refused} refused, {untouched} changed nothing"));
}

/// A folder with acknowledged pushes, a few snapshots and a log.
fn prepare(folder: &Path, end: End) -> Book {
    let mut server = Server::gate_in(folder, FLAGS);
    let load = push_some(&server, Book::default(), 150);
    // On a busy machine the first of them may take longer than the pushes.
    eventually(PATIENCE, "two snapshots", || {
        let names = std::fs::read_dir(folder.join("data/snapshots")).ok()?;
        let whole = names.filter(|name| {
            let path = name.as_ref().unwrap().path();
            path.extension().is_some_and(|extension| extension == "snapshot")
        });
        (whole.count() >= 2).then_some(())
    });
    if end == End::KilledUnderLoad {
        server.kill();
        return load.finish();
    }
    let book = load.finish();
    if end == End::Stopped {
        server.signal("TERM");
        assert!(server.wait().success());
    }
    server.kill();
    book
}

/// What a start on an undamaged copy shows.
fn undamaged(pristine: &Path, book: &Book) -> (String, String) {
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy_folder(pristine, &copy.path().join("data"));
    let server = Server::gate_in(copy.path(), FLAGS);
    check(&server, book);
    pushed(&server)
}

fn trial(
    pristine: &Path,
    inside: &Path,
    damage: Damage,
    place: u64,
    expected: &Expected,
    must_heal: bool,
) -> Ending {
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = copy.path().join("data");
    copy_folder(pristine, &data);
    if !inflict(&data.join(inside), damage, place) {
        return Ending::Untouched;
    }
    let what = format!("{damage:?} at {place}/10 of {}", inside.display());
    match try_start(copy.path()) {
        Ok(server) => {
            match expected {
                Expected::All(before) => assert!(pushed(&server) == *before, "{what} is silent"),
                Expected::Acknowledged(book) => check(&server, book),
            }
            Ending::Healed
        }
        Err(refusal) => {
            assert!(!must_heal, "{what} must be healed, but: {refusal}");
            let said = refusal.to_lowercase();
            assert!(
                ["damaged", "missing", "lost", "ends"].iter().any(|word| said.contains(word)),
                "{what}: the refusal does not say what is wrong: {refusal}"
            );
            assert!(
                ["restore", "move"].iter().any(|word| said.contains(word)),
                "{what}: the refusal does not say what to do: {refusal}"
            );
            assert!(said.contains("/data"), "{what}: the refusal does not say where: {refusal}");
            Ending::Refused
        }
    }
}

/// False when the file is too small for this damage to change anything.
fn inflict(path: &Path, damage: Damage, place: u64) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    if length == 0 {
        return false;
    }
    let at = (length * place / 10).min(length - 1);
    match damage {
        Damage::FlippedBit => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        }
        Damage::ZeroedPage => {
            let page = at / 4096 * 4096;
            let zeros = vec![0; usize::try_from((length - page).min(4096)).unwrap()];
            file.write_all_at(&zeros, page).unwrap();
        }
        Damage::CutTail => file.set_len(at).unwrap(),
        Damage::Removed => std::fs::remove_file(path).unwrap(),
    }
    true
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The largest few of the matching files: the damage should meet data.
fn largest(files: Vec<PathBuf>, matches: &impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        files.into_iter().filter(|path| matches(&path.display().to_string())).collect();
    files.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    files.truncate(2);
    files
}
