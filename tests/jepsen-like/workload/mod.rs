//! Clients that push, delete and scrape at an even rate whatever the answers are.

mod kind;

use std::net::SocketAddr;

pub(crate) use kind::Kind;

/// A replica as clients see it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) web: SocketAddr,
}

/// A load to be started.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
    pub(crate) ops_per_second: u32,
    pub(crate) clients: u32,
}
