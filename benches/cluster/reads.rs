//! Linearizable reads of everything at followers, alone and while the leader takes pushes.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Client, Push};
use crate::common::Effort;
use crate::common::figure::Figure;
use crate::common::table::{Cell, Table};
use crate::load::{Load, Through, clients, quantiles};
use crate::trio::Trio;
use crate::{Better, compared, progress};

/// Groups, or keys, that are stored, of 1 KiB each.
const STORED: usize = 64;
const BYTES: usize = 1024;
const READERS: usize = 8;
const PUSHERS: usize = 16;

/// What one repetition measured.
#[derive(Debug, Clone, Copy)]
struct Measured {
    reads_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    pushes_per_second: f64,
}

pub(crate) async fn measure(pair: &[Trio; 2], effort: Effort) -> Table {
    let mut table = Table::new(
        "Linearizable reads at followers of what is stored (64 pushes or values of 1 KiB), 8 readers",
        &[
            "more",
            "reads/s",
            "etcd",
            "less p50",
            "p50 ms",
            "p50 (etcd)",
            "less p99",
            "p99 ms",
            "p99 (etcd)",
            "pushes/s meanwhile",
            "puts/s (etcd)",
        ],
    );
    for trio in pair {
        store(trio).await;
    }
    for pushers in [0, PUSHERS] {
        let name = if pushers == 0 {
            "nothing pushed".to_owned()
        } else {
            format!("{pushers} clients push")
        };
        progress(&format!("  {name}"));
        let mut measured = [Vec::new(), Vec::new()];
        for repetition in 0..=effort.pick(1, 3) {
            for (trio, measured) in std::iter::zip(pair, &mut measured) {
                let one = run(trio, pushers, Duration::from_secs_f64(effort.pick(0.5, 2.0))).await;
                if repetition > 0 {
                    measured.push(one);
                }
            }
        }
        table.row(name, row(&measured));
    }
    table
}

fn row(measured: &[Vec<Measured>; 2]) -> Vec<Cell> {
    let figures = |read: fn(&Measured) -> f64| {
        measured.each_ref().map(|measured| measured.iter().map(read).collect::<Figure>())
    };
    let mut cells = compared(figures(|m| m.reads_per_second), Better::Higher);
    cells.extend(compared(figures(|m| m.p50_ms), Better::Lower));
    cells.extend(compared(figures(|m| m.p99_ms), Better::Lower));
    cells.extend(figures(|m| m.pushes_per_second).map(Cell::Measured));
    cells
}

/// Nothing has been stored before, and what is pushed later has the same names.
async fn store(trio: &Trio) {
    let agreed = trio.agreed().await;
    let mut client = Client::open(trio.is_gate(), trio.addr(agreed.leader));
    for at in 0..STORED {
        client.push(&mut Push::new(&at.to_string(), BYTES)).await.unwrap();
    }
}

async fn run(trio: &Trio, pushers: usize, duration: Duration) -> Measured {
    let agreed = trio.agreed().await;
    let end = Instant::now() + duration;
    let mut readers = JoinSet::new();
    for mut client in clients(trio, &agreed.followers(), READERS) {
        readers.spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < end {
                let sent = Instant::now();
                let bytes = client.read_all().await;
                assert!(bytes >= STORED * BYTES / 2, "only {bytes} bytes were read");
                latencies.push(sent.elapsed().as_secs_f64());
            }
            latencies
        });
    }
    let load = Load { through: Through::Leader, clients: pushers, bytes: BYTES, duration };
    let pushes_per_second = if pushers > 0 { load.run(trio).await.per_second } else { 0.0 };
    let [p50_ms, p99_ms, count] = quantiles(readers.join_all().await.concat());
    let reads_per_second = count / duration.as_secs_f64();
    Measured { reads_per_second, p50_ms, p99_ms, pushes_per_second }
}
