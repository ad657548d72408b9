//! Tries to break quorumgate as Jepsen would.

mod checkers;
mod history;
mod workload;

fn main() {}
