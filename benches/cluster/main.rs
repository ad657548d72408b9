//! Three replicas of quorumgate beside three members of etcd: whole processes, in one run, in turns.
//!
//! Both are durable, on the same disk and over loopback, with the timing that they have by default.
//! Clients run in this process and share the processors. See `docs/performance.md`.
//!
//! Without `--bench`, which `cargo bench` passes, it does nothing; `--quick` only shows that it
//! works. To try something: `--only=reads,pushes,steady,failover`; `--rows=TEXT` for the pushes and
//! faults whose row has this in its name; `--rounds=50` goes through each fault so many times;
//! `--gate=FLAG` is a flag for our replicas, as
//! `--gate=--cluster.election-timeout=400ms`; `--beside=PATH` measures another quorumgate in etcd's
//! place, with the flags given by `--beside-gate=FLAG`.

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
mod etcd;
mod failover;
mod http;
mod load;
mod pushes;
mod reads;
mod steady;
mod trio;

#[expect(dead_code, reason = "bodies are made to a size here")]
#[path = "../common/mod.rs"]
mod common;

#[expect(dead_code, reason = "replicas are never idle")]
#[path = "../servers/mod.rs"]
mod servers;

use std::path::PathBuf;
use std::process::Command;

use common::figure::Figure;
use common::table::{Cell, Table, write_json};
use common::{Effort, bench_folder, values};
use servers::machine;
use trio::{Program, Trio};

fn main() {
    let Some(effort) = Effort::from_args() else {
        println!("nothing measured: run `make bench-cluster`");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gate = PathBuf::from(env!("CARGO_BIN_EXE_quorumgate"));
    let gate = Program::Gate { path: gate, flags: values("gate") };
    let (peer, name) = beside();
    let about = machine::describe(effort, &name);
    println!("{}", machine::summary(&about));
    let tables = runtime.block_on(measure([gate, peer], effort));
    println!();
    tables.iter().for_each(Table::print);
    write_json(&bench_folder().join("cluster.json"), &about, &tables);
}

/// What is measured beside us, and how it is called.
fn beside() -> (Program, String) {
    if let Some(path) = values("beside").pop() {
        let flags = values("beside-gate");
        let name = format!("{path} {}", flags.join(" "));
        return (Program::Gate { path: path.into(), flags }, name);
    }
    let path = bench_folder().with_file_name("test-deps").join("etcd/usr/bin/etcd");
    assert!(path.exists(), "etcd is missing: run `make test-deps` first");
    let said = Command::new(&path).arg("--version").output().unwrap().stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let version = said.split_whitespace().nth(2).unwrap_or_default();
    (Program::Etcd { path }, format!("etcd {version}"))
}

async fn measure(programs: [Program; 2], effort: Effort) -> Vec<Table> {
    let only = values("only").join(",");
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|wanted| wanted == part);
    let [ours, theirs] = programs;
    let mut pair = [Trio::start(ours, "gate"), Trio::start(theirs, "beside")];
    let mut tables = Vec::new();
    // First, while nothing else is stored.
    if wanted("reads") {
        progress("linearizable reads");
        tables.push(reads::measure(&pair, effort).await);
    }
    if wanted("pushes") {
        progress("pushes");
        tables.push(pushes::measure(&pair, effort, &values("rows")).await);
    }
    if wanted("steady") {
        progress("steady load");
        tables.push(steady::measure(&pair, effort).await);
    }
    if wanted("failover") {
        progress("failover");
        tables.push(failover::measure(&mut pair, effort, &values("rows")).await);
    }
    tables
}

/// Which way a figure is better.
#[derive(Debug, Clone, Copy)]
enum Better {
    Lower,
    Higher,
}

/// How many times better ours is, and the two figures.
fn compared(pair: [Figure; 2], better: Better) -> Vec<Cell> {
    let [ours, theirs] = pair.each_ref().map(Figure::median);
    let ratio = match better {
        Better::Lower => theirs / ours,
        Better::Higher => ours / theirs,
    };
    let [ours, theirs] = pair.map(Cell::Measured);
    vec![Cell::Ratio(ratio), ours, theirs]
}

/// Says what is going on: a full run takes half an hour.
fn progress(what: &str) {
    println!("... {what}");
}
