//! A power cut under load: only what was synced is there afterwards.

use super::disk::Disk;
use super::load::Book;
use super::{FLAGS, check, push_some, rounds, skip};
use crate::harness::process::Server;
use crate::harness::say;

#[test]
fn no_acknowledged_push_is_lost_by_a_power_cut() {
    let Some(disk) = Disk::new(512) else {
        return skip("root and loop mounts");
    };
    let mut book = Book::default();
    for round in 0..rounds("POWER_CUT_ROUNDS", 20) {
        let mut server = Server::gate_in(&disk.mount_point(), FLAGS);
        check(&server, &book);
        let load = push_some(&server, book, 10 + (round as usize * 13) % 80);
        disk.cut_power();
        server.kill();
        book = load.finish();
        disk.power_on();
    }
    let server = Server::gate_in(&disk.mount_point(), FLAGS);
    check(&server, &book);
    drop(server);
    say(&format!("power cut: {} pushes were acknowledged, all are there", book.acknowledged()));
}
