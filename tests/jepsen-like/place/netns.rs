//! One network namespace per replica, all on one bridge whose rules cut links.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use super::alter::{Alter, QUEUE};
use super::shape::Shape;
use super::{Cut, PEER_PORT, WEB_PORT};
use crate::tools;

pub(crate) struct Netns {
    /// The beginning of every name that this run gives to something of the kernel's.
    run: String,
    subnet: (u8, u8),
    altering: Vec<Option<Alter>>,
}

impl Netns {
    pub(crate) fn new(run: &str, replicas: usize) -> Result<Netns, String> {
        if !tools::is_root() {
            return Err("root".to_owned());
        }
        for tool in ["ip", "nft", "nsenter"] {
            if !tools::installed(tool) {
                return Err(tool.to_owned());
            }
        }
        let subnet = free_subnet()?;
        let altering = (0..replicas).map(|_| None).collect();
        let place = Netns { run: run.to_owned(), subnet, altering };
        let (bridge, gateway) = (place.bridge(), place.ip(253));
        let mut host = format!(
            "link add {bridge} type bridge\nlink set {bridge} up\naddr add {gateway}/24 dev {bridge}\n"
        );
        for replica in 0..replicas {
            let (space, port) = (place.space(replica), place.port(replica));
            tools::run("ip", &["netns", "add", &space])?;
            let _ = writeln!(host, "link add {port} type veth peer name eth0 netns {space}");
            let _ = writeln!(host, "link set {port} master {bridge} up");
        }
        tools::feed("ip", &["-batch", "-"], &host)?;
        for replica in 0..replicas {
            let ip = place.ip(replica);
            let inside = format!("addr add {ip}/24 dev eth0\nlink set eth0 up\nlink set lo up\n");
            tools::feed("ip", &["-netns", &place.space(replica), "-batch", "-"], &inside)?;
        }
        // A rule for what replicas say to each other, and one for what clients say to them.
        let table = format!(
            "table bridge {run} {{\n\
             chain links {{ type filter hook forward priority 0; }}\n\
             chain clients {{ type filter hook output priority 0; }}\n}}\n"
        );
        tools::feed("nft", &["-f", "-"], &table)?;
        Ok(place)
    }

    fn bridge(&self) -> String {
        format!("{}b", self.run)
    }

    fn space(&self, replica: usize) -> String {
        format!("{}-{}", self.run, replica + 1)
    }

    fn port(&self, replica: usize) -> String {
        format!("{}v{}", self.run, replica + 1)
    }

    fn ip(&self, replica: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, self.subnet.0, self.subnet.1, u8::try_from(replica + 1).unwrap())
    }

    pub(super) fn address(&self, replica: usize, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip(replica)), port)
    }

    pub(super) fn command(&self, replica: usize, program: &Path) -> Command {
        // Not `ip netns exec`, which would give the process mounts of its own.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.space(replica))).arg(program);
        command
    }

    fn rule(&self, cut: Cut) -> String {
        match cut {
            Cut::Link { from, to } => {
                let (from, to) = (self.port(from), self.port(to));
                format!("links iifname \"{from}\" oifname \"{to}\"")
            }
            Cut::Clients { to } => {
                format!("clients oifname \"{}\" tcp dport {WEB_PORT}", self.port(to))
            }
        }
    }

    pub(super) fn cut(&mut self, cuts: &[Cut]) -> Result<(), String> {
        let run = &self.run;
        let mut rules =
            format!("flush chain bridge {run} links\nflush chain bridge {run} clients\n");
        for cut in cuts {
            let _ = writeln!(rules, "add rule bridge {run} {} counter drop", self.rule(*cut));
        }
        tools::feed("nft", &["-f", "-"], &rules).map(drop)
    }

    pub(super) fn held_back(&self, cuts: &[Cut]) -> u64 {
        let listed = tools::run("nft", &["list", "table", "bridge", &self.run]).unwrap_or_default();
        let counts = cuts.iter().map(|cut| {
            let rule = self.rule(*cut);
            let rule = rule.split_once(' ').map_or("", |(_, rule)| rule);
            let line = listed.lines().find(|line| line.contains(rule)).unwrap_or_default();
            packets(line).unwrap_or(0)
        });
        counts.sum()
    }

    /// Puts a shape in place of the one before; if that cannot be done, there is none.
    pub(super) fn shape(&mut self, replica: usize, shape: Option<&Shape>) -> Result<(), String> {
        self.unshape(replica);
        let Some(shape) = shape else { return Ok(()) };
        self.install(replica, shape).inspect_err(|_| self.unshape(replica))
    }

    fn unshape(&mut self, replica: usize) {
        self.altering[replica] = None;
        // None of them is there unless the shape needed it.
        let _gone = self.inside(replica, "tc", &["qdisc", "del", "dev", "eth0", "root"]);
        let _gone = self.inside(replica, "iptables", &["-F", "OUTPUT"]);
        let _gone = self.inside(replica, "nft", &["delete", "table", "ip", "again"]);
    }

    /// Runs a tool in a replica's namespace.
    fn inside(&self, replica: usize, tool: &str, args: &[&str]) -> Result<String, String> {
        let net = format!("--net=/run/netns/{}", self.space(replica));
        tools::run("nsenter", &[&[net.as_str(), tool], args].concat())
    }

    fn install(&mut self, replica: usize, shape: &Shape) -> Result<(), String> {
        let space = self.space(replica);
        let inside = |tool: &str, args: &[&str]| self.inside(replica, tool, args);
        if let Some(kilobits) = shape.kilobits {
            let rate = format!("{kilobits}kbit");
            let bucket = ["rate", &rate, "burst", "16kb", "latency", "400ms"];
            inside("tc", &[&["qdisc", "add", "dev", "eth0", "root", "tbf"], &bucket[..]].concat())?;
        }
        if shape.repeat_percent > 0 {
            let mut rules =
                "table ip again { chain out { type filter hook output priority 0;\n".to_owned();
            for other in (0..self.altering.len()).filter(|other| *other != replica) {
                let (to, percent) = (self.ip(other), shape.repeat_percent);
                let _ = writeln!(
                    rules,
                    "ip daddr {to} meta l4proto tcp numgen random mod 100 < {percent} counter dup to {to} device \"eth0\""
                );
            }
            rules.push_str("}\n}\n");
            let net = format!("--net=/run/netns/{space}");
            tools::feed("nsenter", &[&net, "nft", "-f", "-"], &rules)?;
        }
        if shape.needs_queue() {
            for side in ["--dport", "--sport"] {
                let port = PEER_PORT.to_string();
                let number = QUEUE.to_string();
                let queue = ["-j", "NFQUEUE", "--queue-num", &number, "--queue-bypass"];
                let rule = ["-A", "OUTPUT", "-p", "tcp", side, &port];
                inside("iptables", &[&rule[..], &queue[..]].concat())?;
            }
            self.altering[replica] = Some(Alter::start(&space, shape)?);
        }
        Ok(())
    }

    pub(super) fn shaped(&self, replica: usize) -> u64 {
        let queued = self.altering[replica].as_ref().map_or(0, Alter::touched);
        let net = format!("--net=/run/netns/{}", self.space(replica));
        let repeated = tools::run("nsenter", &[&net, "nft", "list", "ruleset"]).unwrap_or_default();
        let counts = repeated.lines().filter(|line| line.contains(" dup to ")).filter_map(packets);
        let limited = tools::run("nsenter", &[&net, "tc", "-s", "qdisc", "show", "dev", "eth0"])
            .unwrap_or_default();
        let overlimits = limited.split("qdisc tbf").nth(1).and_then(|rest| {
            rest.split("overlimits ").nth(1)?.split(' ').next()?.parse::<u64>().ok()
        });
        queued + counts.sum::<u64>() + overlimits.unwrap_or(0)
    }

    pub(super) fn resets(&self, replica: usize) -> u64 {
        let net = format!("--net=/run/netns/{}", self.space(replica));
        let listed = tools::run("nsenter", &[&net, "nft", "list", "table", "inet", "refuse"]);
        let listed = listed.unwrap_or_default();
        listed.lines().filter_map(packets).sum()
    }

    pub(super) fn reset(&mut self, replica: usize, on: bool) -> Result<(), String> {
        let net = format!("--net=/run/netns/{}", self.space(replica));
        let rules = if on {
            format!(
                "table inet refuse {{ chain in {{ type filter hook input priority 0;\n\
                 tcp dport {PEER_PORT} counter reject with tcp reset\n}}\n}}\n"
            )
        } else {
            "delete table inet refuse\n".to_owned()
        };
        tools::feed("nsenter", &[&net, "nft", "-f", "-"], &rules).map(drop)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.altering.clear();
        super::sweep::remove_network(&self.run);
    }
}

/// The counter in a rule as nft lists it.
fn packets(rule: &str) -> Option<u64> {
    rule.split("packets ").nth(1)?.split(' ').next()?.parse().ok()
}

/// A network that nobody here uses, beginning with one that is likely to be this run's alone.
fn free_subnet() -> Result<(u8, u8), String> {
    let routes = tools::run("ip", &["-o", "-4", "addr"])?;
    let pid = std::process::id();
    let candidates = (0..200).map(|n| {
        let at = (pid + n * 7) % 20_000;
        (u8::try_from(100 + at / 250).unwrap(), u8::try_from(at % 250).unwrap())
    });
    let mut free = candidates.filter(|(a, b)| !routes.contains(&format!(" 10.{a}.{b}.")));
    free.next().ok_or_else(|| "a free network".to_owned())
}
