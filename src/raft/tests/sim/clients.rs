//! Clients that push, scrape and retry, and what they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::{id, push};
use super::world::{NODES, World};
use crate::group::{Change, GroupingKey, Outcome, RequestId, View};
use crate::raft::replica::{Consistency, Replica};

/// How long a client waits.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Groups that all clients push to.
const HOT_GROUPS: u64 = 4;

/// What a group shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shown {
    pub(super) metrics: Option<Bytes>,
    pub(super) succeeded: Option<i64>,
    pub(super) failed: Option<i64>,
}

pub(super) type Groups = BTreeMap<String, Shown>;

/// An answer: between which places of the order it was awaited, and for which log index it speaks.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) index: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Pushed { id: RequestId, outcome: Outcome },
    Read { at: &'static str, groups: Groups, digest: u128 },
}

/// All answers.
#[derive(Clone, Default)]
pub(super) struct History(Arc<Mutex<Vec<Told>>>);

impl History {
    pub(super) fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, told: Told) {
        self.0.lock().unwrap().push(told);
    }
}

pub(super) fn shown(view: &View) -> Groups {
    let groups = view.groups().map(|group| {
        let metrics = group.families().find(|family| family.name() == "m");
        let shown = Shown {
            metrics: metrics.map(|family| Bytes::copy_from_slice(&family.metrics())),
            succeeded: group.times.succeeded.map(|at| at.0),
            failed: group.times.failed.map(|at| at.0),
        };
        (name(group.key()), shown)
    });
    groups.collect()
}

pub(super) fn name(key: &GroupingKey) -> String {
    key.labels().map(|(_, value)| value).collect()
}

pub(super) struct Client {
    pub(super) world: World,
    pub(super) history: History,
    pub(super) number: u64,
    pub(super) requests: u64,
    last: Option<(RequestId, Change)>,
}

impl Client {
    pub(super) fn new(world: World, history: History, number: u64) -> Client {
        Client { world, history, number, requests: 0, last: None }
    }

    /// Works until the world says that it is over.
    pub(super) async fn run(mut self) {
        while !self.world.is_over() {
            let at = self.world.chance.index(NODES);
            let kind = self.world.chance.below(10);
            if kind < 3 {
                self.read(at, PATIENCE).await;
            } else {
                let again = self.last.clone().filter(|_| kind == 3);
                let (id, change) = again.unwrap_or_else(|| self.change(kind));
                self.last = Some((id, change.clone()));
                self.push(at, id, change, PATIENCE).await;
            }
            let pause = self.world.chance.millis(1, 60);
            tokio::time::sleep(pause).await;
        }
    }

    fn change(&mut self, kind: u64) -> (RequestId, Change) {
        self.requests += 1;
        let number = self.number * 1_000_000 + self.requests;
        let hot = format!("hot{}", self.world.chance.below(HOT_GROUPS));
        let key = |name: String| GroupingKey::new([("job".to_owned(), name)]);
        #[expect(clippy::cast_precision_loss, reason = "far below the limit of whole doubles")]
        let value = number as f64;
        let change = match kind {
            4 | 5 => push(&format!("own{number}"), value),
            6 => Change::FailedPush { key: key(hot), reason: "no sense".to_owned() },
            7 if self.world.chance.below(3) == 0 => Change::Delete { key: key(hot) },
            _ => push(&hot, value),
        };
        (id(number), change)
    }

    /// Whether there was an answer.
    async fn push(&self, at: usize, id: RequestId, change: Change, patience: Duration) -> bool {
        let Some((replica, life)) = self.world.replica(at) else { return false };
        let begun = self.world.next();
        let pushed = replica.propose(id, change, Instant::now() + patience).await;
        let ended = self.world.next();
        match pushed {
            // What a process says after its end nobody hears.
            Ok(applied) if life.goes_on() => {
                let what = What::Pushed { id, outcome: applied.outcome };
                self.history.note(Told { begun, ended, index: applied.index, what });
                true
            }
            _ => false,
        }
    }

    /// Whether there was an answer.
    pub(super) async fn read(&self, at: usize, patience: Duration) -> bool {
        let Some((replica, life)) = self.world.replica(at) else { return false };
        let name = self.world.nodes()[at].name;
        let begun = self.world.next();
        let read = replica.read(Consistency::Linearizable, Instant::now() + patience).await;
        let ended = self.world.next();
        match read {
            Ok(reading) if life.goes_on() => {
                let (groups, digest) = (shown(&reading.view), reading.view.digest());
                let what = What::Read { at: name, groups, digest };
                self.history.note(Told { begun, ended, index: reading.index, what });
                true
            }
            _ => false,
        }
    }

    /// A push of its own that nobody has made yet; whether there was an answer.
    pub(super) async fn push_anew(&mut self, at: usize, patience: Duration) -> bool {
        let (id, change) = self.change(4);
        self.push(at, id, change, patience).await
    }
}

/// Whether a replica takes part as it should.
pub(super) fn is_ready(replica: &Replica) -> bool {
    let health = replica.health();
    health.healthy.is_ok() && health.ready.iter().all(|check| check.ok)
}
