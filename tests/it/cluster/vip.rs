//! The way it is meant to be run: `HAProxy` before three replicas, Python's client pushing through it,
//! a Prometheus scraping through it, and replicas that are killed or restarted in turn.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::cluster::{Cluster, THREE};
use crate::harness::http;
use crate::harness::process::{PATIENCE, free_port};
use crate::harness::prometheus::Prometheus;
use crate::harness::{dependency, eventually, say};

/// How long replicas go down and come back; `QUORUMGATE_VIP_SECONDS` sets another time.
const SECONDS: u64 = 20;

/// Between two scrapes, and for each: an election must fit in, also on a busy machine.
const SCRAPE_SECONDS: u32 = 3;

/// Lines of the client that nobody has looked at.
const LINES_MAX: usize = 100_000;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if the process has already ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An ordinary load balancer: round robin, `/-/ready` as the check, and another try elsewhere only
/// where a connection is refused.
fn haproxy(cluster: &Cluster, folder: &std::path::Path) -> Option<(Running, SocketAddr)> {
    let program = dependency("haproxy/usr/sbin/haproxy")?;
    let vip = free_port();
    let mut config = format!(
        "defaults\n mode http\n timeout connect 1s\n timeout client 30s\n timeout server 30s\n\
         \x20retries 5\n option redispatch 1\n\
         listen gateway\n bind {vip}\n balance roundrobin\n option httpchk GET /-/ready\n\
         \x20default-server check inter 200ms fall 1 rise 1\n"
    );
    for name in THREE {
        writeln!(config, " server {name} {}", cluster.web_address(name)).unwrap();
    }
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let child = Command::new(program).arg("-db").arg("-f").arg(path).stderr(Stdio::null()).spawn();
    let running = Running(child.unwrap());
    let probe = http::request("GET", "/-/ready", &[], b"");
    eventually(PATIENCE, "HAProxy to find a replica", || {
        http::exchange(vip, &probe).ok().filter(|answer| answer.status == 200)
    });
    Some((running, vip))
}

/// Pushes a counter that grows, one push after the other, and says how each ended.
const PUSHER: &str = r#"
import sys
from prometheus_client import CollectorRegistry, Counter, push_to_gateway
registry = CollectorRegistry()
counter = Counter("vip_pushes", "pushes", registry=registry)
while True:
    counter.inc()
    try:
        push_to_gateway(sys.argv[1], job="vip", registry=registry, timeout=15)
        print("pushed", flush=True)
    except Exception as error:
        print("failed", error, flush=True)
"#;

fn pusher(vip: SocketAddr) -> Option<(Running, Pushes)> {
    let python = dependency("python/bin/python")?;
    let mut child = Command::new(python)
        .args(["-c", PUSHER, &vip.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = child.stdout.take().unwrap();
    let (sender, lines) = sync_channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            // The test may have ended.
            let _ended = sender.send(line);
        }
    });
    Some((Running(child), Pushes { lines, pushed: 0 }))
}

/// Seconds, as Prometheus counts them.
fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}

/// What the client says.
struct Pushes {
    lines: Receiver<String>,
    /// Pushes that succeeded.
    pushed: u64,
}

impl Pushes {
    /// The failures until now, of pushes under way as well: waits for the end of one more.
    fn failed(&mut self) -> Vec<String> {
        let mut failed = Vec::new();
        let said: Vec<String> = self.lines.try_iter().collect();
        // One that was under way may have been there before; the one after it was not.
        let next = (0..2).map(|_| self.lines.recv_timeout(PATIENCE).unwrap());
        for line in said.into_iter().chain(next) {
            if line == "pushed" { self.pushed += 1 } else { failed.push(line) }
        }
        failed
    }
}

#[test]
fn nobody_behind_a_load_balancer_notices_replicas_that_go_and_come() {
    let seconds = std::env::var("QUORUMGATE_VIP_SECONDS").ok().and_then(|text| text.parse().ok());
    let mut cluster = Cluster::of(THREE, &["--cluster.shutdown-delay=1s"]);
    let folder = tempfile::tempdir().unwrap();
    let Some((_haproxy, vip)) = haproxy(&cluster, folder.path()) else { return };
    let Some((client, mut told)) = pusher(vip) else { return };
    let Some(prometheus) = Prometheus::start(vip, SCRAPE_SECONDS, &[]) else { return };
    prometheus.query("vip_pushes_total");

    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let (mut kills, mut stops, mut failures) = (Vec::new(), 0, 0);
    assert!(told.failed().is_empty(), "before anything has happened");
    for round in 0.. {
        if Instant::now() > end && round % 6 == 0 {
            break;
        }
        let (name, orderly) = (THREE[round % 3], round % 2 == 0);
        if orderly {
            assert!(cluster.stop(name).success());
            stops += 1;
        } else {
            cluster.kill(name);
            kills.push(now());
        }
        cluster.start(name);
        cluster.until_ready(THREE);
        // Only what was under way at a replica that was killed may fail: one push at a time.
        let failed = told.failed();
        let excused = usize::from(!orderly);
        assert!(failed.len() <= excused, "round {round}, {name}, in order {orderly}: {failed:?}");
        failures += failed.len();
    }
    drop(client);

    let pushed = told.pushed;
    let up = prometheus.samples("up[10m]");
    let lost: Vec<f64> = up.iter().filter(|(_, up)| up == "0").map(|(at, _)| *at).collect();
    say(&format!(
        "vip: {stops} stops, {} kills, {pushed} pushes, {failures} failed, {} scrapes, {} failed",
        kills.len(),
        up.len(),
        lost.len()
    ));
    assert!(pushed > 100, "too few pushes prove nothing: {pushed}");
    for scrape in &lost {
        // Its time is that of its beginning; the kill's was taken when the process was gone.
        let under_way = |kill: &f64| (0.0..=f64::from(SCRAPE_SECONDS)).contains(&(kill - scrape));
        assert!(kills.iter().any(under_way), "a scrape at {scrape} failed; kills: {kills:?}");
    }
    let whole = |promql: &str| prometheus.value(promql).parse::<f64>().unwrap();
    let scrapes = whole("sum_over_time(up[10m])");
    assert_eq!(prometheus.value("resets(vip_pushes_total[10m])"), "0");
    let seen = whole("count_over_time(vip_pushes_total[10m])");
    // The first scrapes may have been before the first push.
    assert!(seen >= scrapes - 3.0, "{seen} of {scrapes} scrapes show the series");
    cluster.agree(THREE);
}
