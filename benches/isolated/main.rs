//! The pure parts by themselves: parsing, preparing and applying pushes, rendering scrapes.
//!
//! One thread, no disk, no network. Every figure is the median of a few repetitions. Without
//! `--bench`, which `cargo bench` passes, it does nothing; `--quick` only shows that it works.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark stops at the first thing that is wrong, prints, and divides counts"
)]

mod apply;
mod parse;
mod render;
mod state;
mod timing;

#[expect(dead_code, reason = "all of it is measured, always")]
#[path = "../common/mod.rs"]
mod common;

use common::table::{Table, write_json};
use common::{Effort, bench_folder};

// As in the program, so that allocations cost here what they cost there.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let Some(effort) = Effort::from_args() else {
        println!("nothing measured: run `make bench`");
        return;
    };
    let tables = [parse::measure(effort), apply::measure(effort), render::measure(effort)];
    tables.iter().for_each(Table::print);
    let about = serde_json::json!({ "effort": format!("{effort:?}").to_lowercase() });
    write_json(&bench_folder().join("isolated.json"), &about, &tables);
}
