//! Several replicas as real processes: forming a cluster, failing, coming back, growing and
//! shrinking, while clients push and scrape at whichever replica is in service.
//!
//! The clients know what every group must hold after each of their requests, so each scrape, at any
//! replica, is held against that.

mod bootstrap;
mod failover;
mod full_disk;
mod load;
mod membership;
mod no_quorum;
mod partition;
mod readiness;
mod retries;
mod rolling;
mod status;
mod vip;
mod voters;
