//! The connections of this replica to its peers, each made once and kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::limits::PEER_CONNECTIONS_MAX;

use super::transport::{Call, Lane, Peer, Route, Transport};

/// The way to every peer. Calls carry this replica's cluster and node id.
pub(crate) struct Peers {
    transport: Arc<dyn Transport>,
    route: Route,
    open: Mutex<BTreeMap<(String, Lane), Arc<dyn Peer>>>,
}

impl Peers {
    pub(crate) fn new(transport: Arc<dyn Transport>, cluster: [u8; 16], node: u64) -> Peers {
        let route = Route { cluster, from: node, to: 0 };
        Peers { transport, route, open: Mutex::default() }
    }

    /// The connection to whoever is at `address`.
    pub(crate) fn at(&self, address: &str, lane: Lane) -> Arc<dyn Peer> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address.to_owned(), lane);
        if let Some(peer) = open.get(&key) {
            return Arc::clone(peer);
        }
        // Addresses come and go with the members; what is still needed is made again.
        if open.len() >= PEER_CONNECTIONS_MAX {
            open.clear();
        }
        let peer = self.transport.connect(address, lane);
        open.insert(key, Arc::clone(&peer));
        peer
    }

    /// A call that only node `to` may answer.
    pub(crate) fn call(&self, to: u64, timeout: Duration) -> Call {
        Call { route: Route { to, ..self.route }, timeout }
    }
}
