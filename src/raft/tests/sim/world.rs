//! Three replicas, their disks, and what happens to them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::chance::Chance;
use super::disk::{HandsOn, Life, Pace};
use super::net::{SimNet, Weather};
use super::story::tell;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::raft::bootstrap;
use crate::raft::housekeeping::Policy;
use crate::raft::recover;
use crate::raft::replica::{Options, Replica};
use crate::raft::running::{Parts, Timing};
use crate::raft::service::Service;
use crate::storage::power::{self, Cut};
use crate::storage::testing;
use crate::telemetry::Metrics;

pub(super) const NODES: usize = 3;
/// 2026-01-01, where all clocks begin.
const BEGIN_NANOS: i64 = 1_767_225_600_000_000_000;

/// A replica, running or not.
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) replica: Option<Replica>,
    pub(super) life: Life,
    pub(super) lives: u64,
    pub(super) clock: Arc<AtomicI64>,
    pub(super) pace: Arc<Pace>,
    disk: PathBuf,
    /// Whether its disk was damaged, so that it may give it up.
    pub(super) spoiled: bool,
    /// Since when it does not run.
    pub(super) down_since: Option<Instant>,
    /// Its node id, once its disk holds a part of a cluster's log that is committed.
    pub(super) known_as: Option<u64>,
}

/// All of it. Cheap to clone.
#[derive(Clone)]
pub(super) struct World {
    pub(super) chance: Arc<Chance>,
    pub(super) net: SimNet,
    inner: Arc<Inner>,
}

struct Inner {
    base: TempDir,
    begun: Instant,
    nodes: Mutex<Vec<Node>>,
    broken: Mutex<Vec<String>>,
    order: AtomicU64,
    over: AtomicBool,
    metrics: Metrics,
    snapshot_entries: u64,
}

pub(super) fn address(index: usize) -> String {
    format!("127.0.0.{}:1", index + 1)
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let chance = Arc::new(Chance::new(seed));
        let net = SimNet::new(Arc::clone(&chance));
        let base = testing::scratch();
        let nodes = ["a", "b", "c"].map(|name| {
            let disk = base.path().join(format!("{name}-0"));
            Node {
                name,
                replica: None,
                life: Life::new(disk.clone()),
                lives: 0,
                clock: Arc::new(AtomicI64::new(BEGIN_NANOS)),
                pace: Arc::new(Pace::new(Arc::clone(&chance))),
                disk,
                spoiled: false,
                down_since: None,
                known_as: None,
            }
        });
        let inner = Inner {
            base,
            begun: Instant::now(),
            nodes: Mutex::new(nodes.into()),
            broken: Mutex::default(),
            order: AtomicU64::new(0),
            over: AtomicBool::new(false),
            metrics: Metrics::new(),
            snapshot_entries: 10 + chance.below(60),
        };
        World { chance, net, inner: Arc::new(inner) }
    }

    pub(super) fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        self.inner.nodes.lock().unwrap()
    }

    /// A promise is broken.
    pub(super) fn broken(&self, what: impl Into<String>) {
        let what = what.into();
        tell(format!("BROKEN: {what}"));
        self.inner.broken.lock().unwrap().push(what);
    }

    pub(super) fn is_broken(&self) -> bool {
        !self.inner.broken.lock().unwrap().is_empty()
    }

    /// Which promises are broken.
    pub(super) fn all_broken(&self) -> Vec<String> {
        self.inner.broken.lock().unwrap().clone()
    }

    /// The next place in the order of all that clients see.
    pub(super) fn next(&self) -> u64 {
        self.inner.order.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether clients and faults are to stop.
    pub(super) fn is_over(&self) -> bool {
        self.inner.over.load(Ordering::Relaxed) || self.is_broken()
    }

    pub(super) fn end(&self) {
        self.inner.over.store(true, Ordering::Relaxed);
    }

    /// A replica that runs, if it does, and its life.
    pub(super) fn replica(&self, index: usize) -> Option<(Replica, Life)> {
        let nodes = self.nodes();
        let node = &nodes[index];
        node.replica.clone().filter(|_| node.life.goes_on()).map(|r| (r, node.life.clone()))
    }

    fn options(&self, node: &Node, index: usize) -> Options {
        let join = (0..NODES).map(address).collect();
        let cluster = bootstrap::Options { address: address(index), join, expect: NODES };
        let by_hand = HandsOn::new(node.life.clone(), Arc::clone(&node.pace));
        let storage = recover::Options {
            path: node.disk.clone(),
            name: node.name.to_owned(),
            disk_free_min: 0,
            by_hand: Some(by_hand),
        };
        let parts = Parts {
            transport: self.net.at(&address(index), &node.life),
            timing: Timing {
                heartbeat: Duration::from_millis(100),
                election: Duration::from_millis(400),
            },
            clean_up: None,
            snapshots: Policy { entries: self.inner.snapshot_entries, bytes: u64::MAX },
            limits: Limits { disk_free_bytes: 0, ..Limits::default() },
            clock: Clock::Manual(Arc::clone(&node.clock)),
            metrics: self.inner.metrics.clone(),
        };
        Options { storage, cluster: Some(cluster), parts }
    }

    /// Starts a process on the disk of a replica that does not run.
    pub(super) fn start(&self, index: usize) {
        let (options, life) = {
            let mut nodes = self.nodes();
            let node = &mut nodes[index];
            node.lives += 1;
            node.life = Life::new(node.disk.clone());
            node.down_since = None;
            std::fs::create_dir_all(&node.disk).unwrap();
            power::watch(&node.disk);
            tell(format!("{} starts", node.name));
            (self.options(node, index), node.life.clone())
        };
        let world = self.clone();
        tokio::spawn(async move { world.run(index, options, life).await });
    }

    async fn run(self, index: usize, options: Options, life: Life) {
        let (replica, rest) = match Replica::prepare(options).await {
            Ok(prepared) => prepared,
            Err(err) => return self.gave_up(index, &life, &err.to_string()),
        };
        if !life.goes_on() {
            return;
        }
        self.net.serve(&address(index), Service::new(replica.clone()), &life);
        self.nodes()[index].replica = Some(replica.clone());
        if let Err(err) = rest.await {
            return self.gave_up(index, &life, &err.to_string());
        }
        let err = replica.failed().await;
        self.gave_up(index, &life, &err.to_string());
    }

    /// A process ends by itself, which only a damaged disk explains.
    fn gave_up(&self, index: usize, life: &Life, why: &str) {
        // One that was ended from outside may say anything.
        if !life.goes_on() || self.inner.over.load(Ordering::Relaxed) && self.is_broken() {
            return;
        }
        let (name, spoiled) = {
            let nodes = self.nodes();
            (nodes[index].name, nodes[index].spoiled)
        };
        tell(format!("{name} gives up: {why}"));
        if !spoiled {
            self.broken(format!("{name} gave up with a disk that is in order: {why}"));
        }
        self.end_process(index, Cut::Killed);
        // An operator would move the folder away.
        self.wipe(index);
    }

    fn next_disk(&self, node: &Node) -> PathBuf {
        self.inner.base.path().join(format!("{}-{}", node.name, node.lives))
    }

    /// Ends a process; what is left of its disk is for the next one.
    pub(super) fn end_process(&self, index: usize, cut: Cut) {
        let (replica, name) = {
            let mut nodes = self.nodes();
            let node = &mut nodes[index];
            if node.down_since.is_some() || node.lives == 0 {
                return;
            }
            let next = self.next_disk(node);
            power::cut(&node.disk, &next, cut, self.chance.below(u64::MAX));
            node.life.end();
            power::forget(&node.disk);
            node.disk = next;
            node.down_since = Some(Instant::now());
            (node.replica.take(), node.name)
        };
        tell(format!("{name} ends ({cut:?})"));
        self.net.leave(&address(index));
        if let Some(replica) = replica {
            // Only so that it costs no more time.
            tokio::spawn(async move { replica.shutdown().await });
        }
    }

    /// Lets go of the replicas, which hold each other through the network.
    pub(super) fn close(&self) {
        for (index, node) in self.nodes().iter_mut().enumerate() {
            self.net.leave(&address(index));
            node.replica = None;
        }
    }

    /// Has a process end in the middle of something that it does with its disk.
    pub(super) fn arm(&self, index: usize, cut: Cut, operations: u64) {
        let nodes = self.nodes();
        let node = &nodes[index];
        if node.down_since.is_none() && node.life.goes_on() {
            tell(format!("{} is to end after {operations} operations ({cut:?})", node.name));
            let next = self.next_disk(node);
            power::arm(&node.disk, &next, cut, self.chance.below(u64::MAX), operations);
        }
    }

    /// Ends all faults, and starts what does not run.
    pub(super) fn calm_down(&self) {
        self.net.heal();
        self.net.set_weather(Weather::default());
        for index in 0..NODES {
            let down = {
                let node = &self.nodes()[index];
                power::disarm(&node.disk);
                node.pace.stall(Duration::ZERO);
                node.down_since.is_some()
            };
            if down {
                self.start(index);
            }
        }
    }

    /// Ends the processes whose disk is gone.
    pub(super) fn collect_dead(&self) {
        for index in 0..NODES {
            let dead = {
                let nodes = self.nodes();
                nodes[index].down_since.is_none() && !nodes[index].life.goes_on()
            };
            if dead {
                self.end_process(index, Cut::Killed);
            }
        }
    }

    /// Gives a replica that does not run a new disk.
    pub(super) fn wipe(&self, index: usize) {
        let mut nodes = self.nodes();
        let node = &mut nodes[index];
        tell(format!("{} gets a new disk", node.name));
        node.disk = self.inner.base.path().join(format!("{}-{}-new", node.name, node.lives));
        node.spoiled = true;
        node.known_as = None;
    }

    /// Damages the disk of a replica that does not run.
    pub(super) fn spoil(&self, index: usize) {
        let mut nodes = self.nodes();
        let node = &mut nodes[index];
        let what = power::spoil(&node.disk, self.chance.below(u64::MAX));
        tell(format!("{}: {}", node.name, what.unwrap_or_default()));
        node.spoiled = true;
        node.known_as = None;
    }

    /// How long it all took, as the replicas count time.
    pub(super) fn elapsed(&self) -> Duration {
        self.inner.begun.elapsed()
    }
}
