//! quorumgate beside the original Pushgateway: whole processes, in one run, in turns.
//!
//! Every figure is the median of a few repetitions, and the two programs take turns at them, so that
//! whatever else the machine does meets both. CPU time is that of the server alone, taken from the
//! kernel, background work included; the client's is not counted. The original acknowledges a push
//! before anything is on disk; quorumgate always after. See `docs/performance.md`.
//!
//! Without `--bench`, which `cargo bench` passes, it does nothing; `--quick` only shows that it works.
//! To try something: `--only=100k` measures with this much stored alone.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops at the first thing that is wrong, prints, and divides counts"
)]

mod client;
mod durable;
mod memory;
mod process;
mod pushes;
mod scrapes;
mod store;

#[path = "../common/bare.rs"]
mod bare;

#[path = "../common/mod.rs"]
mod common;

#[path = "../servers/mod.rs"]
mod servers;

use common::table::{Cell, Table, write_json};
use common::{Effort, bench_folder, values};
use process::{Checks, Original, Server};
use servers::machine;
use servers::place::Folder;
use store::{LAYOUTS, Layout};

/// Repetitions of each measurement.
const REPETITIONS: usize = 3;

fn main() {
    let Some(effort) = Effort::from_args() else {
        println!("nothing measured: run `make bench`");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let about = machine::describe(effort, &format!("pushgateway {}", Original::find().version));
    println!("{}", machine::summary(&about));
    let tables = runtime.block_on(measure(effort));
    println!();
    tables.iter().for_each(Table::print);
    write_json(&bench_folder().join("versus.json"), &about, &tables);
}

async fn measure(effort: Effort) -> Vec<Table> {
    let mut pushes = pushes::table();
    let mut scrapes = scrapes::table();
    let mut memory = memory::table();
    let only = values("only");
    for layout in LAYOUTS {
        let skipped = effort == Effort::Quick && layout.series() > 10_000;
        if skipped || !(only.is_empty() || only.iter().any(|name| name == layout.name)) {
            continue;
        }
        progress(&format!("{} series stored", layout.name));
        measure_layout(layout, effort, [&mut pushes, &mut scrapes, &mut memory]).await;
    }
    let mut tables = vec![pushes, scrapes, memory];
    if only.is_empty() {
        progress("durable pushes");
        tables.extend(durable::measure(effort).await);
    }
    tables
}

async fn measure_layout(layout: &Layout, effort: Effort, tables: [&mut Table; 3]) {
    let [pushes, scrapes, memory] = tables;
    progress("  memory");
    memory::measure(memory, layout).await;
    let folder = Folder::new("stored");
    let gate = Server::gate(folder.path());
    let unchecked = Server::original(folder.path(), Checks::Off);
    for server in [&gate, &unchecked] {
        store::answers(server).await;
        layout.load(server).await;
    }
    progress("  scrapes");
    scrapes::measure(scrapes, layout, effort, [&gate, &unchecked]).await;

    // To load the original with its checks on takes minutes. Its state file is read unchecked.
    unchecked.stop();
    let checked = Server::original(folder.path(), Checks::On);
    layout.verify(&checked).await;
    progress("  pushes");
    pushes::measure(pushes, layout, effort, [&gate, &checked]).await;
}

/// Two figures for the same thing and how many times better ours is.
fn compared(pair: [common::figure::Figure; 2], better: Better) -> Vec<Cell> {
    let [ours, theirs] = pair.each_ref().map(common::figure::Figure::median);
    let ratio = match better {
        Better::Lower => theirs / ours,
        Better::Higher => ours / theirs,
    };
    let [ours, theirs] = pair;
    vec![Cell::Measured(ours), Cell::Measured(theirs), Cell::Ratio(ratio)]
}

/// Which way a figure is better.
#[derive(Debug, Clone, Copy)]
enum Better {
    Lower,
    Higher,
}

/// Says what is going on: a full run takes minutes.
fn progress(what: &str) {
    println!("... {what}");
}
