//! An fsync that fails: the process must stop, and never acknowledge on a second try.

use std::path::Path;
use std::process::Command;

use super::load::{Book, CLIENTS};
use super::{FLAGS, check, push_some, skip};
use crate::harness::process::{PATIENCE, Server};
use crate::harness::{eventually, http, say};

#[test]
fn a_failed_fsync_stops_the_process() {
    stops_the_process(&[]);
}

/// As the kernel has it: the next fsync succeeds, although the pages are gone.
#[test]
fn an_fsync_that_fails_once_stops_the_process() {
    stops_the_process(&[("FAIL_SYNC_ONCE", "1")]);
}

fn stops_the_process(environment: &[(&str, &str)]) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some(shim) = build_shim(folder.path()) else {
        return skip("a C compiler");
    };
    let when = folder.path().join("fail-now");
    let preload = [("LD_PRELOAD", shim.as_str()), ("FAIL_SYNC_WHEN", when.to_str().unwrap())];
    let environment = [&preload[..], environment].concat();
    let mut server = Server::gate_with(folder.path(), FLAGS, &environment);
    let load = push_some(&server, Book::default(), 20);
    std::fs::write(&when, "").unwrap();
    let failed = folder.path().join("fail-now.failed");
    eventually(PATIENCE, "an fsync to fail", || failed.exists().then_some(()));

    // From here on nothing is acknowledged, but for what was on its way to its client already.
    let before = load.answered();
    let late = http::request("PUT", "/metrics/job/late", &[], b"late 1\n");
    let mut refused = 0;
    eventually(PATIENCE, "the process to stop", || {
        // Where nobody answers any more, nothing is acknowledged either.
        if let Ok(answer) = http::exchange(server.addr(), &late) {
            assert_ne!(answer.status, 200, "acknowledged after a failed fsync");
            refused += 1;
        }
        server.has_stopped().then_some(())
    });
    let status = server.wait();
    assert!(!status.success(), "stopping on a failed fsync is not a success: {status}");
    assert!(server.stderr().contains("level=error"), "{}", server.stderr());
    let book = load.finish();
    let more = book.answered() - before;
    assert!(more <= CLIENTS, "{more} pushes were acknowledged after a failed fsync");
    say(&format!("failed fsync: {more} answers were on their way, {refused} late pushes refused"));

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
