//! The edge between replicas: the calls of [`crate::raft::Peer`] as gRPC over TCP, both ways.
//!
//! Promises: every call has a deadline and says from whom it is and for whom; a connection is made
//! when it is first needed, kept, and made again when it is lost, at whatever address its name then
//! has. Never: does this edge decide anything; what is meant for whom is checked by who answers.

mod client;
mod route;
mod server;

pub(crate) use client::Tcp;
pub(crate) use server::serve;
