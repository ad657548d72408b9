//! A network namespace for each replica, on a bridge that clients reach from here.

use std::path::Path;
use std::process::Command;

use super::tool::{is_root, run};

/// Where packets go that are to get lost.
const NOBODY: &str = "02:00:00:00:00:01";
const WEB_PORT: u16 = 9091;
const PEER_PORT: u16 = 9092;

/// Namespaces on a bridge; removed on drop.
pub(super) struct Net {
    bridge: String,
    /// The third byte of the addresses.
    number: u32,
    /// By replica.
    spaces: Vec<String>,
}

impl Net {
    /// Whether this machine allows it.
    pub(super) fn possible() -> Result<(), String> {
        is_root()?;
        let probe = Net { bridge: name("p"), number: 0, spaces: vec![name("p0")] };
        probe.add_bridge()?;
        run("ip", &["netns", "add", &name("p0")])
    }

    pub(super) fn new(count: usize) -> Result<Net, String> {
        let number = std::process::id() % 256;
        let mut net = Net { bridge: name("b"), number, spaces: Vec::new() };
        net.add_bridge()?;
        run("ip", &["addr", "add", &format!("198.18.{number}.254/24"), "dev", &net.bridge])?;
        run("ip", &["link", "set", &net.bridge, "up"])?;
        for at in 0..count {
            net.add_space(at)?;
        }
        Ok(net)
    }

    fn add_bridge(&self) -> Result<(), String> {
        run("ip", &["link", "add", &self.bridge, "type", "bridge"])
    }

    fn add_space(&mut self, at: usize) -> Result<(), String> {
        let space = name(&at.to_string());
        run("ip", &["netns", "add", &space])?;
        self.spaces.push(space.clone());
        let (space, bridge) = (space.as_str(), self.bridge.as_str());
        run("ip", &["link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space])?;
        run("ip", &["link", "set", space, "master", bridge, "up"])?;
        let address = format!("{}/24", self.host(at));
        run("ip", &["-n", space, "addr", "add", &address, "dev", "eth0"])?;
        run("ip", &["-n", space, "link", "set", "eth0", "up"])?;
        run("ip", &["-n", space, "link", "set", "lo", "up"])
    }

    fn host(&self, at: usize) -> String {
        format!("198.18.{}.{}", self.number, at + 1)
    }

    /// Where replicas serve clients, and each other.
    pub(super) fn addresses(&self) -> Vec<(String, String)> {
        let hosts = (0..self.spaces.len()).map(|at| self.host(at));
        hosts.map(|host| (format!("{host}:{WEB_PORT}"), format!("{host}:{PEER_PORT}"))).collect()
    }

    /// Runs a program where a replica is; it is the process that is started.
    pub(super) fn command(&self, at: usize, program: &Path) -> Command {
        let space = self.spaces.get(at).map_or("", String::as_str);
        // `ip netns exec` would give it mounts of its own, too.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{space}")).arg("--").arg(program);
        command
    }

    /// Loses all packets between a replica and the others, both ways.
    pub(super) fn isolate(&self, at: usize) -> Result<(), String> {
        self.links(at, |space, host| {
            let lost = ["lladdr", NOBODY, "dev", "eth0", "nud", "permanent"];
            run("ip", &[&["-n", space, "neigh", "replace", host], &lost[..]].concat())
        })
    }

    /// Undoes that.
    pub(super) fn join(&self, at: usize) -> Result<(), String> {
        self.links(at, |space, host| run("ip", &["-n", space, "neigh", "del", host, "dev", "eth0"]))
    }

    fn links(
        &self,
        at: usize,
        change: impl Fn(&str, &str) -> Result<(), String>,
    ) -> Result<(), String> {
        let here = self.spaces.get(at).ok_or("there is no such replica")?;
        for (other, space) in self.spaces.iter().enumerate().filter(|(other, _)| *other != at) {
            change(here, &self.host(other))?;
            change(space, &self.host(at))?;
        }
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for space in &self.spaces {
            // The link first: connections that still wait for a packet keep their namespace for minutes.
            // What fails here is not there.
            drop(run("ip", &["link", "del", space]));
            drop(run("ip", &["netns", "del", space]));
        }
        drop(run("ip", &["link", "del", &self.bridge]));
    }
}

/// A name for an interface or a namespace, which may have 15 characters.
fn name(end: &str) -> String {
    format!("qgd{}{end}", std::process::id())
}
