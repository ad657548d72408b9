//! Tries to break quorumgate as Jepsen would.

mod checkers;
mod client;
mod history;
mod selftest;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    selftest::run(&args)
}
