//! The command line of the tools, read by one table of verbs and one of flags.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::client::Endpoint;
use super::flags::{self, Flag, Given, Split};
use super::help;
use crate::cli;

/// What a verb does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Status,
    Members,
    /// Asks for a change of the membership.
    Change(Change),
    Digest,
    Save,
    Inspect,
    Restore,
    Recover,
}

/// A request of the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: &'static str,
    /// The parameter that the operand becomes.
    pub(super) parameter: &'static str,
    /// What is said when it is done; `{}` is the operand.
    pub(super) done: &'static str,
    /// The same without an operand.
    pub(super) done_bare: &'static str,
}

/// A verb: its words, its operand, its flags beside those that all of its kind have.
pub(super) struct Verb {
    pub(super) words: &'static str,
    pub(super) operand: Operand,
    pub(super) flags: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) examples: &'static [&'static str],
    pub(super) action: Action,
}

/// What follows the words of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    None,
    One(&'static str),
    Maybe(&'static str),
}

const ONLINE: &[&str] = &["--endpoint", "--timeout", "--output"];

/// All verbs, in the order of the help.
pub(super) static VERBS: &[Verb] = &[
    Verb {
        words: "ctl status",
        operand: Operand::None,
        flags: ONLINE,
        help: "Show the cluster as one replica sees it. Exit code 3 when it is not healthy, that \
               is when no quorum follows a leader.",
        examples: &["ctl status", "ctl status --endpoint http://a:9091,http://b:9091 -o json"],
        action: Action::Status,
    },
    Verb {
        words: "ctl member list",
        operand: Operand::None,
        flags: ONLINE,
        help: "List the members.",
        examples: &["ctl member list"],
        action: Action::Members,
    },
    Verb {
        words: "ctl member add",
        operand: Operand::One("ADDRESS"),
        flags: ONLINE,
        help: "Take in the replica that waits at this address (its --cluster.advertise-address). \
               It becomes a voter by itself once it has caught up. Needs --web.enable-admin-api.",
        examples: &["ctl member add gate-3:9092"],
        action: Action::Change(Change {
            path: "/api/v1/admin/member/add",
            parameter: "address",
            done: "added {}: it becomes a voter once it has caught up",
            done_bare: "",
        }),
    },
    Verb {
        words: "ctl member remove",
        operand: Operand::One("NAME-OR-ID"),
        flags: ONLINE,
        help: "Take a member out, dead or alive. Refused when the rest would have no quorum. Needs \
               --web.enable-admin-api.",
        examples: &["ctl member remove gate-2", "ctl member remove 5a0c6ae1f3b2d907"],
        action: Action::Change(Change {
            path: "/api/v1/admin/member/remove",
            parameter: "member",
            done: "removed {}",
            done_bare: "",
        }),
    },
    Verb {
        words: "ctl member promote",
        operand: Operand::One("NAME-OR-ID"),
        flags: ONLINE,
        help: "Make a learner a voter now. Refused while it does not answer or has not caught up. \
               Needs --web.enable-admin-api.",
        examples: &["ctl member promote gate-3"],
        action: Action::Change(Change {
            path: "/api/v1/admin/member/promote",
            parameter: "member",
            done: "{} is a voter",
            done_bare: "",
        }),
    },
    Verb {
        words: "ctl leader transfer",
        operand: Operand::Maybe("NAME-OR-ID"),
        flags: ONLINE,
        help: "Hand the lead to this voter, or to the one that knows most. Needs \
               --web.enable-admin-api.",
        examples: &["ctl leader transfer", "ctl leader transfer gate-1"],
        action: Action::Change(Change {
            path: "/api/v1/admin/leader/transfer",
            parameter: "member",
            done: "{} leads",
            done_bare: "another voter leads",
        }),
    },
    Verb {
        words: "ctl snapshot save",
        operand: Operand::One("FILE"),
        flags: ONLINE,
        help: "Write all that is stored to a file, not older than any push acknowledged before. \
               The file is verified before it gets its name. Needs --web.enable-admin-api.",
        examples: &["ctl snapshot save backup.snapshot"],
        action: Action::Save,
    },
    Verb {
        words: "ctl snapshot inspect",
        operand: Operand::One("FILE"),
        flags: &["--output"],
        help: "Verify a snapshot file from its first byte to its last, and show what is in it.",
        examples: &["ctl snapshot inspect backup.snapshot -o json"],
        action: Action::Inspect,
    },
    Verb {
        words: "ctl snapshot restore",
        operand: Operand::One("FILE"),
        flags: &["--storage.path", "--cluster.name", "--force", "--output"],
        help: "Make an empty storage folder that of a replica whose state is the file's: the only \
               member of a new cluster. Start it with the usual flags, and let others join.",
        examples: &["ctl snapshot restore backup.snapshot --storage.path data"],
        action: Action::Restore,
    },
    Verb {
        words: "ctl digest",
        operand: Operand::None,
        flags: ONLINE,
        help: "Compare the state of all replicas at the same applied index. Exit code 4 when any \
               two disagree, 3 when some could not be compared within --timeout. One endpoint is \
               enough when nothing is pushed meanwhile; else give those of all replicas.",
        examples: &["ctl digest", "ctl digest --endpoint http://a:9091,http://b:9091"],
        action: Action::Digest,
    },
    Verb {
        words: "recover",
        operand: Operand::None,
        flags: &["--storage.path", "--force-new-cluster", "--output"],
        help: "For a cluster that has lost its quorum for good: make one stopped replica's folder \
               a new cluster of its own, with all that its log holds. Pushes that only the others \
               had are lost, and some that were never acknowledged may appear. Without \
               --force-new-cluster it only shows what is there.",
        examples: &[
            "recover --storage.path data",
            "recover --force-new-cluster --storage.path data",
        ],
        action: Action::Recover,
    },
];

/// All flags, in the order of the help.
pub(super) static FLAGS: &[Flag<Invocation>] = &[
    Flag {
        name: "--endpoint",
        short: "",
        value: "URL",
        help: "Where a replica serves: `http://host:9091`, with its route prefix if it has one. \
               Several, separated by commas or repeated: the next is tried when one does not \
               answer. Default http://localhost:9091.",
        set: |to, value| {
            for url in value.split(',').map(str::trim).filter(|url| !url.is_empty()) {
                to.endpoints.push(Endpoint::parse(url)?);
            }
            Ok(())
        },
    },
    Flag {
        name: "--timeout",
        short: "",
        value: "DURATION",
        help: "How long an endpoint may take to answer, and between two pieces of an answer. \
               Default 15s.",
        set: |to, value| {
            to.timeout = cli::timeout(value)?;
            Ok(())
        },
    },
    Flag {
        name: "--storage.path",
        short: "",
        value: "DIR",
        help: "The storage folder, as the server's flag of that name.",
        set: |to, value| {
            to.storage_path = PathBuf::from(value);
            if value.is_empty() { Err("must not be empty".to_owned()) } else { Ok(()) }
        },
    },
    Flag {
        name: "--cluster.name",
        short: "",
        value: "NAME",
        help: "What the replica is called. Default: as the machine.",
        set: |to, value| {
            to.name = Some(value.to_owned()).filter(|name| !name.is_empty());
            Ok(())
        },
    },
    Flag {
        name: "--force",
        short: "",
        value: "",
        help: "Set aside what the folder holds, instead of refusing.",
        set: |to, _| {
            to.force = true;
            Ok(())
        },
    },
    Flag {
        name: "--force-new-cluster",
        short: "",
        value: "",
        help: "Yes, the quorum is gone for good.",
        set: |to, _| {
            to.force_new_cluster = true;
            Ok(())
        },
    },
    Flag {
        name: "--output",
        short: "-o",
        value: "FORMAT",
        help: "`table` (the default) or `json`.",
        set: |to, value| {
            to.json = match value {
                "table" => false,
                "json" => true,
                _ => return Err("must be table or json".to_owned()),
            };
            Ok(())
        },
    },
];

/// What is to be done.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) action: Action,
    /// The operand, empty if there is none.
    pub(super) operand: String,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) timeout: Duration,
    pub(super) json: bool,
    pub(super) storage_path: PathBuf,
    pub(super) name: Option<String>,
    pub(super) force: bool,
    pub(super) force_new_cluster: bool,
}

const TIMEOUT: Duration = Duration::from_secs(15);
const ENDPOINT: &str = "http://localhost:9091";

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Help(String),
    Run(Box<Invocation>),
}

/// Why the command line cannot be followed.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) text: String,
    /// The command line that helps.
    pub(super) help: String,
}

/// Reads the command line, without the program's name.
pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Asked, Usage> {
    let usage = |text: String, words: &str| Usage {
        text: super::one_line(&text),
        help: format!("quorumgate {words} --help"),
    };
    let Split { words, flags, help } =
        flags::split(args, FLAGS).map_err(|text| usage(text, "ctl"))?;
    let verb = VERBS.iter().find(|verb| is_prefix(verb.words, &words));
    let Some(verb) = verb else {
        let known = VERBS.iter().any(|verb| is_prefix(&words.join(" "), &split_words(verb.words)));
        let known = known.then(|| words.join(" "));
        if help {
            return Ok(Asked::Help(help::of_group(known.as_deref().unwrap_or("ctl"))));
        }
        let text = match known {
            Some(group) => format!("{group:?} needs a command"),
            None => format!("unknown command {:?}", words.join(" ")),
        };
        return Err(usage(text, "ctl"));
    };
    if help {
        return Ok(Asked::Help(help::of_verb(verb)));
    }
    let invocation = invocation(verb, &words, &flags).map_err(|text| usage(text, verb.words))?;
    Ok(Asked::Run(Box::new(invocation)))
}

fn split_words(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}

/// Whether `words` begin with those of `prefix`.
fn is_prefix(prefix: &str, words: &[String]) -> bool {
    let mut words = words.iter();
    prefix.split(' ').all(|word| words.next().is_some_and(|given| given == word))
}

fn invocation(
    verb: &Verb,
    words: &[String],
    flags: &[Given<Invocation>],
) -> Result<Invocation, String> {
    let operands = words.get(verb.words.split(' ').count()..).unwrap_or_default();
    let operand = match (verb.operand, operands) {
        (Operand::None | Operand::Maybe(_), []) => String::new(),
        (Operand::One(_) | Operand::Maybe(_), [one]) if !one.is_empty() => one.clone(),
        (Operand::One(name), [] | [_]) => {
            return Err(format!("`{}` needs an operand: {name}", verb.words));
        }
        (_, [.., surplus]) => return Err(format!("unexpected {surplus:?}")),
    };
    let mut invocation = Invocation {
        action: verb.action,
        operand,
        endpoints: Vec::new(),
        timeout: TIMEOUT,
        json: false,
        storage_path: PathBuf::new(),
        name: None,
        force: false,
        force_new_cluster: false,
    };
    for (flag, value) in flags {
        if !verb.flags.contains(&flag.name) {
            return Err(format!("`{}` has no flag {}", verb.words, flag.name));
        }
        flag.apply(&mut invocation, value)?;
    }
    if verb.flags.contains(&"--storage.path") && invocation.storage_path.as_os_str().is_empty() {
        return Err("--storage.path is missing".to_owned());
    }
    if invocation.endpoints.is_empty() {
        invocation.endpoints.push(Endpoint::parse(ENDPOINT)?);
    }
    Ok(invocation)
}
