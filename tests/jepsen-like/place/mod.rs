//! Where the replicas run: each in a network namespace of its own on a bridge, or, without root, on
//! loopback behind proxies. Links between replicas can be cut in each direction on its own; the
//! clients, in the root namespace, reach every replica all the while unless `Cut::Clients` says no.

pub(crate) mod alter;
mod loopback;
mod netns;
pub(crate) mod shape;
pub(crate) mod sweep;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use loopback::Loopback;
use netns::Netns;
use shape::Shape;

/// Where every replica serves clients.
pub(crate) const WEB_PORT: u16 = 9091;
/// Where every replica listens to the others.
pub(crate) const PEER_PORT: u16 = 9092;

/// One thing that does not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// What one replica sends to another.
    Link { from: usize, to: usize },
    /// What clients send to a replica.
    Clients { to: usize },
}

/// Where the replicas run.
pub(crate) enum Place {
    Netns(Netns),
    Loopback(Loopback),
}

impl Place {
    /// Room for so many replicas: namespaces where they can be had, else loopback, and why.
    pub(crate) fn new(run: &str, replicas: usize) -> (Place, Option<String>) {
        match Netns::new(run, replicas) {
            Ok(netns) => (Place::Netns(netns), None),
            Err(why) => (Place::Loopback(Loopback::new(replicas)), Some(why)),
        }
    }

    /// Where clients reach a replica.
    pub(crate) fn web(&self, replica: usize) -> SocketAddr {
        match self {
            Place::Netns(netns) => netns.address(replica, WEB_PORT),
            Place::Loopback(loopback) => loopback.web(replica),
        }
    }

    /// Where a replica listens for clients.
    pub(crate) fn web_listen(&self, replica: usize) -> SocketAddr {
        match self {
            Place::Netns(netns) => netns.address(replica, WEB_PORT),
            Place::Loopback(loopback) => loopback.web_listen(replica),
        }
    }

    /// Where the other replicas reach a replica.
    pub(crate) fn peer(&self, replica: usize) -> SocketAddr {
        match self {
            Place::Netns(netns) => netns.address(replica, PEER_PORT),
            Place::Loopback(loopback) => loopback.peer(replica),
        }
    }

    /// Where a replica listens for the others.
    pub(crate) fn peer_listen(&self, replica: usize) -> SocketAddr {
        match self {
            Place::Netns(netns) => netns.address(replica, PEER_PORT),
            Place::Loopback(loopback) => loopback.peer_listen(replica),
        }
    }

    /// A program that is to run where this replica is.
    pub(crate) fn command(&self, replica: usize, program: &Path) -> Command {
        match self {
            Place::Netns(netns) => netns.command(replica, program),
            Place::Loopback(_) => Command::new(program),
        }
    }

    /// Tells which process is which replica.
    pub(crate) fn runs(&self, replica: usize, pid: u32) {
        if let Place::Loopback(loopback) = self {
            loopback.runs(replica, pid);
        }
    }

    /// Cuts exactly this.
    pub(crate) fn cut(&mut self, cuts: &[Cut]) -> Result<(), String> {
        match self {
            Place::Netns(netns) => netns.cut(cuts),
            Place::Loopback(loopback) => {
                loopback.cut(cuts);
                Ok(())
            }
        }
    }

    /// How much each of the present cuts has held back so far: packets, or pieces on loopback.
    pub(crate) fn held_back(&self, cuts: &[Cut]) -> u64 {
        match self {
            Place::Netns(netns) => netns.held_back(cuts),
            Place::Loopback(loopback) => loopback.held_back(cuts),
        }
    }

    /// Has what a replica sends to others delayed, lost and so on, or no more. Skipped with a
    /// reason where that cannot be had.
    pub(crate) fn shape(&mut self, replica: usize, shape: Option<&Shape>) -> Result<(), String> {
        match self {
            Place::Netns(netns) => netns.shape(replica, shape),
            Place::Loopback(_) => Err("network namespaces".to_owned()),
        }
    }

    /// Packets that the present shape has touched.
    pub(crate) fn shaped(&self, replica: usize) -> u64 {
        match self {
            Place::Netns(netns) => netns.shaped(replica),
            Place::Loopback(_) => 0,
        }
    }

    /// Has a replica's namespace answer peers with resets, or no more.
    pub(crate) fn reset(&mut self, replica: usize, on: bool) -> Result<(), String> {
        match self {
            Place::Netns(netns) => netns.reset(replica, on),
            Place::Loopback(_) => Err("network namespaces".to_owned()),
        }
    }

    /// Packets that were answered with a reset so far.
    pub(crate) fn resets(&self, replica: usize) -> u64 {
        match self {
            Place::Netns(netns) => netns.resets(replica),
            Place::Loopback(_) => 0,
        }
    }
}
