//! Pushes beside puts of values of the same size.

use std::time::Duration;

use crate::common::Effort;
use crate::common::figure::Figure;
use crate::common::table::{Cell, Table};
use crate::load::{Load, Pushed, Through};
use crate::trio::Trio;
use crate::{Better, compared, progress};

const CLIENTS: [usize; 4] = [1, 16, 64, 256];
const SIZES: [(usize, &str); 3] = [(200, "200 B"), (1024, "1 KiB"), (16 * 1024, "16 KiB")];

pub(crate) async fn measure(pair: &[Trio; 2], effort: Effort, rows: &[String]) -> Table {
    let mut table = Table::new(
        "Durable pushes to three replicas, beside puts of as many bytes to three members of etcd",
        &[
            "more",
            "pushes/s",
            "etcd",
            "less p50",
            "p50 ms",
            "p50 (etcd)",
            "less p99",
            "p99 ms",
            "p99 (etcd)",
            "less CPU",
            "CPU us/push",
            "us (etcd)",
            "client us",
            "client us (etcd)",
        ],
    );
    for (bytes, size) in SIZES {
        for clients in CLIENTS {
            for through in [Through::Leader, Through::Followers] {
                let s = if clients == 1 { "" } else { "s" };
                let name = format!("{size}, {clients} client{s}, {}", through.name());
                if !rows.is_empty() && !rows.iter().any(|row| name.contains(row)) {
                    continue;
                }
                progress(&format!("  {name}"));
                let duration = Duration::from_secs_f64(effort.pick(0.3, 1.0));
                let load = Load { through, clients, bytes, duration };
                table.row(name, row(&repeat(load, pair, effort).await));
            }
        }
    }
    table
}

async fn repeat(load: Load, pair: &[Trio; 2], effort: Effort) -> [Vec<Pushed>; 2] {
    let mut pushed = [Vec::new(), Vec::new()];
    for repetition in 0..=effort.pick(1, 3) {
        for (trio, pushed) in std::iter::zip(pair, &mut pushed) {
            let one = load.run(trio).await;
            // The first time is for files, caches and heaps to grow.
            if repetition > 0 {
                pushed.push(one);
            }
        }
    }
    pushed
}

fn row(pushed: &[Vec<Pushed>; 2]) -> Vec<Cell> {
    let figures = |read: fn(&Pushed) -> f64| {
        pushed.each_ref().map(|pushed| pushed.iter().map(read).collect::<Figure>())
    };
    let mut cells = compared(figures(|p| p.per_second), Better::Higher);
    cells.extend(compared(figures(|p| p.p50_ms), Better::Lower));
    cells.extend(compared(figures(|p| p.p99_ms), Better::Lower));
    cells.extend(compared(figures(|p| p.cpu * 1e6), Better::Lower));
    cells.extend(figures(|p| p.client_cpu * 1e6).map(Cell::Measured));
    cells
}
