//! What can be done to a cluster in a drill.

/// A fault, and with it who causes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The lead is handed over through the admin API.
    Transfer,
    /// A person does something.
    Manual,
    /// A command of the operator does something.
    Command,
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT to heal.
    Stop,
    /// SIGTERM.
    Term,
    /// The replica and the others do not reach each other; its clients reach it.
    Partition,
    /// What its disk was not told to keep is gone.
    PowerCut,
}

impl Fault {
    /// All that the drill does by itself to replicas that it has started.
    pub(super) const LOCAL: [Fault; 6] =
        [Fault::Kill, Fault::Stop, Fault::Term, Fault::Partition, Fault::PowerCut, Fault::Transfer];

    const ALL: [Fault; 8] = [
        Fault::Transfer,
        Fault::Manual,
        Fault::Command,
        Fault::Kill,
        Fault::Stop,
        Fault::Term,
        Fault::Partition,
        Fault::PowerCut,
    ];

    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::Transfer => "transfer",
            Fault::Manual => "manual",
            Fault::Command => "command",
            Fault::Kill => "kill",
            Fault::Stop => "stop",
            Fault::Term => "term",
            Fault::Partition => "partition",
            Fault::PowerCut => "power-cut",
        }
    }

    /// What happens, in words.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Fault::Transfer => "the leader hands the lead over",
            Fault::Manual => "the operator does something to a replica",
            Fault::Command => "a command does something to a replica",
            Fault::Kill => "kill -9 of a replica, and a new start",
            Fault::Stop => "a replica is frozen (SIGSTOP), and goes on",
            Fault::Term => "a replica stops in order (SIGTERM), and starts again",
            Fault::Partition => "a replica and the others do not reach each other",
            Fault::PowerCut => "a replica loses power, and all that its disk was not told to keep",
        }
    }

    /// The fault of that name.
    pub(super) fn parse(name: &str) -> Result<Fault, String> {
        let names = || Fault::ALL.map(Fault::name).join(", ");
        let found = Fault::ALL.into_iter().find(|fault| fault.name() == name);
        found.ok_or_else(|| format!("must be one of {}, or all", names()))
    }

    /// Whether it takes a replica that the drill itself has started.
    pub(super) fn needs_local(self) -> bool {
        Fault::LOCAL.contains(&self) && self != Fault::Transfer
    }

    /// Whether somebody else causes it, so that the drill has to look for who is away.
    pub(super) fn is_foreign(self) -> bool {
        matches!(self, Fault::Manual | Fault::Command)
    }

    /// Whether a replica is away until it is healed.
    pub(super) fn holds(self) -> bool {
        self != Fault::Transfer
    }
}

/// Who it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Leader,
    Follower,
}

impl Target {
    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Target::Leader => "leader",
            Target::Follower => "follower",
        }
    }
}
