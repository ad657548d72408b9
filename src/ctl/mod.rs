//! The operators' tools: `quorumgate ctl …` asks replicas over HTTP, `quorumgate recover` and some
//! verbs of `ctl` work on files while no replica runs.
//!
//! Promises: what goes wrong is one line on standard error and an exit code; a verb that was sent to
//! a replica and may have been followed is not sent to another one; nothing is deleted, and no file
//! gets its name before it is whole and durable. Must never do: print or exit by itself, or look at
//! the environment.

mod args;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod digest;
pub(crate) mod flags;
pub(crate) mod help;
mod recover;
mod snapshot;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};

use self::args::{Action, Asked, Invocation};
use crate::raft::offline;

/// What the process says, and its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// 0 done; 1 failed or refused; 2 bad usage; 3 the cluster is not as it should be; 4 replicas
    /// disagree.
    pub code: u8,
}

/// Whether the first argument asks for one of these tools.
pub fn is_command(first: &OsStr) -> bool {
    first == "ctl" || first == "recover"
}

/// Does what the arguments say, the first of which is one of [`is_command`].
pub fn run(args: impl Iterator<Item = OsString>) -> Answer {
    match args::parse(args) {
        Ok(Asked::Help(out)) => Answer { out, err: String::new(), code: 0 },
        Ok(Asked::Run(invocation)) => follow(&invocation),
        Err(usage) => {
            let err = format!("quorumgate: error: {}, try {}\n", usage.text, usage.help);
            Answer { out: String::new(), err, code: 2 }
        }
    }
}

fn follow(asked: &Invocation) -> Answer {
    let done = match asked.action {
        Action::Inspect => snapshot::inspect(asked),
        Action::Restore => snapshot::restore(asked),
        Action::Recover => recover::recover(asked),
        _ => online(asked),
    };
    match done {
        Ok(Done { out, remark }) => {
            let (err, code) = match remark {
                None => (String::new(), 0),
                Some((code, text)) => (format!("quorumgate: {text}\n"), code),
            };
            Answer { out, err, code }
        }
        Err(failure) => {
            let err = format!("quorumgate: error: {}\n", one_line(&failure.to_string()));
            Answer { out: String::new(), err, code: 1 }
        }
    }
}

fn online(asked: &Invocation) -> Result<Done, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Failure::Here(err.to_string()))?;
    runtime.block_on(async {
        match &asked.action {
            Action::Status => cluster::status(asked).await,
            Action::Members => cluster::members(asked).await,
            Action::Change(change) => cluster::change(asked, change).await,
            Action::Digest => digest::digest(asked).await,
            _ => snapshot::save(asked).await,
        }
    })
}

/// What was done.
struct Done {
    out: String,
    /// An exit code other than 0, and why.
    remark: Option<(u8, String)>,
}

impl Done {
    fn well(out: String) -> Done {
        Done { out, remark: None }
    }

    fn but(out: String, code: u8, why: &str) -> Done {
        Done { out, remark: Some((code, one_line(why))) }
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No endpoint answered.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// It may have been done.
    #[error("{0}; it is unknown whether it was done: look at `quorumgate ctl status`")]
    Unknown(String),
    /// A replica refused.
    #[error("{endpoint}: {text}")]
    Refused { endpoint: String, text: String },
    /// It failed on this side.
    #[error("{0}")]
    Here(String),
    /// A file or folder is not as it should be.
    #[error(transparent)]
    Offline(#[from] offline::Error),
}

/// Keeps a text on one line, whoever wrote it.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(['\n', '\r']).map(str::trim).collect();
    words.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// An id of a cluster, as everywhere else.
fn cluster_id(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}
