//! The integration tests: one binary, real processes, real sockets.
//!
//! `compat` holds quorumgate against the original Pushgateway, `clients` lets real clients use it,
//! `flags`, `lifecycle`, `limits`, `answers` and `own_metrics` test the process itself, `cluster` several of them together.
//! `harness` is what they share.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a test fails by panicking and may build strings simply"
)]

mod answers;
mod clients;
mod cluster;
mod compat;
mod ctl;
mod drill;
mod durability;
mod flags;
mod harness;
mod lifecycle;
mod limits;
mod own_metrics;
mod readers;
mod tidy;
#[cfg(feature = "trials")]
mod trials;
