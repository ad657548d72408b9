//! kill -9 under load: the kernel keeps what was written, the process keeps nothing.

use super::load::Book;
use super::{FLAGS, check, push_some, rounds};
use crate::harness::process::Server;
use crate::harness::say;

#[test]
fn no_acknowledged_push_is_lost_by_kill_9() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut book = Book::default();
    for round in 0..rounds("KILL_ROUNDS", 50) {
        let mut server = Server::gate_in(folder.path(), FLAGS);
        check(&server, &book);
        // A different number of pushes each round, so that the kill meets different moments.
        let load = push_some(&server, book, 10 + (round as usize * 7) % 60);
        server.kill();
        book = load.finish();
    }
    let server = Server::gate_in(folder.path(), FLAGS);
    check(&server, &book);
    say(&format!("kill -9: {} pushes were acknowledged, all are there", book.acknowledged()));
}
