//! How many pushes a cluster takes, and what they cost.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Client, Push, channel};
use crate::servers::usage::Cpu;
use crate::trio::{Agreed, Trio};

/// Clients that share a connection to etcd, where calls are multiplexed. It takes more puts from
/// fewer connections, so it is not measured with one each.
const CLIENTS_A_CHANNEL: usize = 16;

/// Whom clients push to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    Leader,
    Followers,
}

impl Through {
    fn members(self, agreed: Agreed) -> Vec<usize> {
        match self {
            Through::Leader => vec![agreed.leader],
            Through::Followers => agreed.followers(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Through::Leader => "leader",
            Through::Followers => "followers",
        }
    }
}

/// Clients that push one after the other, each what its next is as soon as the last is acknowledged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) through: Through,
    pub(crate) clients: usize,
    pub(crate) bytes: usize,
    pub(crate) duration: Duration,
}

/// What it measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pushed {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU seconds of the three members for each push.
    pub(crate) cpu: f64,
    /// CPU seconds of this process for each push.
    pub(crate) client_cpu: f64,
    pub(crate) failed: usize,
}

impl Load {
    pub(crate) async fn run(self, trio: &Trio) -> Pushed {
        let agreed = trio.agreed().await;
        let clients = clients(trio, &self.through.members(agreed), self.clients);
        let me = std::process::id();
        let (used, client_used) = (trio.cpu(), Cpu::of(me));
        let (begun, end) = (Instant::now(), Instant::now() + self.duration);
        let mut pushers = JoinSet::new();
        for (at, client) in clients.into_iter().enumerate() {
            let push = Push::new(&at.to_string(), self.bytes);
            pushers.spawn(push_until(client, push, end));
        }
        let all = pushers.join_all().await;
        let seconds = begun.elapsed().as_secs_f64();
        let client_cpu = Cpu::of(me).since(client_used);
        // What is written behind belongs to the pushes, too.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let cpu = trio.cpu_since(&used);
        let failed = all.iter().map(|(_, failed)| failed).sum();
        let latencies = all.into_iter().flat_map(|(latencies, _)| latencies).collect();
        let [p50_ms, p99_ms, count] = quantiles(latencies);
        Pushed {
            per_second: count / seconds,
            p50_ms,
            p99_ms,
            cpu: cpu / count,
            client_cpu: client_cpu / count,
            failed,
        }
    }
}

/// As many clients, spread over the members.
pub(crate) fn clients(trio: &Trio, members: &[usize], count: usize) -> Vec<Client> {
    let mut channels = Vec::new();
    (0..count)
        .map(|at| {
            let addr = trio.addr(members[at % members.len()]);
            if trio.is_gate() {
                return Client::open(true, addr);
            }
            // Neighbours go to different members, so each has its own share of the channels.
            let shared =
                at % members.len() + at / CLIENTS_A_CHANNEL / members.len() * members.len();
            while channels.len() <= shared {
                channels.push(channel(trio.addr(members[channels.len() % members.len()])));
            }
            Client::on(&channels[shared])
        })
        .collect()
}

/// The latency in seconds of each push, and how many failed.
async fn push_until(mut client: Client, mut push: Push, end: Instant) -> (Vec<f64>, usize) {
    let (mut latencies, mut failed) = (Vec::new(), 0);
    while Instant::now() < end {
        let sent = Instant::now();
        if client.push(&mut push).await.is_ok() {
            latencies.push(sent.elapsed().as_secs_f64());
        } else {
            failed += 1;
            // An election, on a machine that does not keep up.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    (latencies, failed)
}

/// p50 and p99 in milliseconds, and how many there are.
pub(crate) fn quantiles(mut latencies: Vec<f64>) -> [f64; 3] {
    assert!(!latencies.is_empty(), "nothing succeeded");
    latencies.sort_by(f64::total_cmp);
    let quantile = |share: f64| latencies[((latencies.len() - 1) as f64 * share).round() as usize];
    [quantile(0.5) * 1e3, quantile(0.99) * 1e3, latencies.len() as f64]
}
