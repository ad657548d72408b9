//! Becomes a member of a running cluster, and has it know where this replica is.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::Instant;

use crate::pb::v1;
use crate::pb::v1::change_members_request::Change;

use super::bootstrap::{self, Seen};
use super::replica::Replica;
use super::running::{Parts, Running};
use super::transport::{Call, Lane, Route};
use super::types::{Member, Metrics};

/// How often a replica that is not a member yet asks to become one.
const JOIN_INTERVAL: Duration = Duration::from_millis(500);
/// How long one such question may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks to become a member until this replica is one, at the address that it has now, and will stay
/// one: what is not committed may be gone again. Who was one and is none any more was removed, and
/// does not ask.
pub(crate) async fn join(
    replica: Replica,
    parts: Parts,
    options: bootstrap::Options,
    mut was_member: bool,
) {
    let Ok(running) = replica.running() else { return };
    let me = replica.lobby().me;
    loop {
        let metrics = running.metrics();
        let members = metrics.committed_membership_config.membership();
        let lacks = match members.get_node(&me.node) {
            Some(known) if *known == me.member => return,
            Some(_) => {
                was_member = true;
                Some("the cluster does not know this replica's address yet")
            }
            // It was removed, or has not been told yet.
            None if was_member => None,
            None => Some("not a member of the cluster yet"),
        };
        let ask = async {
            if let Some(lacks) = lacks {
                ask_to_join(running, &parts, &options, &me, lacks).await;
            }
            tokio::time::sleep(JOIN_INTERVAL).await;
        };
        // Whoever is taken in and removed again before the next look must know that it was a member.
        tokio::select! {
            () = ask => {}
            () = until_known(running, &me) => return,
        }
    }
}

/// Waits until this replica is a member at the address that it has now, as far as it has been told.
async fn until_known(running: &Running, me: &Seen) {
    let mut metrics = running.raft.metrics();
    let knows = |metrics: &Metrics| {
        let members = metrics.committed_membership_config.membership();
        members.get_node(&me.node) == Some(&me.member)
    };
    while !knows(&metrics.borrow_watched()) {
        if metrics.changed().await.is_err() {
            // Raft has ended; whoever waits must not spin.
            std::future::pending::<()>().await;
        }
    }
}

/// Asks one after the other, until one has had the leader do it. Who leads is for them to know: whoever
/// comes back at another address may be the one that the leader does not reach.
async fn ask_to_join(
    running: &Running,
    parts: &Parts,
    options: &bootstrap::Options,
    me: &Seen,
    lacks: &str,
) {
    let Member { name, address } = me.member.clone();
    let change = Change::Join(v1::Member { node_id: me.node, name, address });
    let metrics = running.metrics();
    if metrics.current_leader == Some(me.node) {
        let deadline = Instant::now() + JOIN_TIMEOUT;
        if let Err(refused) = running.members.change(change, deadline).await {
            tracing::warn!(detail = %refused, "{lacks}");
        }
        return;
    }
    let round = bootstrap::look(&*parts.transport, options, me).await;
    let members = metrics.membership_config.membership().nodes();
    let members = members.filter(|(id, _)| **id != me.node).map(|(_, m)| m.address.clone());
    let mut asked = BTreeSet::new();
    for address in round.initialized_at.into_iter().chain(members) {
        if !asked.insert(address.clone()) {
            continue;
        }
        let route = Route { cluster: running.identity.cluster, from: me.node, to: 0 };
        let call = Call { route, timeout: JOIN_TIMEOUT };
        let request = v1::ChangeMembersRequest { change: Some(change.clone()) };
        let asked =
            running.peers.ask(&address, Lane::Control, |peer| peer.change_members(call, request));
        let refused = match asked.await {
            Ok(answer) => answer.refused,
            Err(err) => err.to_string(),
        };
        if refused.is_empty() {
            return;
        }
        tracing::warn!(address, detail = refused, "{lacks}");
    }
}
