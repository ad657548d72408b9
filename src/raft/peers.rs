//! The connections of this replica to its peers, each made once and kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::PEER_CONNECTIONS_MAX;

use super::transport::{Answer, Call, CallError, Lane, Peer, Route, Transport};

/// A connection is not given up before this time: whoever refuses may go on with it, and is not to be
/// connected to at every call.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The way to every peer. Calls carry this replica's cluster and node id.
pub(crate) struct Peers {
    transport: Arc<dyn Transport>,
    route: Route,
    open: Mutex<BTreeMap<(String, Lane), Connection>>,
}

struct Connection {
    peer: Arc<dyn Peer>,
    made: Instant,
}

impl Peers {
    pub(crate) fn new(transport: Arc<dyn Transport>, cluster: [u8; 16], node: u64) -> Peers {
        let route = Route { cluster, from: node, to: 0 };
        Peers { transport, route, open: Mutex::default() }
    }

    /// Asks whoever is at `address`. A refusal ends the connection: the address behind a name may have
    /// passed to another replica, which is well and refuses for ever, and a name is looked up only
    /// when a connection is made.
    pub(crate) async fn ask<T>(
        &self,
        address: &str,
        lane: Lane,
        question: impl FnOnce(&dyn Peer) -> Answer<T>,
    ) -> Result<T, CallError> {
        let peer = self.at(address, lane);
        let answer = question(&*peer).await;
        if let Err(CallError::Refused(_)) = answer {
            self.give_up(address, lane);
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, Lane), Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, address: &str, lane: Lane) -> Arc<dyn Peer> {
        let mut open = self.lock();
        let key = (address.to_owned(), lane);
        if let Some(connection) = open.get(&key) {
            return Arc::clone(&connection.peer);
        }
        // Addresses come and go with the members; what is still needed is made again.
        if open.len() >= PEER_CONNECTIONS_MAX {
            open.clear();
        }
        let peer = self.transport.connect(address, lane);
        open.insert(key, Connection { peer: Arc::clone(&peer), made: Instant::now() });
        peer
    }

    fn give_up(&self, address: &str, lane: Lane) {
        let mut open = self.lock();
        let key = (address.to_owned(), lane);
        if open.get(&key).is_some_and(|connection| connection.made.elapsed() >= KEPT_FOR) {
            open.remove(&key);
        }
    }

    /// A call that only node `to` may answer.
    pub(crate) fn call(&self, to: u64, timeout: Duration) -> Call {
        Call { route: Route { to, ..self.route }, timeout }
    }
}
