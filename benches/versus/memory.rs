//! Resident memory for each stored series.

use std::time::Duration;

use crate::common::figure::Figure;
use crate::common::table::Table;
use crate::process::Server;
use crate::servers::usage::{resident, settle};
use crate::store::Layout;
use crate::{Better, compared};

/// Resident bytes of one process at three times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) empty: f64,
    pub(crate) loaded: f64,
    pub(crate) scraped: f64,
}

impl Memory {
    /// Once it has started: it takes connections before it serves them.
    pub(crate) fn empty(server: &Server) -> Memory {
        Memory { empty: of(server), loaded: 0.0, scraped: 0.0 }
    }
}

/// Longer than either process puts off what it does behind the last request: writing the state
/// down, and giving memory back.
const CALM: Duration = Duration::from_millis(1500);

/// Resident bytes once the process has calmed down.
pub(crate) fn of(server: &Server) -> f64 {
    std::thread::sleep(CALM);
    settle(server.pid());
    resident(server.pid())
}

pub(crate) fn table() -> Table {
    Table::new(
        "Resident bytes for each stored series, above those of the empty process",
        &["quorumgate", "original", "less"],
    )
}

/// Adds the rows of a layout with enough series for the difference to mean something.
pub(crate) fn rows(table: &mut Table, layout: &Layout, used: [Memory; 2]) {
    if layout.series() < 10_000 {
        return;
    }
    let times = [
        ("after the pushes", (|m: Memory| m.loaded) as fn(Memory) -> f64),
        ("after scrapes", |m: Memory| m.scraped),
    ];
    for (when, read) in times {
        let each = used.map(|m| (read(m) - m.empty) / layout.series() as f64);
        let figures = each.map(|bytes| Figure::from_iter([bytes]));
        table.row(format!("{}, {when}", layout.name), compared(figures, Better::Lower));
    }
}
