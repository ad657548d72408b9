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
/// down, and giving memory back, which jemalloc does within 10 s.
const CALM: Duration = Duration::from_secs(12);
/// Times that everything is pushed again and scraped as Prometheus does it.
const ROUNDS: usize = 10;

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
        for server in &servers {
            store::answers(server).await;
            settle(server.pid());
        }
        let empty = servers.each_ref().map(|server| resident(server.pid()));
        for server in &servers {
            layout.load(server).await;
        }
        note(&mut loaded, layout, &servers, empty);
        for server in &servers {
            serve(server, layout).await;
        }
        note(&mut scraped, layout, &servers, empty);
    }
    for (when, figures) in
        [("after the first pushes", loaded), ("after ten rounds of pushes and a scrape", scraped)]
    {
        table.row(format!("{}, {when}", layout.name), compared(figures, Better::Lower));
    }
}

/// What a gateway goes through: jobs that push again, and scrapes.
async fn serve(server: &Server, layout: &Layout) {
    let mut connection = Connection::open(server.addr(), ReadBytes::LARGE).await;
    for version in 1..=ROUNDS {
        layout.push_groups(server, layout.groups, version).await;
        connection.send(&scrape(Encoding::Gzip)).await;
    }
}

/// Adds what each series takes once both processes have calmed down.
fn note(figures: &mut [Figure; 2], layout: &Layout, servers: &[Server; 2], empty: [f64; 2]) {
    std::thread::sleep(CALM);
    for (at, figure) in figures.iter_mut().enumerate() {
        settle(servers[at].pid());
        let used = resident(servers[at].pid()) - empty[at];
        figure.add(used / layout.series() as f64);
    }
}
