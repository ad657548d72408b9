//! What a push costs at different numbers of stored series.

use std::time::Instant;

use crate::client::{Connection, ReadBytes};
use crate::common::Effort;
use crate::common::figure::Figure;
use crate::common::payload;
use crate::common::table::Table;
use crate::process::Server;
use crate::servers::request::put;
use crate::servers::usage::{Cpu, settle};
use crate::store::Layout;
use crate::{Better, REPETITIONS, compared};

/// Bodies that follow each other, so that no push repeats the one before.
const VERSIONS: usize = 8;

pub(crate) fn table() -> Table {
    Table::new(
        "Pushes from one kept-alive client, checks on (quorumgate: durable; original: in memory)",
        &["pushes/s", "original", "more", "CPU us/push", "original us", "less"],
    )
}

/// Adds the rows of one layout.
pub(crate) async fn measure(
    table: &mut Table,
    layout: &Layout,
    effort: Effort,
    servers: [&Server; 2],
) {
    for (name, path, body) in [
        ("100 series", "/metrics/job/pusher", hundred as fn(usize) -> Vec<u8>),
        ("1 sample", "/metrics/job/single", one_sample),
    ] {
        let requests: Vec<Vec<u8>> = (0..VERSIONS).map(|v| put(path, &body(v))).collect();
        let mut rates = [Figure::default(), Figure::default()];
        let mut costs = [Figure::default(), Figure::default()];
        for repetition in 0..=REPETITIONS {
            for (at, server) in servers.iter().enumerate() {
                let (rate, cost) = run(server, &requests, effort).await;
                // The first time is for caches to fill and heaps to grow.
                if repetition > 0 {
                    rates[at].add(rate);
                    costs[at].add(cost);
                }
            }
        }
        let mut cells = compared(rates, Better::Higher);
        let costs = costs.map(|cost| cost.scaled(1e6));
        cells.extend(compared(costs, Better::Lower));
        table.row(format!("{name}, {} stored", layout.name), cells);
    }
}

fn hundred(version: usize) -> Vec<u8> {
    payload::text(payload::GROUP_SERIES, version)
}

fn one_sample(version: usize) -> Vec<u8> {
    format!("# TYPE batch_last_rows gauge\nbatch_last_rows {version}.5\n").into_bytes()
}

/// Pushes per second and CPU seconds per push.
async fn run(server: &Server, requests: &[Vec<u8>], effort: Effort) -> (f64, f64) {
    let seconds = effort.pick(0.1, 0.7);
    let mut connection = Connection::open(server.addr(), ReadBytes::SMALL).await;
    settle(server.pid());
    let used = Cpu::of(server.pid());
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed().as_secs_f64() < seconds || count < 2 * VERSIONS {
        connection.send(&requests[count % VERSIONS]).await;
        count += 1;
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    settle(server.pid());
    (rate, Cpu::of(server.pid()).since(used) / count as f64)
}
