//! Tries to break quorumgate as Jepsen would: see README.md in this folder.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a harness that cannot go on stops, and its guard cleans up"
)]

mod args;
mod artifacts;
mod checkers;
mod client;
mod disk;
mod history;
mod ledger;
mod nemesis;
mod place;
mod places;
mod plans;
mod replica;
mod run;
mod schedule;
mod selftest;
mod suites;
mod tools;
mod watch;
mod workload;
mod world;

use std::process::ExitCode;

use args::Command;
use place::{alter, sweep};
use tools::say;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let good = match Command::parse(&args) {
        Ok(command) => obey(command),
        Err(why) => {
            say(&why);
            return ExitCode::from(2);
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn obey(command: Command) -> bool {
    match command {
        Command::SelfTest(args) => selftest::run(&args),
        Command::Guard(pid) => {
            sweep::guard(pid);
            true
        }
        Command::Alter(shape) => alter::alter(&shape),
        Command::List => suites::list(),
        Command::Check(path) => run::check(&path).unwrap_or_else(|err| {
            say(&format!("{}: {err}", path.display()));
            false
        }),
        other => {
            sweep::sweep_leftovers();
            let guard = sweep::Guard::start();
            let good = suites::make(other);
            drop(guard);
            good
        }
    }
}
