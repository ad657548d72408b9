//! What the command line asks for.

use std::path::PathBuf;

use crate::plans::{self, Plan};
use crate::workload::Kind;

/// What is to be done.
pub(crate) enum Command {
    /// Nothing of ours was named: the self tests, with whatever the test runner passes on.
    SelfTest(Vec<String>),
    /// Cleans up after a process once that is gone.
    Guard(u32),
    /// Alters packets in the namespace that it is started in.
    Alter(String),
    List,
    Short {
        seed: Option<u64>,
    },
    Each {
        seed: Option<u64>,
        seconds: u64,
    },
    /// A crash at each place of a first start.
    FirstStarts {
        seed: Option<u64>,
    },
    Soak {
        seed: Option<u64>,
        hours: f64,
    },
    Run(Choice),
    /// Deliberate bugs: those named, or all.
    Ledger {
        bugs: Vec<String>,
        seed: Option<u64>,
    },
    Check(PathBuf),
    Replay(PathBuf),
}

/// One run, by name.
pub(crate) struct Choice {
    pub(crate) plan: &'static Plan,
    pub(crate) kind: Kind,
    pub(crate) seed: Option<u64>,
    pub(crate) seconds: u64,
    pub(crate) replicas: usize,
}

const USAGE: &str = "\
usage: cargo test [--release] --test jepsen-like -- COMMAND
  list                                  the nemeses and the workloads
  short [--seed N]                      the most productive faults, at most 4 minutes
  run --nemesis NAME [--workload NAME] [--seed N] [--seconds N] [--replicas 3|5]
  each [--seed N] [--seconds N]         every nemesis on its own
  first-starts [--seed N]               crashes at each place of a first start, with `trials`
  soak --hours N [--seed N]             overlapping faults, one seed after the other
  ledger [--bug NAME]... [--seed N]     every deliberate bug, with the feature `trials`
  check --history FILE-OR-FOLDER        judges what an earlier run has left
  replay --schedule FILE                makes the same run again
without a command: the tests of the checkers";

const COMMANDS: [&str; 11] = [
    "guard",
    "alter",
    "list",
    "short",
    "run",
    "each",
    "first-starts",
    "soak",
    "ledger",
    "check",
    "replay",
];

impl Command {
    pub(crate) fn parse(args: &[String]) -> Result<Command, String> {
        let named = args.first().filter(|first| COMMANDS.contains(&first.as_str()));
        let Some(command) = named else { return Ok(Command::SelfTest(args.to_vec())) };
        if command == "guard" {
            let pid = args.get(1).and_then(|pid| pid.parse().ok());
            return Ok(Command::Guard(pid.ok_or(USAGE)?));
        }
        if command == "alter" {
            return Ok(Command::Alter(args.get(1).ok_or(USAGE)?.clone()));
        }
        let options = Options::parse(&args[1..])?;
        let seed = options.number("seed")?;
        Ok(match command.as_str() {
            "list" => Command::List,
            "short" => Command::Short { seed },
            "each" => Command::Each { seed, seconds: options.number("seconds")?.unwrap_or(20) },
            "first-starts" => Command::FirstStarts { seed },
            "soak" => {
                let hours = options.get("hours").and_then(|hours| hours.parse().ok());
                Command::Soak { seed, hours: hours.ok_or("soak needs --hours")? }
            }
            "ledger" => Command::Ledger { bugs: options.all("bug"), seed },
            "run" => Command::Run(options.choice(seed)?),
            "check" => Command::Check(options.path("history")?),
            _ => Command::Replay(options.path("schedule")?),
        })
    }
}

/// Pairs of `--name value` or `--name=value`.
struct Options(Vec<(String, String)>);

impl Options {
    fn parse(args: &[String]) -> Result<Options, String> {
        let mut pairs = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let name = arg.strip_prefix("--").ok_or_else(|| format!("{arg}?\n{USAGE}"))?;
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (name, args.next().ok_or_else(|| format!("{arg} needs a value"))?.clone()),
            };
            let known = [
                "seed", "seconds", "hours", "nemesis", "workload", "replicas", "history",
                "schedule", "bug",
            ];
            if !known.contains(&name) {
                return Err(format!("--{name}?\n{USAGE}"));
            }
            pairs.push((name.to_owned(), value));
        }
        Ok(Options(pairs))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let value = self.get(name).map(str::parse).transpose();
        value.map_err(|_| format!("--{name} needs a number"))
    }

    fn path(&self, name: &str) -> Result<PathBuf, String> {
        self.get(name).map(PathBuf::from).ok_or_else(|| format!("--{name} is missing\n{USAGE}"))
    }

    fn choice(&self, seed: Option<u64>) -> Result<Choice, String> {
        let name = self.get("nemesis").ok_or_else(|| format!("--nemesis is missing\n{USAGE}"))?;
        let plan = plans::named(name).ok_or_else(|| format!("no nemesis {name}: see `list`"))?;
        let workload = self.get("workload").unwrap_or("puts");
        let kind = Kind::from_name(workload).ok_or_else(|| format!("no workload {workload}"))?;
        let replicas = self.number("replicas")?.unwrap_or(plan.replicas as u64);
        if ![3, 5].contains(&replicas) || replicas < plan.replicas as u64 {
            return Err(format!("{name} cannot be had among {replicas} replicas"));
        }
        let seconds = self.number("seconds")?.unwrap_or(30);
        let replicas = usize::try_from(replicas).unwrap();
        Ok(Choice { plan, kind, seed, seconds, replicas })
    }
}
