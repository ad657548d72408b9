//! Tries to break quorumgate as Jepsen would.

mod checkers;
mod client;
mod history;
mod workload;

fn main() {}
