//! What must be true at every moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::net::Promise;
use super::world::{NODES, World};
use crate::raft::convert;
use crate::raft::running::Running;

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// What was seen of one life.
#[derive(Default)]
struct Seen {
    life: u64,
    applied: u64,
    /// One past the last committed entry that was compared.
    next: u64,
    vote: Promise,
}

/// What all replicas together have shown.
#[derive(Default)]
pub(super) struct Record {
    /// The committed entries.
    pub(super) entries: BTreeMap<u64, Bytes>,
    /// Which digests were seen at which applied index, and where.
    pub(super) digests: BTreeMap<(u64, u128), &'static str>,
    pub(super) leader_changes: u64,
    leader: Option<u64>,
    pub(super) cluster: [u8; 16],
    seen: [Seen; NODES],
}

pub(super) type Shared = Arc<Mutex<Record>>;

/// Looks until the task is aborted.
pub(super) async fn run(world: World, record: Shared) {
    loop {
        world.collect_dead();
        look(&world, &record);
        tokio::time::sleep(INTERVAL).await;
        for node in world.nodes().iter() {
            let nanos = i64::try_from(INTERVAL.as_nanos()).unwrap();
            node.clock.fetch_add(nanos, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

pub(super) fn look(world: &World, record: &Shared) {
    let mut record = record.lock().unwrap();
    for index in 0..NODES {
        let Some((replica, _)) = world.replica(index) else { continue };
        let Ok(running) = replica.running() else { continue };
        let (name, life) = {
            let nodes = world.nodes();
            (nodes[index].name, nodes[index].lives)
        };
        if record.seen[index].life != life {
            record.seen[index] = Seen { life, ..Seen::default() };
            begins(world, index, running);
        }
        if running.durable_index() > 0 {
            world.nodes()[index].known_as = Some(running.identity.node);
        }
        record.cluster = running.identity.cluster;
        applied(world, &mut record, index, name, running);
        committed(world, &mut record, index, name, running);
        voted(world, &mut record, index, name, running);
    }
}

/// What a process begins with: the votes that its disk has told of, and its node id.
fn begins(world: &World, index: usize, running: &Running) {
    let node = running.identity.node;
    let vote = running.log.vote().map(|bytes| convert::decode_vote(&bytes).unwrap());
    let vote = vote.map_or((0, 0), |vote| (vote.leader_id.term, vote.leader_id.node_id));
    if let Some(promised) = world.net.promised(node).filter(|promised| *promised > vote) {
        world.broken(format!("node {node} told others that it voted {promised:?}, now {vote:?}"));
    }
    let (name, known_as) = {
        let nodes = world.nodes();
        (nodes[index].name, nodes[index].known_as)
    };
    if known_as.is_some_and(|known| known != node) {
        world.broken(format!("{name} began anew with a disk that is in order"));
    }
}

fn applied(
    world: &World,
    record: &mut Record,
    index: usize,
    name: &'static str,
    running: &Running,
) {
    let (view, position) = running.machine.view_at();
    let at = position.index().unwrap_or(0);
    let before = std::mem::replace(&mut record.seen[index].applied, at);
    if at < before {
        world.broken(format!("{name} went back from entry {before} to {at}"));
    }
    // An empty state has the digest of its cluster, of which the first may have come to nothing.
    if at > 0 {
        record.digests.entry((at, view.digest())).or_insert(name);
    }
}

fn committed(
    world: &World,
    record: &mut Record,
    index: usize,
    name: &'static str,
    running: &Running,
) {
    let metrics = running.metrics();
    let Some(committed) = metrics.local_committed else { return };
    let next = record.seen[index].next;
    if next > committed.index {
        return;
    }
    let Ok(records) = running.log.read(next..committed.index + 1, usize::MAX) else { return };
    for entry in records {
        record.seen[index].next = entry.index + 1;
        let known = record.entries.entry(entry.index).or_insert_with(|| entry.bytes.clone());
        if *known != entry.bytes {
            world.broken(format!("entry {} was committed, and {name} has another", entry.index));
            return;
        }
    }
}

fn voted(world: &World, record: &mut Record, index: usize, name: &'static str, running: &Running) {
    let metrics = running.metrics();
    let vote = (metrics.vote.leader_id.term, metrics.vote.leader_id.node_id);
    let before = std::mem::replace(&mut record.seen[index].vote, vote);
    if vote < before {
        world.broken(format!("the vote of {name} went back from {before:?} to {vote:?}"));
    }
    if metrics.current_leader == Some(running.identity.node) && record.leader != Some(vote.0) {
        record.leader = Some(vote.0);
        record.leader_changes += 1;
    }
}
