//! Three members of one program, as real processes, each in a folder of its own on a real disk.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::servers::place::{Folder, free_port};
use crate::servers::usage::{Cpu, resident};

/// Members of a cluster.
pub(crate) const MEMBERS: usize = 3;
/// How long a cluster may take to be healthy.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the members run.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// quorumgate, with flags beyond those that it needs.
    Gate {
        path: PathBuf,
        flags: Vec<String>,
    },
    Etcd {
        path: PathBuf,
    },
}

/// A running cluster; killed on drop.
#[derive(Debug)]
pub(crate) struct Trio {
    program: Program,
    folder: Folder,
    /// For clients, and for each other.
    addresses: [(SocketAddr, SocketAddr); MEMBERS],
    members: [Option<Child>; MEMBERS],
}

/// What all members agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) leader: usize,
    pub(crate) term: u64,
}

impl Agreed {
    pub(crate) fn followers(self) -> Vec<usize> {
        (0..MEMBERS).filter(|at| *at != self.leader).collect()
    }
}

impl Trio {
    pub(crate) fn start(program: Program, name: &str) -> Trio {
        let folder = Folder::new(name);
        let addresses = [(); MEMBERS].map(|()| (free_port(), free_port()));
        let mut trio = Trio { program, folder, addresses, members: [const { None }; MEMBERS] };
        (0..MEMBERS).for_each(|at| trio.start_member(at));
        trio
    }

    pub(crate) fn start_member(&mut self, at: usize) {
        let mut command = match &self.program {
            Program::Gate { path, flags } => self.gate(at, path, flags),
            Program::Etcd { path } => self.etcd(at, path),
        };
        let log = self.folder.path().join(format!("{at}.log"));
        let said = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        self.members[at] = Some(child);
    }

    fn gate(&self, at: usize, path: &PathBuf, flags: &[String]) -> Command {
        let peers = self.addresses.map(|(_, peer)| peer.to_string()).join(",");
        let (client, peer) = self.addresses[at];
        let mut command = Command::new(path);
        command
            .arg(format!("--web.listen-address={client}"))
            .arg(format!("--cluster.listen-address={peer}"))
            .arg(format!("--cluster.name={at}"))
            .arg(format!("--cluster.join={peers}"))
            .arg(format!("--cluster.bootstrap-expect={MEMBERS}"))
            .arg(format!("--storage.path={}", self.folder.path().join(at.to_string()).display()))
            .args(flags);
        command
    }

    fn etcd(&self, at: usize, path: &PathBuf) -> Command {
        let named = |at: usize| format!("{at}=http://{}", self.addresses[at].1);
        let (client, peer) = self.addresses[at];
        let mut command = Command::new(path);
        command
            .arg(format!("--name={at}"))
            .arg(format!("--data-dir={}", self.folder.path().join(at.to_string()).display()))
            .arg(format!("--listen-client-urls=http://{client}"))
            .arg(format!("--advertise-client-urls=http://{client}"))
            .arg(format!("--listen-peer-urls=http://{peer}"))
            .arg(format!("--initial-advertise-peer-urls=http://{peer}"))
            .arg(format!(
                "--initial-cluster={}",
                (0..MEMBERS).map(named).collect::<Vec<_>>().join(",")
            ))
            // The default of 2 GiB would end the run.
            .arg("--quota-backend-bytes=8589934592")
            .args(["--logger=zap", "--log-level=warn"]);
        command
    }

    pub(crate) fn is_gate(&self) -> bool {
        matches!(self.program, Program::Gate { .. })
    }

    pub(crate) fn addr(&self, at: usize) -> SocketAddr {
        self.addresses[at].0
    }

    /// Waits until all members are ready and follow the same leader, for a moment at least.
    pub(crate) async fn agreed(&self) -> Agreed {
        let begun = Instant::now();
        let mut before = None;
        loop {
            let now = self.look().await;
            if let (Some(now), true) = (now, now == before) {
                return now;
            }
            before = now;
            assert!(begun.elapsed() < PATIENCE, "no healthy cluster in {:?}", self.folder);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn look(&self) -> Option<Agreed> {
        let mut agreed = None;
        let mut terms = Vec::new();
        for at in 0..MEMBERS {
            let leads = Client::open(self.is_gate(), self.addr(at)).leads(at);
            let (leads, term) =
                tokio::time::timeout(Duration::from_secs(2), leads).await.ok()??;
            terms.push(term);
            if leads {
                agreed = Some(Agreed { leader: at, term });
            }
        }
        agreed.filter(|agreed| terms.iter().all(|term| *term == agreed.term))
    }

    fn pids(&self) -> impl Iterator<Item = u32> {
        self.members.iter().flatten().map(Child::id)
    }

    /// CPU time of all members so far.
    pub(crate) fn cpu(&self) -> Vec<Cpu> {
        self.pids().map(Cpu::of).collect()
    }

    /// Seconds used by all members since then.
    pub(crate) fn cpu_since(&self, earlier: &[Cpu]) -> f64 {
        std::iter::zip(self.cpu(), earlier).map(|(now, earlier)| now.since(*earlier)).sum()
    }

    /// Resident bytes of all members.
    pub(crate) fn resident(&self) -> f64 {
        self.pids().map(resident).sum()
    }

    pub(crate) fn signal(&self, at: usize, signal: &str) {
        let pid = self.members[at].as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// Waits until a member that was told to stop has, and starts it again.
    pub(crate) async fn restart(&mut self, at: usize) {
        let mut member = self.members[at].take().unwrap();
        let begun = Instant::now();
        while member.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the process does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.start_member(at);
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        for member in self.members.iter_mut().flatten() {
            // Both fail only if the process has already ended.
            drop(member.kill());
            drop(member.wait());
        }
    }
}
