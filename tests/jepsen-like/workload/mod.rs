//! Clients that push, delete and scrape at an even rate whatever the answers are.
//!
//! When a client sends is laid down by the seed. It waits for nobody else, and what falls due while
//! it waits for an answer is left out, so there are never more operations under way than clients.
//! Most clients keep to one replica; the others ask another one each time.

mod client;
mod kind;
mod plan;
mod random;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::history::{Action, History, Op, Outcome};
use client::{Client, Shared};
pub(crate) use kind::Kind;

/// How long a client waits for an answer: longer than a replica may take to say that it cannot serve.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The same for megabytes.
const PATIENCE_LARGE: Duration = Duration::from_secs(5);
/// Megabytes are sent at this rate at most.
const LARGE_PER_SECOND: u32 = 4;
/// How long a replica may take to answer after the end.
const LAST_READ_MAX: Duration = Duration::from_secs(10);
const LAST_READ_PAUSE: Duration = Duration::from_millis(100);
/// Clients and operations of the reads after the end are numbered from here on.
const LAST_IDS: u64 = 1 << 60;

/// A replica as clients see it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) web: SocketAddr,
}

/// A load to be started. Two at once on one cluster must have different seeds or kinds, and none of
/// them may be `Churn`, which wipes everything now and then.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
    pub(crate) ops_per_second: u32,
    pub(crate) clients: u32,
}

impl Load {
    fn patience(&self) -> Duration {
        if self.kind == Kind::Large { PATIENCE_LARGE } else { PATIENCE }
    }

    fn rate(&self) -> u32 {
        let most = if self.kind == Kind::Large { LARGE_PER_SECOND } else { u32::MAX };
        self.ops_per_second.clamp(1, most)
    }
}

/// Clients at work.
pub(crate) struct Running {
    history: History,
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Op>>>,
}

/// Starts the clients. Times count from the epoch, which is past.
pub(crate) fn start(load: &Load, targets: &[Target], epoch: Instant) -> Running {
    let job = format!("{}-{:x}", load.kind.name(), load.seed);
    let shared = Arc::new(Shared {
        targets: targets.to_vec(),
        epoch,
        job: job.clone(),
        patience: load.patience(),
        stop: AtomicBool::new(false),
        acknowledged: AtomicU64::new(0),
    });
    let clients = (0..u64::from(load.clients.max(1)))
        .map(|number| {
            let client = Client::new(load, load.rate(), number, Arc::clone(&shared));
            std::thread::spawn(move || client.run())
        })
        .collect();
    let patience = nanos(load.patience());
    let history = History { started: wall_at(epoch), patience, job, ops: Vec::new() };
    Running { history, shared, clients }
}

impl Running {
    /// How many changes have been acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops the clients and tells what they did. Takes as long as an answer may.
    pub(crate) fn stop(self) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut history = self.history;
        for client in self.clients {
            // A client that panicked has said so.
            history.ops.extend(client.join().unwrap_or_default());
        }
        history.ops.sort_by_key(|op| (op.called, op.id));
        history
    }
}

/// Reads every replica once more, after the end: each is asked until it answers or ten seconds have
/// passed.
pub(crate) fn final_reads(history: &mut History, targets: &[Target], epoch: Instant) {
    let (job, base) = (history.job.clone(), LAST_IDS + history.ops.len() as u64);
    let reads: Vec<Op> = std::thread::scope(|scope| {
        let job = &job;
        let asked: Vec<_> = targets
            .iter()
            .zip(base..)
            .map(|(target, id)| scope.spawn(move || last_read(target, id, job, epoch)))
            .collect();
        asked.into_iter().filter_map(|read| read.join().ok()).collect()
    });
    history.ops.extend(reads);
}

fn last_read(target: &Target, id: u64, job: &str, epoch: Instant) -> Op {
    let begun = Instant::now();
    loop {
        let called = nanos(epoch.elapsed());
        let answer = crate::client::perform(target.web, &Action::Scrape, None, job, PATIENCE_LARGE);
        let (outcome, picture) = answer;
        if matches!(outcome, Outcome::Ok(_)) || begun.elapsed() > LAST_READ_MAX {
            return Op {
                id,
                client: id,
                replica: target.name.clone(),
                called,
                returned: nanos(epoch.elapsed()),
                action: Action::Scrape,
                key: None,
                outcome,
                picture,
                last: true,
            };
        }
        std::thread::sleep(LAST_READ_PAUSE);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The wall clock at that moment.
#[expect(clippy::disallowed_methods, reason = "push times are held against the clients' own clock")]
fn wall_at(epoch: Instant) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    nanos(now.saturating_sub(epoch.elapsed()))
}
