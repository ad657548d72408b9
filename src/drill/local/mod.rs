//! Replicas that the drill starts on this machine, from its own binary, and what it does to them.

mod net;
mod tool;
mod volume;

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use self::net::Net;
use self::volume::Volume;
use super::args::Settings;
use super::fault::Fault;
use crate::ctl::client::Endpoint;

/// Replicas of one cluster. Those that run are killed on drop, and their folders removed.
pub(super) struct Local {
    folder: PathBuf,
    replicas: Vec<Replica>,
    net: Option<Net>,
    program: PathBuf,
    flags: Vec<String>,
    keep: bool,
}

struct Replica {
    name: String,
    /// For clients, and for the other replicas.
    web: String,
    peer: String,
    child: Option<Child>,
    volume: Option<Volume>,
}

impl Local {
    /// Which of these faults this machine allows, and why not the others.
    pub(super) fn possible(faults: &[Fault]) -> (Vec<Fault>, Vec<(Fault, String)>) {
        let (mut possible, mut skipped) = (Vec::new(), Vec::new());
        for fault in faults {
            let allowed = match fault {
                Fault::Partition => Net::possible(),
                Fault::PowerCut => Volume::possible(),
                _ => Ok(()),
            };
            match allowed {
                Ok(()) => possible.push(*fault),
                Err(why) => skipped.push((*fault, why)),
            }
        }
        (possible, skipped)
    }

    /// Starts replicas that form a cluster.
    pub(super) fn start(count: usize, settings: &Settings, run: &str) -> Result<Local, String> {
        let program = std::env::current_exe()
            .map_err(|err| format!("where this program is cannot be told: {err}"))?;
        let folder = settings.storage_path.join(format!("quorumgate-drill-{run}"));
        std::fs::create_dir_all(&folder)
            .map_err(|err| format!("{}: cannot be made: {err}", folder.display()))?;
        let mut local = Local {
            folder,
            replicas: Vec::new(),
            net: None,
            program,
            flags: settings.replica_flags.clone(),
            keep: false,
        };
        if settings.faults.contains(&Fault::Partition) {
            local.net = Some(Net::new(count)?);
        }
        local.make_replicas(count, settings.faults.contains(&Fault::PowerCut))?;
        for at in 0..count {
            local.start_replica(at)?;
        }
        Ok(local)
    }

    fn make_replicas(&mut self, count: usize, with_volumes: bool) -> Result<(), String> {
        let addresses = match &self.net {
            Some(net) => net.addresses(),
            None => loopback(count)?,
        };
        for (at, (web, peer)) in addresses.into_iter().enumerate() {
            let name = format!("gate-{at}");
            let folder = self.folder.join(&name);
            std::fs::create_dir_all(&folder)
                .map_err(|err| format!("{}: cannot be made: {err}", folder.display()))?;
            let volume = with_volumes.then(|| Volume::new(&folder)).transpose()?;
            self.replicas.push(Replica { name, web, peer, child: None, volume });
        }
        Ok(())
    }

    /// Where all of them are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves the folders in their place.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// Where clients reach the replicas.
    pub(super) fn endpoints(&self) -> Result<Vec<Endpoint>, String> {
        self.replicas.iter().map(|replica| Endpoint::parse(&replica.web)).collect()
    }

    /// Which replica has stopped by itself, and what it said last.
    pub(super) fn died(&mut self) -> Option<String> {
        let folder = self.folder.clone();
        self.replicas.iter_mut().find_map(|replica| {
            let status = replica.child.as_mut()?.try_wait().ok()??;
            let said = std::fs::read_to_string(log(&folder, &replica.name)).unwrap_or_default();
            let last = said.lines().last().unwrap_or_default();
            Some(format!("{} stopped with {status}: {last}", replica.name))
        })
    }

    fn replica(&mut self, at: usize) -> Result<&mut Replica, String> {
        self.replicas.get_mut(at).ok_or_else(|| "there is no such replica".to_owned())
    }

    fn start_replica(&mut self, at: usize) -> Result<(), String> {
        let peers: Vec<&str> = self.replicas.iter().map(|replica| replica.peer.as_str()).collect();
        let (peers, count) = (peers.join(","), self.replicas.len());
        let mut command = match &self.net {
            Some(net) => net.command(at, &self.program),
            None => Command::new(&self.program),
        };
        let replica = self.replicas.get(at).ok_or("there is no such replica")?;
        if replica.child.is_some() {
            // The fault that should have ended it did not come about.
            return Ok(());
        }
        let folder = self.folder.join(&replica.name);
        let folder = replica.volume.as_ref().map_or(folder, Volume::mount_point);
        command
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={}", replica.web))
            .arg(format!("--cluster.listen-address={}", replica.peer))
            .arg(format!("--cluster.advertise-address={}", replica.peer))
            .arg(format!("--cluster.name={}", replica.name))
            .arg(format!("--cluster.join={peers}"))
            .arg(format!("--cluster.bootstrap-expect={count}"))
            .arg("--web.enable-admin-api")
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file(&log(&self.folder, &replica.name))?)
            // Ctrl-C is for the drill, which then stops them.
            .process_group(0);
        let child = command.spawn().map_err(|err| format!("{} cannot start: {err}", replica.name));
        self.replica(at)?.child = Some(child?);
        Ok(())
    }

    /// Has a fault befall a replica.
    pub(super) fn inject(&mut self, fault: Fault, at: usize) -> Result<(), String> {
        match fault {
            Fault::Kill => self.replica(at)?.kill(),
            Fault::Stop => self.replica(at)?.signal(Signal::STOP),
            Fault::Term => self.replica(at)?.signal(Signal::TERM),
            Fault::Partition => match &self.net {
                Some(net) => net.isolate(at),
                None => Err("there are no network namespaces".to_owned()),
            },
            Fault::PowerCut => {
                let replica = self.replica(at)?;
                match &replica.volume {
                    Some(volume) => volume.cut_power()?,
                    None => return Err("there is no loop mount".to_owned()),
                }
                replica.kill()
            }
            Fault::Transfer | Fault::Manual | Fault::Command => Ok(()),
        }
    }

    /// Undoes it.
    pub(super) fn heal(&mut self, fault: Fault, at: usize, wait: Duration) -> Result<(), String> {
        match fault {
            Fault::Kill => self.start_replica(at),
            Fault::Stop => self.replica(at)?.signal(Signal::CONT),
            Fault::Term => {
                self.replica(at)?.until_stopped(wait)?;
                self.start_replica(at)
            }
            Fault::Partition => match &self.net {
                Some(net) => net.join(at),
                None => Ok(()),
            },
            Fault::PowerCut => {
                if let Some(volume) = &self.replica(at)?.volume {
                    volume.power_on()?;
                }
                self.start_replica(at)
            }
            Fault::Transfer | Fault::Manual | Fault::Command => Ok(()),
        }
    }
}

impl Replica {
    fn kill(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let killed = child.kill().and_then(|()| child.wait());
        killed.map(|_| ()).map_err(|err| format!("{} cannot be killed: {err}", self.name))
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let child = self.child.as_ref().ok_or_else(|| format!("{} does not run", self.name))?;
        kill_process(Pid::from_child(child), signal)
            .map_err(|err| format!("{} cannot be sent a signal: {err}", self.name))
    }

    fn until_stopped(&mut self, wait: Duration) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let deadline = Instant::now() + wait;
        loop {
            match child.try_wait() {
                Ok(Some(_)) => return Ok(()),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(None) => {
                    self.child = Some(child);
                    return Err(format!("{} has not stopped within {wait:?}", self.name));
                }
                Err(err) => return Err(format!("{}: {err}", self.name)),
            }
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        for replica in &mut self.replicas {
            // It may be gone already.
            drop(replica.kill());
            drop(replica.volume.take());
        }
        drop(self.net.take());
        if !self.keep {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn log_file(path: &Path) -> Result<File, String> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|err| format!("{}: cannot be written: {err}", path.display()))
}

/// Addresses of replicas in the loopback network: each has one of its own, so that nothing else takes
/// its port while it is down.
fn loopback(count: usize) -> Result<Vec<(String, String)>, String> {
    let process = std::process::id();
    for attempt in 0..100 {
        let seed = process.wrapping_add(attempt);
        // Below the ports that outgoing connections are given.
        let port = 20_000 + seed % 10_000;
        let hosts = (1..=count).map(|at| format!("127.2.{}.{at}", seed % 250));
        let addresses: Vec<(String, String)> =
            hosts.map(|host| (format!("{host}:{port}"), format!("{host}:{}", port + 1))).collect();
        let free = addresses
            .iter()
            .all(|(web, peer)| TcpListener::bind(web).is_ok() && TcpListener::bind(peer).is_ok());
        if free {
            return Ok(addresses);
        }
    }
    Err("no free addresses in the loopback network (127.2.0.0/16)".to_owned())
}
