//! quorumgate: a Prometheus Pushgateway with a quorum.
//!
//! Read in this order: [`limits`] for what bounds what, [`exposition`] and [`group`] for the pure
//! centre, then `storage`, `raft` and `http` around it, and [`server`] for how they come together.
//! `ARCHITECTURE.md` has the picture.

pub mod clock;
pub mod limits;
pub mod pb;
#[doc(hidden)]
pub mod trials;

pub mod exposition;
pub mod group;

mod storage;

pub mod telemetry;

mod raft;

mod grpc;
mod http;

#[doc(hidden)]
pub mod bench;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub mod cli;
pub mod config;
pub mod ctl;
pub mod drill;
pub mod server;

/// Whether a panic at this moment is expected and answered: while a possibly damaged state database
/// is being opened.
pub fn storage_tolerates_panics() -> bool {
    storage::tolerating_panics()
}
