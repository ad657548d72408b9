//! The command line of the drill, read by one table of flags.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::{Fault, Target};
use super::help;
use super::record::GROUPS_MAX;
use crate::cli;
use crate::ctl::client::Endpoint;
use crate::ctl::flags::{self, Flag, Split};
use crate::ctl::one_line;

/// What is to be drilled.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) endpoints: Vec<Endpoint>,
    /// Replicas that the drill starts itself.
    pub(super) local: Option<usize>,
    pub(super) faults: Vec<Fault>,
    pub(super) target: Target,
    pub(super) fault_command: Option<String>,
    pub(super) heal_command: Option<String>,
    pub(super) rounds: usize,
    pub(super) load: LoadSettings,
    /// Of the load of one round, but for the wait until the cluster is whole again.
    pub(super) duration: Duration,
    /// How long to wait for the cluster to be whole, or for a person.
    pub(super) wait: Duration,
    pub(super) replica_flags: Vec<String>,
    /// Where local replicas have their folders.
    pub(super) storage_path: PathBuf,
    pub(super) json: Option<PathBuf>,
    pub(super) html: Option<PathBuf>,
    pub(super) quiet: bool,
    pub(super) thresholds: Thresholds,
}

/// How much is pushed and scraped.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoadSettings {
    /// Pushes a second at all endpoints together.
    pub(super) rate: u32,
    /// Of each endpoint.
    pub(super) clients: usize,
    /// A second, at each endpoint.
    pub(super) scrapes: u32,
    /// How long a client waits for an answer.
    pub(super) timeout: Duration,
}

/// What makes a drill fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// The longest time without a success at the survivors.
    pub(super) gap: Duration,
    /// Pushes at survivors that were not acknowledged.
    pub(super) failed: usize,
    /// Acknowledged pushes that are not there.
    pub(super) missing: usize,
    /// Latency of pushes at survivors during the fault.
    pub(super) p99: Option<Duration>,
}

/// All flags, in the order of the help.
pub(super) static FLAGS: &[Flag<Settings>] = &[
    Flag {
        name: "--endpoint",
        short: "",
        value: "URL",
        help: "Where clients reach the cluster: `http://host:9091`, the address of a load balancer \
               or those of all replicas, separated by commas or repeated. With those of all \
               replicas the drill can tell who was away, and compares all of them. Default \
               http://localhost:9091.",
        set: |to, value| {
            for url in value.split(',').map(str::trim).filter(|url| !url.is_empty()) {
                to.endpoints.push(Endpoint::parse(url)?);
            }
            Ok(())
        },
    },
    Flag {
        name: "--local",
        short: "",
        value: "N",
        help: "Start 3, 5 or 7 replicas of this program on this machine, and drill those.",
        set: |to, value| {
            to.local = match value {
                "3" => Some(3),
                "5" => Some(5),
                "7" => Some(7),
                _ => return Err("must be 3, 5 or 7".to_owned()),
            };
            Ok(())
        },
    },
    Flag {
        name: "--fault",
        short: "",
        value: "FAULT",
        help: "What happens in each round: `transfer` hands the lead over (default for a live \
               cluster; needs --web.enable-admin-api there), `manual` asks you to kill, pause or \
               isolate a replica and notices when you have; with --local also `kill` (its default), \
               `stop`, `term`, `partition` (root and `ip`), `power-cut` (root, loop mounts, and \
               perl or python3), or `all`. Several, separated by commas: each has all rounds.",
        set: |to, value| {
            if value == "all" {
                to.faults.extend(Fault::LOCAL);
                return Ok(());
            }
            for name in value.split(',').map(str::trim) {
                to.faults.push(Fault::parse(name)?);
            }
            Ok(())
        },
    },
    Flag {
        name: "--fault-command",
        short: "",
        value: "CMD",
        help: "Have `sh -c CMD` do it. It finds QUORUMGATE_DRILL_LEADER (a name), \
               QUORUMGATE_DRILL_LEADER_ADDRESS, QUORUMGATE_DRILL_LEADER_ENDPOINT (if known), \
               QUORUMGATE_DRILL_ROUND and QUORUMGATE_DRILL_RUN in its environment.",
        set: |to, value| {
            to.fault_command = Some(not_empty(value)?);
            Ok(())
        },
    },
    Flag {
        name: "--heal-command",
        short: "",
        value: "CMD",
        help: "Have this command, with the same environment, undo it. Without one the cluster is \
               expected to heal by itself.",
        set: |to, value| {
            to.heal_command = Some(not_empty(value)?);
            Ok(())
        },
    },
    Flag {
        name: "--target",
        short: "",
        value: "WHOM",
        help: "`leader` (default) or `follower`: who the faults of --local befall.",
        set: |to, value| {
            to.target = match value {
                "leader" => Target::Leader,
                "follower" => Target::Follower,
                _ => return Err("must be leader or follower".to_owned()),
            };
            Ok(())
        },
    },
    Flag {
        name: "--rounds",
        short: "",
        value: "N",
        help: "How often. Default 1.",
        set: |to, value| {
            to.rounds = number(value, 1, 1000)?;
            Ok(())
        },
    },
    Flag {
        name: "--duration",
        short: "",
        value: "DURATION",
        help: "Of the load of one round: a fifth before the fault, half until it is healed, and \
               the rest once the cluster is whole again; that may take its own time. Default 10s.",
        set: |to, value| {
            to.duration = cli::timeout(value)?;
            let fits = to.duration >= Duration::from_secs(1);
            if fits { Ok(()) } else { Err("must be 1s at least".to_owned()) }
        },
    },
    Flag {
        name: "--rate",
        short: "",
        value: "N",
        help: "Pushes a second, at all endpoints together. A gap is measured to within the time \
               between two of them. Default 200.",
        set: |to, value| {
            to.load.rate = number(value, 1, 5000)?;
            Ok(())
        },
    },
    Flag {
        name: "--clients",
        short: "",
        value: "N",
        help: "Connections to each endpoint that push at once, at most. Default 256.",
        set: |to, value| {
            to.load.clients = number(value, 1, 1024)?;
            Ok(())
        },
    },
    Flag {
        name: "--scrapes",
        short: "",
        value: "N",
        help: "Scrapes a second of each endpoint, 0 for none but those that verify. Default 2.",
        set: |to, value| {
            to.load.scrapes = number(value, 0, 100)?;
            Ok(())
        },
    },
    Flag {
        name: "--timeout",
        short: "",
        value: "DURATION",
        help: "How long a client waits for the answer to a push or scrape. Default 5s.",
        set: |to, value| {
            to.load.timeout = cli::timeout(value)?;
            Ok(())
        },
    },
    Flag {
        name: "--wait",
        short: "",
        value: "DURATION",
        help: "How long to wait for the cluster to be whole, and for you (--fault manual). \
               Default 60s.",
        set: |to, value| {
            to.wait = cli::timeout(value)?;
            Ok(())
        },
    },
    Flag {
        name: "--replica-flag",
        short: "",
        value: "FLAG",
        help: "A flag for the replicas of --local, as --replica-flag=--cluster.election-timeout=1s. \
               May be repeated.",
        set: |to, value| {
            to.replica_flags.push(not_empty(value)?);
            Ok(())
        },
    },
    Flag {
        name: "--storage.path",
        short: "",
        value: "DIR",
        help: "Where the replicas of --local have their folders, which are removed unless the \
               drill fails. Default: the folder for temporary files. It should be on a disk.",
        set: |to, value| {
            to.storage_path = PathBuf::from(not_empty(value)?);
            Ok(())
        },
    },
    Flag {
        name: "--max-gap",
        short: "",
        value: "DURATION",
        help: "Fail when no push at the surviving replicas succeeded for longer. Default 2s.",
        set: |to, value| {
            to.thresholds.gap = cli::timeout(value)?;
            Ok(())
        },
    },
    Flag {
        name: "--max-failed",
        short: "",
        value: "N",
        help: "Fail when more pushes at surviving replicas were not acknowledged. Default 0.",
        set: |to, value| {
            to.thresholds.failed = number(value, 0, usize::MAX)?;
            Ok(())
        },
    },
    Flag {
        name: "--max-missing",
        short: "",
        value: "N",
        help: "Fail when more acknowledged pushes are missing afterwards. Default 0.",
        set: |to, value| {
            to.thresholds.missing = number(value, 0, usize::MAX)?;
            Ok(())
        },
    },
    Flag {
        name: "--max-p99",
        short: "",
        value: "DURATION",
        help: "Fail when the 99th percentile of the latency of pushes that were begun at surviving \
               replicas during the fault is longer. Default: any.",
        set: |to, value| {
            to.thresholds.p99 = Some(cli::timeout(value)?);
            Ok(())
        },
    },
    Flag {
        name: "--json",
        short: "",
        value: "FILE",
        help: "Write all figures there; `-` for standard output, in place of the table.",
        set: |to, value| {
            to.json = Some(PathBuf::from(not_empty(value)?));
            Ok(())
        },
    },
    Flag {
        name: "--html",
        short: "",
        value: "FILE",
        help: "Write a page with a timeline there; it needs no other file.",
        set: |to, value| {
            to.html = Some(PathBuf::from(not_empty(value)?));
            Ok(())
        },
    },
    Flag {
        name: "--quiet",
        short: "-q",
        value: "",
        help: "Show no progress.",
        set: |to, _| {
            to.quiet = true;
            Ok(())
        },
    },
];

fn not_empty(value: &str) -> Result<String, String> {
    if value.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(value.to_owned()) }
}

fn number<N>(value: &str, min: N, max: N) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    let number: Option<N> = value.parse().ok().filter(|number| (&min..=&max).contains(&number));
    number.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Help(String),
    Run(Box<Settings>),
}

const ENDPOINT: &str = "http://localhost:9091";

/// Reads the command line, the first word of which is `drill`.
pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let Split { words, flags, help } = flags::split(args, FLAGS).map_err(|text| one_line(&text))?;
    if help {
        return Ok(Asked::Help(help::text()));
    }
    if let Some(surplus) = words.get(1) {
        return Err(format!("unexpected {surplus:?}"));
    }
    let mut settings = Settings {
        endpoints: Vec::new(),
        local: None,
        faults: Vec::new(),
        target: Target::Leader,
        fault_command: None,
        heal_command: None,
        rounds: 1,
        load: LoadSettings { rate: 200, clients: 256, scrapes: 2, timeout: Duration::from_secs(5) },
        duration: Duration::from_secs(10),
        wait: Duration::from_mins(1),
        replica_flags: Vec::new(),
        storage_path: std::env::temp_dir(),
        json: None,
        html: None,
        quiet: false,
        thresholds: Thresholds { gap: Duration::from_secs(2), failed: 0, missing: 0, p99: None },
    };
    for (flag, value) in &flags {
        flag.apply(&mut settings, value).map_err(|text| one_line(&text))?;
    }
    settings.complete()?;
    Ok(Asked::Run(Box::new(settings)))
}

impl Settings {
    /// Fills in what follows from the rest, and refuses what does not go together.
    fn complete(&mut self) -> Result<(), String> {
        if self.local.is_some() && !self.endpoints.is_empty() {
            return Err("either --local or --endpoint: local replicas have their own".to_owned());
        }
        if self.local.is_none() && self.endpoints.is_empty() {
            self.endpoints.push(Endpoint::parse(ENDPOINT)?);
        }
        if self.fault_command.is_some() {
            if self.faults.iter().any(|fault| *fault != Fault::Command) {
                return Err("either --fault or --fault-command".to_owned());
            }
            self.faults = vec![Fault::Command];
        }
        if self.faults.is_empty() {
            let default = if self.local.is_some() { Fault::Kill } else { Fault::Transfer };
            self.faults.push(default);
        }
        self.check_faults()?;
        // Each push has a group of its own, and its value tells the round, too.
        let seconds = (self.duration + self.wait * 2).as_secs();
        if seconds.saturating_mul(self.load.rate.into()) > GROUPS_MAX {
            return Err(format!(
                "--rate times --duration and twice --wait makes more than {GROUPS_MAX} pushes in a \
                 round: lower one of them"
            ));
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), String> {
        for fault in &self.faults {
            let name = fault.name();
            if fault.needs_local() && self.local.is_none() {
                return Err(format!(
                    "--fault {name} is for --local; use --fault-command or --fault manual here"
                ));
            }
            if fault.is_foreign() && self.local.is_some() {
                return Err(format!("--fault {name} is for a live cluster, not for --local"));
            }
            if *fault == Fault::Command && self.fault_command.is_none() {
                return Err("--fault command needs --fault-command".to_owned());
            }
        }
        if self.heal_command.is_some() && self.fault_command.is_none() {
            return Err("--heal-command needs --fault-command".to_owned());
        }
        if self.local.is_none() && !self.replica_flags.is_empty() {
            return Err("--replica-flag is for --local".to_owned());
        }
        Ok(())
    }

    /// What the endpoints are called.
    pub(super) fn kind(&self) -> &'static str {
        if self.local.is_some() { "local" } else { "live" }
    }
}
