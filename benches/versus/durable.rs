//! Pushes that are on disk when they are acknowledged, beside the least that a disk asks for.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::bare;
use crate::client::{Connection, ReadBytes};
use crate::common::Effort;
use crate::common::figure::Figure;
use crate::common::table::{Cell, Table};
use crate::process::{Checks, Server};
use crate::servers::place::Folder;
use crate::servers::request::put;
use crate::{REPETITIONS, progress};

const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// Bytes of a push's body, and of a record of the bare loop.
const BODY_BYTES: usize = 1024;

/// One repetition with some number of clients.
#[derive(Debug, Clone, Copy)]
struct Load {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// The bare loop and the pushes.
pub(crate) async fn measure(effort: Effort) -> Vec<Table> {
    let mut table = Table::new(
        "Durable pushes of 1 KiB, beside a bare loop of append and fdatasync on the same disk",
        &[
            "pushes/s",
            "p50 ms",
            "p99 ms",
            "bare, 1 a sync",
            "of bare",
            "bare, grouped",
            "of grouped",
            "original, in memory",
            "p50 ms (orig.)",
            "p99 ms (orig.)",
        ],
    );
    let folder = Folder::new("durable");
    let gate = Server::gate(folder.path());
    let original = Server::original(folder.path(), Checks::On);
    let seconds = Duration::from_secs_f64(effort.pick(0.1, 1.0));
    for clients in CLIENTS {
        progress(&format!("  {clients} clients"));
        let mut loads: [Vec<Load>; 2] = [Vec::new(), Vec::new()];
        let bare_path = folder.path().join("bare");
        let [mut single, mut grouped] = [Figure::default(), Figure::default()];
        for repetition in 0..=REPETITIONS {
            let ours = load(&gate, clients, seconds).await;
            let one = bare::run(&bare_path, BODY_BYTES, 1, seconds / 2);
            let many = bare::run(&bare_path, BODY_BYTES, clients, seconds / 2);
            let theirs = load(&original, clients, seconds).await;
            // The first time is for files, caches and heaps to grow.
            if repetition > 0 {
                loads[0].push(ours);
                loads[1].push(theirs);
                single.add(one);
                grouped.add(many);
            }
        }
        let name = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
        table.row(name, row(&loads, single, grouped));
    }
    vec![table]
}

fn row(loads: &[Vec<Load>; 2], single: Figure, grouped: Figure) -> Vec<Cell> {
    let figure = |at: usize, read: fn(&Load) -> f64| loads[at].iter().map(read).collect::<Figure>();
    let ours = figure(0, |l| l.per_second);
    let [of_single, of_grouped] = [&single, &grouped].map(|bare| ours.median() / bare.median());
    vec![
        Cell::Measured(ours),
        Cell::Measured(figure(0, |l| l.p50_ms)),
        Cell::Measured(figure(0, |l| l.p99_ms)),
        Cell::Measured(single),
        Cell::Ratio(of_single),
        Cell::Measured(grouped),
        Cell::Ratio(of_grouped),
        Cell::Measured(figure(1, |l| l.per_second)),
        Cell::Measured(figure(1, |l| l.p50_ms)),
        Cell::Measured(figure(1, |l| l.p99_ms)),
    ]
}

/// Lets that many clients push for that long, each to a group of its own.
async fn load(server: &Server, clients: usize, duration: Duration) -> Load {
    let mut pushers = JoinSet::new();
    let addr = server.addr();
    for client in 0..clients {
        let path = format!("/metrics/job/durable/instance/{client}");
        let requests = [0, 1].map(|version| put(&path, &body(version)));
        let connection = Connection::open(addr, ReadBytes::SMALL).await;
        pushers.spawn(push_until(connection, requests, Instant::now() + duration));
    }
    let begun = Instant::now();
    let mut latencies = pushers.join_all().await.concat();
    let seconds = begun.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    Load {
        per_second: latencies.len() as f64 / seconds,
        p50_ms: quantile(&latencies, 0.5) * 1e3,
        p99_ms: quantile(&latencies, 0.99) * 1e3,
    }
}

/// The latency in seconds of each push.
async fn push_until(mut connection: Connection, requests: [Vec<u8>; 2], end: Instant) -> Vec<f64> {
    let mut latencies = Vec::new();
    loop {
        let sent = Instant::now();
        connection.send(&requests[latencies.len() % 2]).await;
        latencies.push(sent.elapsed().as_secs_f64());
        if Instant::now() >= end {
            return latencies;
        }
    }
}

/// A body of [`BODY_BYTES`]: as many samples as fit, and the rest as help.
fn body(version: usize) -> Vec<u8> {
    const HELP: &str = "# HELP batch_rows Rows handled";
    let mut samples = "\n# TYPE batch_rows gauge\n".to_owned();
    for i in 0.. {
        let sample = format!("batch_rows{{stage=\"stage-{i}\",result=\"ok\"}} {version}{i}.5\n");
        if HELP.len() + samples.len() + sample.len() > BODY_BYTES {
            break;
        }
        samples.push_str(&sample);
    }
    let filler = ".".repeat(BODY_BYTES - HELP.len() - samples.len());
    format!("{HELP}{filler}{samples}").into_bytes()
}

/// The value below which the given share of the values lies.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}
