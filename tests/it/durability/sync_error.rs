//! An fsync that fails: the process must stop, and never acknowledge on a second try.

use std::path::Path;
use std::process::Command;

use super::load::Book;
use super::{FLAGS, check, push_some, skip};
use crate::harness::process::Server;

#[test]
fn a_failed_fsync_stops_the_process() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some(shim) = build_shim(folder.path()) else {
        return skip("a C compiler");
    };
    let when = folder.path().join("fail-now");
    let environment = [("LD_PRELOAD", shim.as_str()), ("FAIL_SYNC_WHEN", when.to_str().unwrap())];
    let mut server = Server::gate_with(folder.path(), FLAGS, &environment);
    let load = push_some(&server, Book::default(), 20);
    std::fs::write(&when, "").unwrap();
    let status = server.wait();
    assert!(!status.success(), "stopping on a failed fsync is not a success: {status}");
    assert!(server.stderr().contains("level=error"), "{}", server.stderr());
    let book = load.finish();

    std::fs::remove_file(&when).unwrap();
    let server = Server::gate_in(folder.path(), FLAGS);
    check(&server, &book);
}

fn build_shim(folder: &Path) -> Option<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/durability/fail_sync.c");
    let shim = folder.join("fail_sync.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&shim)
        .arg(source)
        .arg("-ldl")
        .status();
    built.is_ok_and(|status| status.success()).then(|| shim.display().to_string())
}
