//! Resident memory for each stored series, in what a gateway goes through.

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
/// down, collecting garbage, giving memory back.
const CALM: Duration = Duration::from_secs(5);
/// Times that groups are pushed again and scraped.
const ROUNDS: usize = 10;
/// What a process goes through, one after the other.
const STAGES: [&str; 4] = [
    "after the first pushes",
    "then 1 % of the groups pushed ten times, gzip scrapes",
    "then all pushed ten times, gzip scrapes",
    "then plain scrapes",
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
    let mut stages = [(); STAGES.len()].map(|()| [Figure::default(), Figure::default()]);
    for _ in 0..REPETITIONS {
        // Fresh processes each time: a heap remembers what it once had to hold.
        let folder = Folder::new("memory");
        let servers = [Server::gate(folder.path()), Server::original(folder.path(), Checks::Off)];
        for server in &servers {
            store::answers(server).await;
            settle(server.pid());
        }
        let empty = servers.each_ref().map(|server| resident(server.pid()));
        for (stage, figures) in stages.iter_mut().enumerate() {
            for server in &servers {
                go_through(stage, server, layout).await;
            }
            note(figures, layout, &servers, empty);
        }
    }
    for (name, figures) in STAGES.iter().zip(stages) {
        table.row(format!("{}, {name}", layout.name), compared(figures, Better::Lower));
    }
}

async fn go_through(stage: usize, server: &Server, layout: &Layout) {
    match stage {
        0 => layout.load(server).await,
        1 => serve(server, layout, layout.groups.div_ceil(100), Encoding::Gzip).await,
        2 => serve(server, layout, layout.groups, Encoding::Gzip).await,
        _ => serve(server, layout, 0, Encoding::Plain).await,
    }
}

/// Jobs that push again, and scrapes.
async fn serve(server: &Server, layout: &Layout, groups: usize, encoding: Encoding) {
    let mut connection = Connection::open(server.addr(), ReadBytes::LARGE).await;
    for version in 1..=ROUNDS {
        if groups > 0 {
            layout.push_groups(server, groups, version).await;
        }
        connection.send(&scrape(encoding)).await;
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
