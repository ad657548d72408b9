//! Asks every member now and then how it is: what the status tells, also without a leader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::pb::v1;
use crate::storage::{Folder, Known};

use super::blocking::aside;
use super::contact::age;
use super::peers::Peers;
use super::transport::{CallError, Lane};
use super::types::{Member, Raft};

const INTERVAL: Duration = Duration::from_secs(1);
/// Less than the interval, so that there is one question to a peer at a time.
const TIMEOUT: Duration = Duration::from_millis(800);
/// What is known is kept once in so many rounds.
const KEEP_ROUNDS: u64 = 5;
/// A member that last answered longer ago than this is not reachable.
const REACHABLE_FOR: Duration = Duration::from_millis(2500);

/// What a member last said.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    at: Instant,
    pub(crate) answer: v1::IdentifyResponse,
}

#[derive(Debug, Default)]
struct Told {
    last: Option<Report>,
    /// Why it does not answer now.
    failure: Option<String>,
    /// The highest log index that is durable there and committed, as far as is known.
    known_index: u64,
}

/// The members as this replica sees them.
pub(crate) struct Watch {
    told: Arc<Mutex<BTreeMap<u64, Told>>>,
    task: AbortHandle,
}

impl Watch {
    /// Starts asking.
    pub(crate) fn start(raft: Raft, me: u64, peers: Arc<Peers>, folder: Arc<Folder>) -> Watch {
        let told = Arc::new(Mutex::default());
        let watcher = Watcher { raft, me, peers, folder, told: Arc::clone(&told) };
        let task = tokio::spawn(watcher.run()).abort_handle();
        Watch { told, task }
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }

    /// What a member said, if it answered lately; else why it does not.
    pub(crate) fn report(&self, node: u64) -> Result<v1::IdentifyResponse, String> {
        let told = lock(&self.told);
        let told = told.get(&node);
        let last = told.and_then(|told| told.last.as_ref());
        match last.filter(|report| age(report.at) < REACHABLE_FOR) {
            Some(report) => Ok(report.answer.clone()),
            None => Err(told
                .and_then(|told| told.failure.clone())
                .unwrap_or_else(|| "not asked yet".to_owned())),
        }
    }

    /// The highest index that is known to be durable on `node` and committed.
    pub(crate) fn known_index(&self, node: u64) -> u64 {
        lock(&self.told).get(&node).map_or(0, |told| told.known_index)
    }
}

fn lock(told: &Mutex<BTreeMap<u64, Told>>) -> MutexGuard<'_, BTreeMap<u64, Told>> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Watcher {
    raft: Raft,
    me: u64,
    peers: Arc<Peers>,
    folder: Arc<Folder>,
    told: Arc<Mutex<BTreeMap<u64, Told>>>,
}

impl Watcher {
    async fn run(self) {
        let mut known = self.folder.known().unwrap_or_else(|err| {
            tracing::warn!(err = %err, "what was known of the other replicas is forgotten");
            Known::new()
        });
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0_u64.. {
            ticks.tick().await;
            let (members, committed) = self.members();
            if members.is_empty() {
                // Raft has not told yet, or there is nobody; what is kept stays.
                continue;
            }
            let asking = members.iter().map(|(id, member)| ask(&self.peers, *id, member));
            let answers = join_all(asking).await;
            self.note(&members, answers, committed, &known);
            if round % KEEP_ROUNDS == 0 {
                self.keep(&mut known).await;
            }
        }
    }

    /// The other members, and what is committed as far as this replica knows.
    fn members(&self) -> (Vec<(u64, Member)>, u64) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let others = metrics.membership_config.nodes().filter(|(id, _)| **id != self.me);
        let members = others.map(|(id, member)| (*id, member.clone())).collect();
        (members, metrics.local_committed.map_or(0, |id| id.index))
    }

    fn note(
        &self,
        members: &[(u64, Member)],
        answers: Vec<Result<v1::IdentifyResponse, CallError>>,
        committed: u64,
        known: &Known,
    ) {
        let mut told = lock(&self.told);
        told.retain(|id, _| members.iter().any(|(member, _)| member == id));
        for ((id, member), answer) in members.iter().zip(answers) {
            let told = told.entry(*id).or_insert_with(|| Told {
                known_index: known.get(id).copied().unwrap_or(0),
                ..Told::default()
            });
            let was_there = told.last.is_some() && told.failure.is_none();
            note(told, answer, committed);
            match &told.failure {
                Some(failure) if was_there => {
                    tracing::warn!(
                        replica = member.name,
                        err = failure,
                        "a replica does not answer"
                    );
                }
                None if !was_there => tracing::info!(replica = member.name, "a replica answers"),
                _ => {}
            }
        }
    }

    /// Keeps what is known of the others, for the day one of them forgets.
    async fn keep(&self, kept: &mut Known) {
        let known: Known =
            lock(&self.told).iter().map(|(id, told)| (*id, told.known_index)).collect();
        if known == *kept {
            return;
        }
        kept.clone_from(&known);
        let folder = Arc::clone(&self.folder);
        let written = aside(move || folder.remember(&known));
        if let Ok(Err(err)) = written.await {
            tracing::warn!(err = %err, "what is known of the other replicas was not kept");
        }
    }
}

async fn ask(peers: &Peers, id: u64, member: &Member) -> Result<v1::IdentifyResponse, CallError> {
    let (call, request) = (peers.call(id, TIMEOUT), v1::IdentifyRequest { sees: Vec::new() });
    let asked = peers.ask(&member.address, Lane::Control, |peer| {
        let answer = peer.identify(call, request);
        async move {
            // It tells anybody who it is, whomever it is asked for.
            let answer = answer.await?;
            let other =
                || CallError::Refused(format!("another replica, {}, is there", answer.name));
            if answer.node_id == id { Ok(answer) } else { Err(other()) }
        }
        .boxed()
    });
    asked.await
}

fn note(told: &mut Told, answer: Result<v1::IdentifyResponse, CallError>, committed: u64) {
    match answer {
        Ok(answer) => {
            told.known_index = told.known_index.max(answer.durable_index.min(committed));
            told.last = Some(Report { at: Instant::now(), answer });
            told.failure = None;
        }
        Err(err) => told.failure = Some(err.to_string()),
    }
}
