//! Turns single changes into log entries: whatever waits shares one entry and one fsync.
//!
//! A change that finds the log idle is proposed at once. While entries are under way, what arrives
//! is collected, so batches grow with the load and nobody is delayed for company. A replica that does
//! not lead sends its batches to the one that does, over every change of leader, until the changes'
//! deadlines. Request ids stay the same throughout, so a change takes effect once even when an
//! attempt that seemed to fail was committed after all.

use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{ClientWriteError, RaftError};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::clock::Clock;
use crate::group::{Mutation, Outcome, StateLimits, encode_batch, encode_mutation};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_MUTATIONS_MAX, BATCHES_IN_FLIGHT, Limits, PROPOSE_QUEUE_LEN,
};
use crate::pb::v1;
use crate::telemetry;
use crate::trials::{self, Place};

use super::convert;
use super::disk_space::DiskSpace;
use super::error::Unavailable;
use super::leader::{Leader, LeaderPeer, LeaderView};
use super::reader::millis;
use super::transport::CallError;
use super::types::{Command, Raft};

/// Pause before a proposal that found no leader is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// How long after its deadline a change is answered at the latest.
const GRACE: Duration = Duration::from_millis(250);

/// How one change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    /// What the state machine made of it.
    pub(crate) outcome: Outcome,
    /// The log index at which it was applied.
    pub(crate) index: u64,
    /// The term of the leader that proposed it.
    pub(crate) term: u64,
}

struct Waiting {
    mutation: Mutation,
    deadline: Instant,
    /// Whether another replica sent it, which looks for the leader itself.
    forwarded: bool,
    /// Whether an attempt may have been committed without our knowledge.
    proposed: bool,
    reply: oneshot::Sender<Result<Applied, Unavailable>>,
}

impl Waiting {
    fn answer(self, result: Result<Applied, Unavailable>) {
        // The client may have gone away; the change is committed all the same.
        let _ignored = self.reply.send(result);
    }

    /// Ends with what an attempt decided. A refusal of this attempt says nothing of those before.
    fn decide(self, result: Result<Applied, Unavailable>) {
        match result {
            Err(refusal) if self.proposed => self.give_up(&refusal.to_string()),
            result => self.answer(result),
        }
    }

    /// Ends without a result.
    fn give_up(self, detail: &str) {
        let unavailable = if self.proposed {
            Unavailable::Timeout(detail.to_owned())
        } else {
            Unavailable::NoQuorum(detail.to_owned())
        };
        self.answer(Err(unavailable));
    }
}

/// The way in for changes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Proposer {
    queue: mpsc::Sender<Waiting>,
}

/// What the proposer works with.
pub(crate) struct Parts {
    pub(crate) raft: Raft,
    pub(crate) leader: LeaderView,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) disk_space: Arc<DiskSpace>,
    pub(crate) metrics: telemetry::Metrics,
}

impl Proposer {
    /// Starts the proposing task; it ends when the last clone of the proposer is gone.
    pub(crate) fn start(parts: Parts) -> Proposer {
        let (queue, waiting) = mpsc::channel(PROPOSE_QUEUE_LEN);
        let parts = Arc::new(parts);
        tokio::spawn(run(waiting, move |batch| {
            let parts = Arc::clone(&parts);
            async move { commit(&parts, batch).await }
        }));
        Proposer { queue }
    }

    /// Commits one mutation and tells how it was applied.
    pub(crate) async fn propose(
        &self,
        mutation: Mutation,
        deadline: Instant,
    ) -> Result<Applied, Unavailable> {
        self.enqueue(mutation, deadline, false).await
    }

    /// The same for a mutation that another replica sent: refused unless this one leads.
    pub(crate) async fn propose_as_leader(
        &self,
        mutation: Mutation,
        deadline: Instant,
    ) -> Result<Applied, Unavailable> {
        self.enqueue(mutation, deadline, true).await
    }

    async fn enqueue(
        &self,
        mutation: Mutation,
        deadline: Instant,
        forwarded: bool,
    ) -> Result<Applied, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { mutation, deadline, forwarded, proposed: false, reply };
        match timeout_at(deadline, self.queue.send(waiting)).await {
            Ok(sent) => sent.map_err(|_| Unavailable::ShuttingDown)?,
            Err(_) => return Err(Unavailable::NoQuorum("the proposal queue is full".to_owned())),
        }
        tokio::select! {
            // The task has ended with this runtime, perhaps in the middle of an attempt.
            answer = answer => answer.unwrap_or_else(|_| {
                Err(Unavailable::Timeout(Unavailable::ShuttingDown.to_string()))
            }),
            // The task answers at the deadline with what it knows; this is for one that hangs.
            () = sleep_until(deadline + GRACE) => {
                Err(Unavailable::Timeout("the proposal hangs".to_owned()))
            }
        }
    }
}

/// Hands what waits to `commit`, batch by batch, a few batches at once.
async fn run<C, F>(mut queue: mpsc::Receiver<Waiting>, commit: C)
where
    C: Fn(Vec<Waiting>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let in_flight = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT));
    while let Some(first) = queue.recv().await {
        let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else { return };
        let committed = commit(collect(first, &mut queue));
        tokio::spawn(async move {
            committed.await;
            drop(permit);
        });
    }
}

/// Takes what is waiting, up to the size of one log entry.
fn collect(first: Waiting, queue: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.mutation.encoded_len();
    let mut batch = vec![first];
    while batch.len() < BATCH_MUTATIONS_MAX && bytes < BATCH_BYTES_MAX {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.mutation.encoded_len();
        batch.push(next);
    }
    batch
}

/// What an attempt made of one mutation.
enum Fate {
    Decided(Result<Applied, Unavailable>),
    /// Not decided: it is tried again, with the same request id.
    Again {
        /// Whether it may be committed all the same.
        proposed: bool,
    },
}

/// What an attempt made of a batch.
struct Attempt {
    /// One for each mutation.
    fates: Vec<Fate>,
    /// Why some are to be tried again.
    detail: String,
}

impl Attempt {
    fn again(count: usize, proposed: bool, detail: impl Into<String>) -> Attempt {
        let fates = std::iter::repeat_with(|| Fate::Again { proposed }).take(count).collect();
        Attempt { fates, detail: detail.into() }
    }

    fn failed(count: usize, unavailable: &Unavailable) -> Attempt {
        let fate = || Fate::Decided(Err(unavailable.clone()));
        let fates = std::iter::repeat_with(fate).take(count).collect();
        Attempt { fates, detail: String::new() }
    }
}

async fn commit(parts: &Parts, mut waiting: Vec<Waiting>) {
    let begun = Instant::now();
    let mut detail = "the log does not keep up".to_owned();
    parts.metrics.observe_batch(waiting.len());
    loop {
        waiting = without_expired(waiting, &detail);
        let Some(deadline) = waiting.iter().map(|w| w.deadline).max() else { return };
        let attempt = attempt(parts, &waiting, deadline).await;
        detail = attempt.detail;
        let mut left = Vec::new();
        for (mut one, fate) in waiting.into_iter().zip(attempt.fates) {
            match fate {
                Fate::Decided(result) => one.decide(result),
                Fate::Again { proposed } => {
                    one.proposed |= proposed;
                    if one.forwarded { one.give_up(&detail) } else { left.push(one) }
                }
            }
        }
        if left.is_empty() {
            parts.metrics.observe_proposal(begun.elapsed());
            return;
        }
        waiting = left;
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Whoever waited in vain learns what is known, and nothing more will be proposed for them.
fn without_expired(waiting: Vec<Waiting>, detail: &str) -> Vec<Waiting> {
    let now = Instant::now();
    let (waiting, expired): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|w| w.deadline > now && !w.reply.is_closed());
    for one in expired {
        one.give_up(detail);
    }
    waiting
}

async fn attempt(parts: &Parts, waiting: &[Waiting], deadline: Instant) -> Attempt {
    let count = waiting.len();
    match parts.leader.current() {
        Leader::Here(me) => tokio::select! {
            attempt = write_what_fits(parts, waiting, deadline) => attempt,
            () = parts.leader.replaced(Some(me)) => Attempt::again(count, true, "this replica has lost the lead"),
        },
        // Who sent it here asks the leader itself.
        Leader::At(peer) if waiting.iter().any(|w| w.forwarded) => {
            let detail = format!("this replica does not lead, {} does", peer.name());
            Attempt::again(count, false, detail)
        }
        Leader::At(peer) => tokio::select! {
            attempt = forward(&peer, waiting, deadline) => attempt,
            () = parts.leader.replaced(Some(peer.id())) => {
                Attempt::again(count, true, "the leader has changed")
            }
        },
        Leader::Unknown => {
            let patience = deadline.saturating_duration_since(Instant::now());
            parts.leader.elected(patience).await;
            Attempt::again(count, false, "no leader is known")
        }
    }
}

/// Proposes to this replica's own log what its disk has room for. The leader's disk decides: the
/// others make a quorum without a follower that has no room.
async fn write_what_fits(parts: &Parts, waiting: &[Waiting], deadline: Instant) -> Attempt {
    let promises = waiting.iter().map(|w| parts.disk_space.promise_for(&w.mutation));
    let promises: Vec<_> = promises.collect();
    let has_room = std::iter::zip(waiting, &promises).filter(|(_, promise)| promise.is_ok());
    let mutations: Vec<_> = has_room.map(|(w, _)| &w.mutation).collect();
    let written = write(parts, &mutations, deadline).await;
    let mut fates = written.fates.into_iter();
    let fate = |promise: Result<_, _>| match promise {
        Ok(_promise) => fates.next(),
        Err(full) => Some(Fate::Decided(Err(full))),
    };
    Attempt { fates: promises.into_iter().filter_map(fate).collect(), detail: written.detail }
}

async fn write(parts: &Parts, mutations: &[&Mutation], deadline: Instant) -> Attempt {
    let count = mutations.len();
    if count == 0 {
        return Attempt { fates: Vec::new(), detail: String::new() };
    }
    let Limits { groups, series, state_bytes, .. } = parts.limits;
    let limits = StateLimits { groups: groups as u64, series: series as u64, bytes: state_bytes };
    let command = encode_batch(parts.clock.now(), limits, mutations.iter().copied());
    let written = timeout_at(deadline, parts.raft.client_write(Command(command))).await;
    match written {
        Ok(Ok(response)) => {
            let (index, term) = (response.log_id.index, response.log_id.leader_id.term);
            let outcomes = response.data.0.into_iter();
            let applied = outcomes.map(|outcome| Applied { outcome, index, term });
            let fates = applied.map(|applied| Fate::Decided(Ok(applied))).collect();
            Attempt { fates, detail: String::new() }
        }
        Ok(Err(RaftError::Fatal(fatal))) => {
            Attempt::failed(count, &Unavailable::Fatal(fatal.to_string()))
        }
        Ok(Err(RaftError::APIError(err))) => {
            let proposed = !matches!(err, ClientWriteError::ForwardToLeader(_));
            Attempt::again(count, proposed, "the leader does not reach a quorum")
        }
        Err(_elapsed) => Attempt::again(count, true, "not committed in time"),
    }
}

/// Has the leader propose.
async fn forward(peer: &LeaderPeer, waiting: &[Waiting], deadline: Instant) -> Attempt {
    let timeout = deadline.saturating_duration_since(Instant::now());
    let mutations = waiting.iter().map(|w| encode_mutation(&w.mutation)).collect();
    let request = v1::ProposeRequest { mutations, timeout_ms: millis(timeout) };
    let count = waiting.len();
    if let Err(err) = trials::at(Place::ForwardBefore) {
        return Attempt::again(count, false, err.to_string());
    }
    let answer = peer.propose(timeout, request).await;
    if let Err(err) = trials::at(Place::ForwardAfter) {
        return Attempt::again(count, true, err.to_string());
    }
    match answer {
        Ok(response) if response.results.len() == count => {
            let mut detail = String::new();
            let fates = response.results.into_iter().map(|one| fate(one, &mut detail)).collect();
            Attempt { fates, detail }
        }
        Ok(_) => Attempt::again(count, true, format!("{}: an incomplete answer", peer.name())),
        Err(err) => {
            let proposed = !matches!(err, CallError::Refused(_) | CallError::Unreachable(_));
            Attempt::again(count, proposed, format!("the leader {}: {err}", peer.name()))
        }
    }
}

/// What the leader made of one mutation.
fn fate(proposed: v1::Proposed, detail: &mut String) -> Fate {
    use v1::proposed::Result as Pb;
    use v1::unavailable::Kind;
    match proposed.result {
        Some(Pb::Applied(applied)) => match convert::applied_from_pb(applied) {
            Ok(applied) => Fate::Decided(Ok(applied)),
            Err(_) => Fate::Again { proposed: true },
        },
        Some(Pb::Unavailable(why)) => match why.kind() {
            Kind::DiskFull => Fate::Decided(Err(Unavailable::DiskFull {
                free: why.free_bytes,
                needed: why.needed_bytes,
            })),
            kind => {
                *detail = why.detail;
                Fate::Again { proposed: kind == Kind::Unknown }
            }
        },
        None => Fate::Again { proposed: true },
    }
}

/// The other direction of the same: what the leader tells.
pub(crate) fn proposed(result: Result<Applied, Unavailable>) -> v1::Proposed {
    use v1::proposed::Result as Pb;
    use v1::unavailable::Kind;
    let result = match result {
        Ok(applied) => Pb::Applied(convert::applied_to_pb(applied)),
        Err(unavailable) => {
            let (kind, (free_bytes, needed_bytes)) = match unavailable {
                Unavailable::Timeout(_) | Unavailable::Fatal(_) => (Kind::Unknown, (0, 0)),
                Unavailable::NoQuorum(_)
                | Unavailable::ShuttingDown
                | Unavailable::Starting(_)
                | Unavailable::TooStale { .. } => (Kind::NotProposed, (0, 0)),
                Unavailable::DiskFull { free, needed } => (Kind::DiskFull, (free, needed)),
            };
            let detail = unavailable.to_string();
            Pb::Unavailable(v1::Unavailable { kind: kind.into(), detail, free_bytes, needed_bytes })
        }
    };
    v1::Proposed { result: Some(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Change, RequestId};

    fn waiting() -> Waiting {
        let mutation = Mutation { id: RequestId([0; 16]), change: Change::Wipe };
        let (reply, _) = oneshot::channel();
        let deadline = Instant::now();
        Waiting { mutation, deadline, forwarded: false, proposed: false, reply }
    }

    /// A runtime on which whoever waits for a time panics.
    fn without_timers() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn a_wait_for_company_would_be_noticed() {
        let noticed = without_timers().block_on(async {
            tokio::spawn(async { tokio::time::sleep(Duration::from_nanos(1)).await }).await
        });
        assert!(noticed.unwrap_err().is_panic());
    }

    #[test]
    fn a_refusal_after_an_attempt_that_may_count_is_no_refusal() {
        let full = Unavailable::DiskFull { free: 1, needed: 2 };
        for proposed in [false, true] {
            let (reply, mut answer) = oneshot::channel();
            Waiting { proposed, reply, ..waiting() }.decide(Err(full.clone()));
            let answer = answer.try_recv().unwrap().unwrap_err();
            assert_eq!(matches!(answer, Unavailable::Timeout(_)), proposed, "{answer}");
        }
    }

    #[tokio::test]
    async fn what_is_under_way_when_the_task_ends_may_count() {
        let (queue, mut waiting) = mpsc::channel(PROPOSE_QUEUE_LEN);
        let mutation = Mutation { id: RequestId([0; 16]), change: Change::Wipe };
        let deadline = Instant::now() + Duration::from_mins(1);
        let proposer = Proposer { queue };
        let (answer, ()) = tokio::join!(proposer.propose(mutation, deadline), async {
            drop(waiting.recv().await);
        });
        assert!(matches!(answer, Err(Unavailable::Timeout(_))), "{answer:?}");
    }

    #[test]
    fn a_lone_change_is_proposed_without_waiting_for_company() {
        without_timers().block_on(async {
            let (queue, incoming) = mpsc::channel(PROPOSE_QUEUE_LEN);
            let (proposed, mut proposals) = mpsc::channel(PROPOSE_QUEUE_LEN);
            let running = tokio::spawn(run(incoming, move |batch| {
                // The test fails by what it receives, or does not.
                proposed.try_send(batch.len()).unwrap();
                std::future::ready(())
            }));
            for _ in 0..10 {
                queue.try_send(waiting()).ok().unwrap();
                // Nothing else happens until it is proposed: no second change, no time.
                assert_eq!(proposals.recv().await, Some(1), "{running:?}");
            }
            drop(queue);
            running.await.unwrap();
        });
    }

    #[test]
    fn changes_gather_while_others_are_under_way() {
        without_timers().block_on(async {
            let (queue, incoming) = mpsc::channel(PROPOSE_QUEUE_LEN);
            let (proposed, mut proposals) = mpsc::channel(PROPOSE_QUEUE_LEN);
            let gate = Arc::new(Semaphore::new(0));
            let held = Arc::clone(&gate);
            tokio::spawn(run(incoming, move |batch| {
                proposed.try_send(batch.len()).unwrap();
                let held = Arc::clone(&held);
                async move { held.acquire().await.unwrap().forget() }
            }));
            for _ in 0..BATCHES_IN_FLIGHT {
                queue.try_send(waiting()).ok().unwrap();
                assert_eq!(proposals.recv().await, Some(1));
            }
            for _ in 0..20 {
                queue.try_send(waiting()).ok().unwrap();
            }
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert!(proposals.try_recv().is_err(), "no more are under way at once");
            gate.add_permits(1);
            assert_eq!(proposals.recv().await, Some(20));
        });
    }
}
