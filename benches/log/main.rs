//! The log by itself: entries that are durable when they are confirmed, beside the least that a
//! disk asks for.
//!
//! Each appender waits until its entry is durable before it appends the next, as a push does. The
//! bare loop writes the same bytes to a file of the same file system, one record or one group of
//! records a sync, and takes turns with the log at every repetition. Every figure is the median of
//! a few repetitions, and so is every ratio. Without `--bench`, which `cargo bench` passes, it does nothing; `--quick` only
//! shows that it works.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark stops at the first thing that is wrong, prints, and divides counts"
)]

mod appenders;
#[path = "../common/bare.rs"]
mod bare;

#[expect(dead_code, reason = "here is nothing to push")]
#[path = "../common/mod.rs"]
mod common;

use std::time::Duration;

use common::figure::Figure;
use common::table::{Cell, Table, write_json};
use common::{Effort, bench_folder};

// As in the program, so that allocations cost here what they cost there.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const APPENDERS: [usize; 4] = [1, 16, 64, 256];
/// Bytes of an entry, and of a record of the bare loop.
const ENTRY_BYTES: usize = 1024;
/// Repetitions of each measurement; one more before them is not counted.
const REPETITIONS: usize = 9;

fn main() {
    let Some(effort) = Effort::from_args() else {
        println!("nothing measured: run `make bench`");
        return;
    };
    let table = measure(effort);
    table.print();
    let about = serde_json::json!({ "effort": format!("{effort:?}").to_lowercase() });
    write_json(&bench_folder().join("log.json"), &about, &[table]);
}

fn measure(effort: Effort) -> Table {
    let mut table = Table::new(
        "Durable entries of 1 KiB in the log, beside a bare loop of append and fdatasync",
        &[
            "entries/s",
            "p50 ms",
            "entries a sync",
            "bare, 1 a sync",
            "of bare",
            "bare, grouped",
            "of grouped",
        ],
    );
    let duration = Duration::from_secs_f64(effort.pick(0.05, 0.4));
    let folder = bench_folder().join("data").join(format!("log-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for appenders in APPENDERS {
        let mut figures: [Figure; 5] = Default::default();
        let mut ratios: [Figure; 2] = Default::default();
        for repetition in 0..=REPETITIONS {
            let ours = appenders::run(&folder.join("log"), appenders, duration);
            let single = bare::run(&folder.join("bare"), ENTRY_BYTES, 1, duration);
            let grouped = bare::run(&folder.join("bare"), ENTRY_BYTES, appenders, duration);
            // The first time is for the file system and the heap to settle.
            if repetition > 0 {
                let values = [ours.per_second, ours.p50_ms, ours.group, single, grouped];
                std::iter::zip(&mut figures, values).for_each(|(figure, value)| figure.add(value));
                // Of neighbours in time: a disk that others use, too, has better and worse moments.
                ratios[0].add(ours.per_second / single);
                ratios[1].add(ours.per_second / grouped);
            }
        }
        let [per_second, p50_ms, group, single, grouped] = figures.map(Cell::Measured);
        let [of_single, of_grouped] = ratios.map(|ratio| Cell::Ratio(ratio.median()));
        let plural = if appenders == 1 { "" } else { "s" };
        table.row(
            format!("{appenders} appender{plural}"),
            vec![per_second, p50_ms, group, single, of_single, grouped, of_grouped],
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
    table
}
