//! The replica: openraft, and what binds it to the state machine, the disk and the edges.
//!
//! Promises: a change is acknowledged only when a quorum has it on disk; a read is never older than
//! any change acknowledged before it began; a change takes effect at most once however often it is
//! proposed; a replica that cannot trust its disk does not take part.
//!
//! Never: does this layer let anything above it see openraft, nor does it block the async runtime
//! on a disk. It is the only place that names openraft.

mod blocking;
mod bootstrap;
mod chance;
mod contact;
mod convert;
mod disk_space;
mod error;
mod health;
mod housekeeping;
mod join;
mod leader;
mod log_meter;
mod log_store;
mod log_tail;
mod machine;
mod members;
mod network;
pub(crate) mod offline;
mod peers;
mod proposer;
mod reader;
mod recover;
mod relief;
mod replica;
mod running;
mod service;
mod snapshot;
mod snapshot_transfer;
mod start;
mod state_machine;
mod state_writer;
mod status;
#[cfg(test)]
mod tests;
mod transport;
mod types;
mod watch;

pub(crate) use bootstrap::Options as ClusterOptions;
pub(crate) use error::{Error, Unavailable};
pub(crate) use health::{Check, Health};
pub(crate) use housekeeping::Policy as SnapshotPolicy;
pub(crate) use members::{CleanUp, Refused};
pub(crate) use proposer::Applied;
pub(crate) use recover::Options as StorageOptions;
pub(crate) use replica::{Consistency, MemberChange, Options, Reading, Replica};
pub(crate) use running::{Parts, Timing};
pub(crate) use service::Service;
pub(crate) use status::{ClusterStatus, MemberStatus, Role};
pub(crate) use transport::{
    Answer, Answers, Call, CallError, Lane, Peer, Requests, Route, Transport,
};
