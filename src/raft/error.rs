//! Why a replica cannot serve a request, or cannot run.

use std::time::Duration;

use crate::storage;

/// The replica cannot take the request now. The text is what the client reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unavailable {
    /// Not decided within the request's deadline; whether it takes effect is unknown.
    #[error(
        "not committed within the deadline; it is unknown whether it will take effect: retry with the same Idempotency-Key ({0})"
    )]
    Timeout(String),
    /// No leader that a quorum follows, within the request's deadline; nothing was proposed.
    #[error("no quorum: {0}")]
    NoQuorum(String),
    /// The replica does not belong to a cluster yet; nothing was proposed.
    #[error("this replica is not part of a cluster yet: {0}")]
    Starting(String),
    /// What this replica has is older than the reader accepts.
    #[error("{}, and {max:?} is accepted (max_staleness)", staleness(*.age))]
    TooStale { age: Option<Duration>, max: Duration },
    /// The replica is stopping; nothing was proposed.
    #[error("this replica is shutting down")]
    ShuttingDown,
    /// Too little disk space to promise durability; nothing was proposed.
    #[error(
        "disk nearly full: {free} bytes free, {needed} needed (--limits.disk-free-bytes); free some space, deletes are still accepted"
    )]
    DiskFull { free: u64, needed: u64 },
    /// The replica has failed and is about to exit; whether the request takes effect is unknown.
    #[error("this replica has failed, and it is unknown whether the request took effect: {0}")]
    Fatal(String),
}

fn staleness(age: Option<Duration>) -> String {
    match age {
        Some(age) => format!("the state of this replica may be {} ms old", age.as_millis()),
        None => "how old the state of this replica is cannot be told".to_owned(),
    }
}

impl Error {
    /// Whether the disk works but what is on it cannot be trusted.
    pub(crate) fn is_distrust(&self) -> bool {
        match self {
            Error::Untrusted(_) => true,
            Error::Storage(err) => err.kind == storage::Kind::Damaged,
            Error::Decode { .. } | Error::Thread { .. } | Error::Raft(_) | Error::Stuck(_) => false,
        }
    }
}

/// The replica cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A failure of the disk or of what is on it.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The disk's parts do not add up to a state that can be trusted.
    #[error("{0}")]
    Untrusted(String),
    /// An internal encoding on disk does not decode.
    #[error("cannot convert {what}: {source}")]
    Decode { what: &'static str, source: std::io::Error },
    /// A thread cannot be started.
    #[error("cannot start a thread: {source}")]
    Thread { source: std::io::Error },
    /// Raft stopped by itself.
    #[error("raft has stopped: {0}")]
    Raft(String),
    /// The log could not be closed in time.
    #[error(
        "the raft log was not closed within {0:?}: the disk does not answer; what was acknowledged is on disk: see to the disk, then start again"
    )]
    Stuck(Duration),
}
