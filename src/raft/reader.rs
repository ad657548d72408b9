//! Linearizable reads: asks the leader how far a read that begins now must see.
//!
//! All reads that wait share one question, asked after the last of them arrived. The leader asks a
//! quorum in turn whether it still leads; a lease would be cheaper and, after a restart of a follower,
//! wrong.

use std::sync::Arc;
use std::time::Duration;

use openraft::LinearizerOption;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::limits::READ_QUEUE_LEN;
use crate::pb::v1;
use crate::trials::{self, Bug};

use super::error::Unavailable;
use super::leader::{Leader, LeaderPeer, LeaderView};
use super::types::{Raft, TypeConfig};

/// Pause before a question that found no leader is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(5);
/// How long one question may take; a leader that lost its quorum does not answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// How far a read must see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadPoint {
    /// Everything acknowledged before the read began is at or below this log index.
    pub(crate) index: u64,
    /// The term of the leader that said so.
    pub(crate) term: u64,
}

struct Waiting {
    deadline: Instant,
    /// Whether another replica asks, which wants an answer of this one alone.
    forwarded: bool,
    reply: oneshot::Sender<Result<ReadPoint, Unavailable>>,
}

/// The way in for reads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reader {
    queue: mpsc::Sender<Waiting>,
}

impl Reader {
    /// Starts the asking task; it ends when the last clone of the reader is gone.
    pub(crate) fn start(raft: Raft, leader: LeaderView) -> Reader {
        let (queue, waiting) = mpsc::channel(READ_QUEUE_LEN);
        let asker = Arc::new(Asker { raft, leader });
        tokio::spawn(run(waiting, move |deadline| {
            let asker = Arc::clone(&asker);
            async move { asker.ask(deadline).await }
        }));
        Reader { queue }
    }

    /// How far a read that begins now must see.
    pub(crate) async fn point(&self, deadline: Instant) -> Result<ReadPoint, Unavailable> {
        self.ask(deadline, false).await
    }

    /// The same for a read at another replica: answered only while this one leads.
    pub(crate) async fn point_as_leader(
        &self,
        deadline: Instant,
    ) -> Result<ReadPoint, Unavailable> {
        self.ask(deadline, true).await
    }

    async fn ask(&self, deadline: Instant, forwarded: bool) -> Result<ReadPoint, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting { deadline, forwarded, reply };
        match timeout_at(deadline, self.queue.send(waiting)).await {
            Ok(sent) => sent.map_err(|_| Unavailable::ShuttingDown)?,
            Err(_) => return Err(Unavailable::NoQuorum("too many reads are waiting".to_owned())),
        }
        tokio::select! {
            answer = answer => answer.unwrap_or(Err(Unavailable::ShuttingDown)),
            // The task answers at the deadline with what it knows; this is for one that hangs.
            () = sleep_until(deadline + ATTEMPT_TIMEOUT) => {
                Err(Unavailable::NoQuorum("the question to the leader hangs".to_owned()))
            }
        }
    }
}

/// Answers what waits, question by question.
async fn run<A, F>(mut queue: mpsc::Receiver<Waiting>, ask: A)
where
    A: Fn(Instant) -> F,
    F: Future<Output = Result<Asked, Unavailable>>,
{
    while let Some(first) = queue.recv().await {
        let mut waiting = vec![first];
        while !waiting.is_empty() {
            // Who arrived until now is served by the question that is asked next.
            while let Ok(more) = queue.try_recv() {
                waiting.push(more);
            }
            let first = waiting.iter().map(|w| w.deadline).min().unwrap_or_else(Instant::now);
            let result = ask(first).await;
            waiting = settle(waiting, &result);
            if !waiting.is_empty() {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Answers whom the result answers; the others wait on.
fn settle(waiting: Vec<Waiting>, result: &Result<Asked, Unavailable>) -> Vec<Waiting> {
    let now = Instant::now();
    let mut left = Vec::new();
    for one in waiting {
        let answer = match result {
            Ok(Asked::Point { point, .. }) if !one.forwarded => Ok(*point),
            Ok(Asked::Point { point, led_here: true }) => Ok(*point),
            Ok(Asked::Point { led_here: false, .. }) => {
                Err(Unavailable::NoQuorum("this replica does not lead".to_owned()))
            }
            Ok(Asked::Again(detail)) if one.forwarded || one.deadline <= now => {
                Err(Unavailable::NoQuorum(detail.clone()))
            }
            Ok(Asked::Again(_)) if one.reply.is_closed() => continue,
            Ok(Asked::Again(_)) => {
                left.push(one);
                continue;
            }
            Err(err) => Err(err.clone()),
        };
        // The client may have gone away.
        let _ignored = one.reply.send(answer);
    }
    left
}

enum Asked {
    Point { point: ReadPoint, led_here: bool },
    Again(String),
}

struct Asker {
    raft: Raft,
    leader: LeaderView,
}

impl Asker {
    /// Asks once; at the latest at `deadline` there is an answer.
    async fn ask(&self, deadline: Instant) -> Result<Asked, Unavailable> {
        let now = Instant::now();
        let timeout = deadline.saturating_duration_since(now).min(ATTEMPT_TIMEOUT);
        match self.leader.current() {
            Leader::Here(_) => self.ask_quorum(timeout).await,
            Leader::At(peer) => Ok(tokio::select! {
                asked = ask_leader(&peer, timeout) => asked,
                () = self.leader.replaced(Some(peer.id())) => Asked::Again("the leader has changed".to_owned()),
            }),
            Leader::Unknown => {
                self.leader.elected(timeout).await;
                Ok(Asked::Again("no leader is known".to_owned()))
            }
        }
    }

    async fn ask_quorum(&self, timeout: Duration) -> Result<Asked, Unavailable> {
        if trials::bug(Bug::LeaseRead)
            && let Some(id) = self.raft.metrics().borrow_watched().local_committed
        {
            let point = ReadPoint { index: id.index, term: id.leader_id.term };
            return Ok(Asked::Point { point, led_here: true });
        }
        // A zero age asks for a round of its own: a lease could be out of date unnoticed.
        let option = LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(timeout);
        match self.raft.get_read_linearizer(option).await {
            Ok(linearizer) => {
                let id = linearizer.read_log_id().log_id();
                let point = ReadPoint { index: id.index, term: id.leader_id.term };
                Ok(Asked::Point { point, led_here: true })
            }
            Err(RaftError::Fatal(fatal)) => Err(Unavailable::Fatal(fatal.to_string())),
            Err(RaftError::APIError(err)) => Ok(Asked::Again(describe(&err))),
        }
    }
}

async fn ask_leader(peer: &LeaderPeer, timeout: Duration) -> Asked {
    let request = v1::ReadIndexRequest { timeout_ms: millis(timeout) };
    match peer.read_index(timeout, request).await {
        Ok(v1::ReadIndexResponse { index, term, unavailable }) if unavailable.is_empty() => {
            Asked::Point { point: ReadPoint { index, term }, led_here: false }
        }
        Ok(refused) => Asked::Again(refused.unavailable),
        Err(err) => Asked::Again(format!("the leader {}: {err}", peer.name())),
    }
}

fn describe(err: &LinearizableReadError<TypeConfig>) -> String {
    match err {
        LinearizableReadError::ForwardToLeader(_) => "this replica does not lead now".to_owned(),
        LinearizableReadError::QuorumNotEnough(err) => err.to_string(),
    }
}

/// Whole milliseconds, at least one.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// Reads that arrive while a question is under way must not be served by it: what they have to
    /// see may be newer than the quorum's answer.
    #[tokio::test(start_paused = true)]
    async fn reads_share_the_question_that_is_asked_after_they_arrived() {
        let (queue, waiting) = mpsc::channel(READ_QUEUE_LEN);
        let (questions, mut asked) = mpsc::channel(READ_QUEUE_LEN);
        let (gate, count) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (held, counted) = (Arc::clone(&gate), Arc::clone(&count));
        tokio::spawn(run(waiting, move |_| {
            counted.add_permits(1);
            let index = counted.available_permits() as u64;
            questions.try_send(index).unwrap();
            let held = Arc::clone(&held);
            async move {
                held.acquire().await.unwrap().forget();
                Ok(Asked::Point { point: ReadPoint { index, term: 1 }, led_here: true })
            }
        }));
        let reader = Reader { queue };
        let read = || {
            let reader = reader.clone();
            let deadline = Instant::now() + Duration::from_secs(5);
            tokio::spawn(async move { reader.point(deadline).await.unwrap().index })
        };
        let first = read();
        assert_eq!(asked.recv().await, Some(1));
        let later: Vec<_> = (0..20).map(|_| read()).collect();
        while reader.queue.capacity() > READ_QUEUE_LEN - later.len() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), 1);
        for read in later {
            assert_eq!(read.await.unwrap(), 2);
        }
        assert_eq!(count.available_permits(), 2, "one question for twenty reads");
    }
}
