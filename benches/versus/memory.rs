//! Resident memory for each stored series.

use std::time::Duration;

use crate::client::{Connection, Encoding, ReadBytes, scrape};
use crate::common::figure::Figure;
use crate::common::table::Table;
use crate::process::{Checks, Server};
use crate::servers::place::Folder;
use crate::servers::usage::{resident, settle};
use crate::store::{self, Layout};
use crate::{Better, REPETITIONS, compared};

/// Longer than either process puts off what it does behind the last request: writing the state
/// down, and giving memory back.
const CALM: Duration = Duration::from_millis(1500);
/// Times that everything is scraped, plain and with gzip, each after a hundredth was pushed again.
const SCRAPES: usize = 10;

pub(crate) fn table() -> Table {
    Table::new(
        "Resident bytes for each stored series, above those of the empty process",
        &["quorumgate", "original", "less"],
    )
}

/// Adds the rows of a layout with enough series for the difference to mean something.
pub(crate) async fn measure(table: &mut Table, layout: &Layout) {
    if layout.series() < 10_000 {
        return;
    }
    let mut loaded = [Figure::default(), Figure::default()];
    let mut scraped = loaded.clone();
    for _ in 0..REPETITIONS {
        // Fresh processes each time: a heap remembers what it once had to hold.
        let folder = Folder::new("memory");
        let servers = [Server::gate(folder.path()), Server::original(folder.path(), Checks::Off)];
        for (at, server) in servers.iter().enumerate() {
            store::answers(server).await;
            let empty = calm(server);
            let each = |bytes: f64| (bytes - empty) / layout.series() as f64;
            layout.load(server).await;
            loaded[at].add(each(calm(server)));
            scrape_often(server, layout).await;
            scraped[at].add(each(calm(server)));
        }
    }
    for (when, figures) in [("after the pushes", loaded), ("after scrapes", scraped)] {
        table.row(format!("{}, {when}", layout.name), compared(figures, Better::Lower));
    }
}

/// What a gateway goes through: pushes, and scrapes of everything.
async fn scrape_often(server: &Server, layout: &Layout) {
    let mut connection = Connection::open(server.addr(), ReadBytes::LARGE).await;
    for version in 1..=SCRAPES {
        layout.push_groups(server, layout.groups.div_ceil(100), version).await;
        for encoding in [Encoding::Plain, Encoding::Gzip] {
            connection.send(&scrape(encoding)).await;
        }
    }
}

/// Resident bytes once the process has calmed down.
fn calm(server: &Server) -> f64 {
    std::thread::sleep(CALM);
    settle(server.pid());
    resident(server.pid())
}
