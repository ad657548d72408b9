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
/// Times that everything is scraped, each after a hundredth was pushed again.
const SCRAPES: usize = 10;

/// When it is measured, and what is scraped before.
const STAGES: [(&str, &[Encoding]); 3] = [
    ("after the pushes", &[]),
    ("after scrapes with gzip, as by Prometheus", &[Encoding::Gzip]),
    ("after plain scrapes as well", &[Encoding::Gzip, Encoding::Plain]),
];

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
    let mut figures = STAGES.map(|_| [Figure::default(), Figure::default()]);
    for _ in 0..REPETITIONS {
        // Fresh processes each time: a heap remembers what it once had to hold.
        let folder = Folder::new("memory");
        let servers = [Server::gate(folder.path()), Server::original(folder.path(), Checks::Off)];
        for (at, server) in servers.iter().enumerate() {
            store::answers(server).await;
            let empty = calm(server);
            layout.load(server).await;
            for ((_, encodings), figures) in std::iter::zip(STAGES, &mut figures) {
                if !encodings.is_empty() {
                    scrape_often(server, layout, encodings).await;
                }
                figures[at].add((calm(server) - empty) / layout.series() as f64);
            }
        }
    }
    for ((when, _), figures) in std::iter::zip(STAGES, figures) {
        table.row(format!("{}, {when}", layout.name), compared(figures, Better::Lower));
    }
}

/// What a gateway goes through: pushes, and scrapes of everything.
async fn scrape_often(server: &Server, layout: &Layout, encodings: &[Encoding]) {
    let mut connection = Connection::open(server.addr(), ReadBytes::LARGE).await;
    for version in 1..=SCRAPES {
        layout.push_groups(server, layout.groups.div_ceil(100), version).await;
        for encoding in encodings {
            connection.send(&scrape(*encoding)).await;
        }
    }
}

/// Resident bytes once the process has calmed down.
fn calm(server: &Server) -> f64 {
    std::thread::sleep(CALM);
    settle(server.pid());
    resident(server.pid())
}
